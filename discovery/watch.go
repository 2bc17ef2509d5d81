package discovery

import (
	"context"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/pace"
)

// answer is what one round of asking gave.
type answer[T any] struct {
	items    []T
	index    uint64
	source   string // which of its parts Consul has answered from
	doubtful bool   // it may lack something
	problems []problem
}

// watch asks Consul for a list of T, and again whenever it has changed, for as
// long as its context lasts.
type watch[T any] struct {
	wait   time.Duration
	report *reporter
	memory memory[T]
	// ask makes a query that Consul keeps until its index exceeds q.WaitIndex, or
	// for q.WaitTime; at index 0 it answers at once.
	ask    func(ctx context.Context, q api.QueryOptions) (answer[T], error)
	tell   func([]T) // called with each answer
	failed func()    // called at each failure; may be nil
}

// run follows what HashiCorp says of blocking queries
// (developer.hashicorp.com/consul/api-docs/features/blocking): the index begins
// at 0, and anew where it goes backwards; it is never below 1 where there was an
// answer; and queries are limited in rate where answers come at once.
//
// Beyond that it begins at 0 after every failure, since a Consul that was
// started anew may have a lower index, and keep us waiting for the old one; and
// after an answer with the index that was there before. Agents with the
// streaming backend answer queries with an index from a view of their own. They
// do so even when no server can be reached, and for a token that has
// expired: one that sees no change is no proof that somebody would tell. Without
// an index the servers are asked, and what they say is fresh.
func (w *watch[T]) run(ctx context.Context) {
	var (
		index  uint64
		last   = make(map[string]uint64) // index, by source: an agent's view lags behind the servers
		delays pace.Backoff
		limit  = pace.Bucket{Interval: pace.QueryInterval, Burst: pace.QueryBurst}
	)
	for pace.Sleep(ctx, limit.Next(time.Now())) {
		a, err := w.ask(ctx, api.QueryOptions{WaitIndex: index, WaitTime: w.waitTime()})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.fail(err)
			clear(last)
			index = 0
			if !pace.Sleep(ctx, delays.Next()) {
				return
			}
			continue
		}
		delays.Reset()
		w.report.answered()
		backwards := a.index < last[a.source]
		if backwards {
			w.memory.outage()
			w.report.log.Warn("Consul's index went backwards", zap.Uint64("from", last[a.source]), zap.Uint64("to", a.index))
			clear(last) // it is one event, also for the other sources
		} else if a.doubtful {
			w.memory.doubt()
		}
		last[a.source] = a.index
		w.take(a)
		if backwards || index > 0 && a.index <= index {
			index = 0
		} else {
			index = max(a.index, 1)
		}
	}
}

// waitTime is shorter while something is held from before an outage, so that
// there is an answer when it may be dropped.
func (w *watch[T]) waitTime() time.Duration {
	if left := w.memory.left(time.Now()); left > 0 && left < w.wait {
		return max(left, time.Second)
	}
	return w.wait
}

func (w *watch[T]) fail(err error) {
	w.memory.outage()
	w.report.failed(err)
	if w.failed != nil {
		w.failed()
	}
}

func (w *watch[T]) take(a answer[T]) {
	w.report.nonsense(a.problems)
	all, kept, dropped := w.memory.answer(time.Now(), a.items)
	if kept > 0 {
		w.report.log.Warn("Consul came back without some that it had: they are kept for the grace",
			zap.Int("kept", kept), zap.Int("has", len(a.items)), zap.Duration("grace", w.memory.grace))
	}
	if dropped > 0 {
		w.report.log.Warn("Consul still lacks what it had before its outage: it is dropped", zap.Int("dropped", dropped))
	}
	w.tell(all)
}
