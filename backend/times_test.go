package backend

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// searches are the times that a client may bring along, and what comes of them where
// the cluster's own is own.
func searches(own time.Duration, of func(time.Duration) *SearchTimes) map[string]struct {
	times *SearchTimes
	want  time.Duration // 0: never
} {
	return map[string]struct {
		times *SearchTimes
		want  time.Duration
	}{
		"none":          {nil, own},
		"the cluster's": {of(-1), own},
		"shorter":       {of(own / 3), own / 3},
		"longer":        {of(own * 3), own * 3},
		"no bound":      {of(0), 0},
	}
}

// TestOwnConnectTimeout: what a client brings along bounds the way to an endpoint, be
// it the dialing or the handshake, and nothing else.
func TestOwnConnectTimeout(t *testing.T) {
	cases := searches(connectTimeout, func(d time.Duration) *SearchTimes { return &SearchTimes{Connect: d, Queue: -1} })
	for name, c := range cases {
		for _, silent := range []string{"network", "daemon"} {
			t.Run(name+", silent "+silent, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRigWith(pooling(addrA))
					r.daemon(t, addrA, &pyrotest.Daemon{OnConnect: pyrotest.Silence})
					if silent == "network" {
						r.network.BlackHole(addrA)
					}
					client := r.newClient(v502, "x")
					client.a.Times = c.times
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					began := time.Now()
					_, err := r.Acquire(ctx, client.a)
					want, why := c.want, ErrUnreachable
					if want == 0 {
						want, why = time.Hour, context.DeadlineExceeded
					}
					if took := time.Since(began); took != want || !errors.Is(err, why) {
						t.Errorf("after %v: %v; want %v after %v", took, err, why, want)
					}
				})
			})
		}
	}
}

// TestTooLate: where a call has no time left, what its endpoint is worth is found out
// all the same; where the client has gone, it is not.
func TestTooLate(t *testing.T) {
	tests := []struct {
		name   string
		cause  error
		daemon *pyrotest.Daemon
		failed map[string]float64
		idle   int
	}{
		{"a silent daemon", ErrTooLate, &pyrotest.Daemon{OnConnect: pyrotest.Silence}, map[string]float64{"unanswered": 1}, 0},
		{"a slow one", ErrTooLate, &pyrotest.Daemon{OnConnect: pyrotest.After(connectTimeout/2, pyrotest.AcceptConnect)}, map[string]float64{}, 1},
		{"the client has gone", nil, &pyrotest.Daemon{OnConnect: pyrotest.Silence}, map[string]float64{}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(pooling(addrA))
				r.daemon(t, addrA, tt.daemon)
				client := r.newClient(v502, "x")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(connectTimeout/10, func() { cancel(tt.cause) })
				if _, err := r.Acquire(ctx, client.a); !errors.Is(err, context.Canceled) {
					t.Errorf("Acquire: %v", err)
				}
				client.leave() // the handshake is needed for longer
				time.Sleep(connectTimeout + time.Second)
				if diff := cmp.Diff(tt.failed, r.failures(t)); diff != "" {
					t.Errorf("connect_failures_total (-want +got):\n%s", diff)
				}
				r.wantIdle(t, addrA, tt.idle)
				r.consistent(t)
			})
		})
	}
}

// TestAnswerBy: in mode session the holder of the lease is told when the client's own
// time ends.
func TestAnswerBy(t *testing.T) {
	for name, c := range searches(connectTimeout, func(d time.Duration) *SearchTimes { return &SearchTimes{Connect: d, Queue: -1} }) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(addrA)
			r.open(t, addrA)
			l := r.acquire(t, &Attempt{Dialect: v502, Times: c.times})
			if left := time.Until(l.AnswerBy); c.want != 0 && left != c.want || left < time.Hour && c.want == 0 {
				t.Errorf("%s: %v, want %v", name, left, c.want)
			}
			l.Done(Served)
		})
	}
}

// TestOwnQueueTimeout: what a client brings along bounds how long it waits, all its
// searches for one call together, and nobody else's.
func TestOwnQueueTimeout(t *testing.T) {
	const own = 30 * time.Second
	for name, c := range searches(own, func(d time.Duration) *SearchTimes { return &SearchTimes{Connect: -1, Queue: d} }) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(waiting(addrA))
				r.open(t, addrA)
				holder := r.acquire(t, nil)
				q := newLine(t, r)
				q.join(t.Context(), "own", &Attempt{Dialect: v502, Times: c.times})
				q.join(t.Context(), "other", &Attempt{Dialect: v502})
				for i, at := range []time.Duration{own / 3, own, own * 3, time.Hour} {
					time.Sleep(at - time.Since(holder.since))
					synctest.Wait()
					q.mu.Lock()
					err, other := q.errs["own"], q.errs["other"]
					q.mu.Unlock()
					if ended := errors.Is(err, ErrQueueTimeout); ended != (c.want != 0 && at >= c.want) {
						t.Errorf("after %v: %v, want the end at %v", at, err, c.want)
					}
					if ended := errors.Is(other, ErrQueueTimeout); ended != (i >= 1) {
						t.Errorf("the other one, after %v: %v", at, other)
					}
				}
				holder.Done(Served)
				synctest.Wait()
				if c.want == 0 {
					q.done("own")
				}
				q.wg.Wait()
				r.wantQuiet(t)
			})
		})
	}
}
