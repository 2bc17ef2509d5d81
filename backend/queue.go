package backend

import (
	"container/list"
	"context"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// queue holds those that wait for an endpoint with room, in the order in which
// they came. A nested call goes before all others, since some of those may wait
// for it to end. Those of either dialect are kept apart: what one endpoint has to
// give is seldom of use to both.
type queue struct {
	lists   [2][2]list.List // of *waiter, by ranks and kinds
	tickets uint64          // given out
	timer   *time.Timer     // for the next look; nil: none is due
	lookAt  time.Time
	after   [2]uint64 // by ranks: the ticket that the last look came to; 0: it saw all
}

// ranks are the indexes of queue.lists: nested calls come first.
var ranks = [...]struct {
	i      int
	nested bool
}{{0, true}, {1, false}}

// kind is the second index of queue.lists.
func kind(d wire.Dialect) int {
	if d == wire.V48 {
		return 0
	}
	return 1
}

func (q *queue) len() int { return q.of(0) + q.of(1) }

// of is how many of a rank wait.
func (q *queue) of(rank int) int { return q.lists[rank][0].Len() + q.lists[rank][1].Len() }

// rank is the first index of queue.lists for a.
func rank(a *Attempt) int {
	if a.Nested {
		return 0
	}
	return 1
}

// waiter is one that waits.
type waiter struct {
	a       *Attempt
	granted chan grant // has room for the only one
	in      *list.List // nil: granted, or given up
	at      *list.Element
}

// add lets w wait, behind those who have waited for longer: one that was granted
// a slot in vain comes back to its place.
func (q *queue) add(w *waiter) {
	w.in = &q.lists[rank(w.a)][kind(w.a.Dialect)]
	if w.a.ticket == 0 {
		q.tickets++
		w.a.ticket = q.tickets
		w.at = w.in.PushBack(w)
		return
	}
	for at := w.in.Front(); at != nil; at = at.Next() {
		if at.Value.(*waiter).a.ticket > w.a.ticket {
			w.at = w.in.InsertBefore(w, at)
			return
		}
	}
	w.at = w.in.PushBack(w)
}

func (q *queue) remove(w *waiter) {
	w.in.Remove(w.at)
	w.in = nil
}

// each calls f for those of a rank that wait, in order, until it says no. f may
// remove the one it is called for. d is the dialect, 0 for both.
func (q *queue) each(rank int, d wire.Dialect, f func(*waiter) (more bool)) {
	lists := &q.lists[rank]
	at := [2]*list.Element{lists[0].Front(), lists[1].Front()}
	if d != 0 {
		at[1-kind(d)] = nil
	}
	for at[0] != nil || at[1] != nil {
		i := 0
		if at[0] == nil || at[1] != nil && at[1].Value.(*waiter).a.ticket < at[0].Value.(*waiter).a.ticket {
			i = 1
		}
		w := at[i].Value.(*waiter)
		at[i] = at[i].Next()
		if !f(w) {
			return
		}
	}
}

// reserve gets a slot for a, waiting for one where none is free, but not beyond
// by, where that is set. It counts the endpoint as in use; the grant must become a
// lease, or be taken back.
func (c *Cluster) reserve(ctx context.Context, a *Attempt, by time.Time) (grant, error) {
	c.lock()
	if g, ok, later := c.tryGrant(a, time.Now()); ok || !later {
		c.unlock()
		if !ok {
			return grant{}, c.unreachable(a)
		}
		return g, nil
	}
	// Nested calls have places of their own: those that fill the queue may be waiting for
	// what they are to do.
	if a.ticket == 0 && c.waiting.of(rank(a)) >= c.cfg.Queue || c.cfg.Queue == 0 {
		c.metrics.QueueFull.Inc()
		c.unlock()
		return grant{}, ErrQueueFull
	}
	w := &waiter{a: a, granted: make(chan grant, 1)}
	c.waiting.add(w)
	c.metrics.Queued.Inc()
	if c.waiting.timer == nil {
		c.lookBy(c.nextLook())
	}
	c.unlock()

	began := time.Now()
	g, err := c.wait(ctx, w, by)
	c.metrics.Queued.Dec()
	c.metrics.QueueWait.Observe(time.Since(began).Seconds())
	return g, err
}

func (c *Cluster) wait(ctx context.Context, w *waiter, by time.Time) (grant, error) {
	var timeout <-chan time.Time
	if !by.IsZero() {
		timer := time.NewTimer(time.Until(by))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case g := <-w.granted:
		return g, nil
	case <-timeout:
		if g, ok := c.giveUp(w); ok {
			return g, nil
		}
		c.metrics.QueueTimeouts.Inc()
		return grant{}, ErrQueueTimeout
	case <-ctx.Done():
		if g, ok := c.giveUp(w); ok {
			c.takeBack(g)
		}
		return grant{}, ctx.Err()
	}
}

// giveUp takes w out of the queue. Where it had been granted what it waited for,
// it gives that.
func (c *Cluster) giveUp(w *waiter) (grant, bool) {
	c.lock()
	defer c.unlock()
	if w.in != nil {
		c.waiting.remove(w)
		return grant{}, false
	}
	return <-w.granted, true
}
