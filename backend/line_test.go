package backend

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// waiting is a cluster of which each endpoint takes one session at a time.
func waiting(addresses ...string) Config {
	return Config{
		Members: members(addresses...), MaxConnections: 1, Queue: 1024, QueueTimeout: 30 * time.Second,
	}
}

// line lets attempts wait in the order given, and notes in which order they are
// served, by name, and with what.
type line struct {
	t  *testing.T
	r  *rig
	wg sync.WaitGroup

	mu     sync.Mutex
	served []string
	leases map[string]*Lease
	errs   map[string]error
}

func newLine(t *testing.T, r *rig) *line {
	return &line{t: t, r: r, leases: make(map[string]*Lease), errs: make(map[string]error)}
}

// join has one wait. It keeps its lease until done is called.
func (q *line) join(ctx context.Context, name string, a *Attempt) {
	q.wg.Go(func() {
		l, err := q.r.Acquire(ctx, a)
		q.mu.Lock()
		defer q.mu.Unlock()
		q.served = append(q.served, name)
		q.leases[name], q.errs[name] = l, err
	})
	synctest.Wait()
}

// done gives back the lease of one who was served.
func (q *line) done(name string) {
	q.t.Helper()
	q.mu.Lock()
	l := q.leases[name]
	delete(q.leases, name)
	q.mu.Unlock()
	if l == nil {
		q.t.Fatalf("%s has no lease: %v; served: %v", name, q.errs[name], q.served)
	}
	l.Done(Served)
	synctest.Wait()
}

// want checks who has been served so far.
func (q *line) want(names ...string) {
	q.t.Helper()
	synctest.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	if diff := cmp.Diff(names, q.served); diff != "" {
		q.t.Errorf("served (-want +got):\n%s", diff)
	}
}

// doneAll gives back leases until n have been served, and checks the cluster each
// time.
func (q *line) doneAll(n int) {
	q.t.Helper()
	for {
		q.r.consistent(q.t)
		q.mu.Lock()
		served, open := len(q.served), ""
		for name, l := range q.leases {
			if l != nil {
				open = name
			}
		}
		q.mu.Unlock()
		switch {
		case open != "":
			q.done(open)
		case served < n:
			q.t.Fatalf("%d of %d were served", served, n)
		default:
			q.wg.Wait()
			for name, err := range q.errs {
				if err != nil {
					q.t.Errorf("%s: %v", name, err)
				}
			}
			return
		}
	}
}
