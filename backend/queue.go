package backend

import (
	"container/list"
	"context"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// queue holds those that wait for an endpoint with room, in the order in which
// they came. A nested call goes before all others, since some of those may wait
// for it to end.
type queue struct {
	nested, others list.List // of *waiter
}

func (q *queue) len() int { return q.nested.Len() + q.others.Len() }

func (q *queue) lists() [2]*list.List { return [...]*list.List{&q.nested, &q.others} }

// waiter is one that waits.
type waiter struct {
	a       *Attempt
	granted chan grant // has room for the only one
	in      *list.List // nil: granted, or given up
	at      *list.Element
}

func (q *queue) add(w *waiter) {
	w.in = &q.others
	if w.a.Nested {
		w.in = &q.nested
	}
	w.at = w.in.PushBack(w)
}

func (q *queue) remove(w *waiter) {
	w.in.Remove(w.at)
	w.in = nil
}

// reserve gets a slot for a, waiting for one where none is free, but not beyond
// by. It counts the endpoint as in use; the grant must become a lease, or be
// taken back.
func (c *Cluster) reserve(ctx context.Context, a *Attempt, by time.Time) (grant, error) {
	c.lock()
	if g, ok, later := c.tryGrant(a, time.Now()); ok || !later {
		c.unlock()
		if !ok {
			return grant{}, c.unreachable(a)
		}
		return g, nil
	}
	if c.waiting.len() >= c.cfg.Queue {
		c.metrics.QueueFull.Inc()
		c.unlock()
		return grant{}, ErrQueueFull
	}
	w := &waiter{a: a, granted: make(chan grant, 1)}
	c.waiting.add(w)
	c.metrics.Queued.Inc()
	c.unlock()

	began := time.Now()
	g, err := c.wait(ctx, w, by)
	c.metrics.Queued.Dec()
	c.metrics.QueueWait.Observe(time.Since(began).Seconds())
	return g, err
}

// lookEvery is how often those who wait are looked at although nothing has been
// given back: a daemon that was full, or a breaker that was open, says nothing
// when that is over.
const lookEvery = 50 * time.Millisecond

func (c *Cluster) wait(ctx context.Context, w *waiter, by time.Time) (grant, error) {
	timeout := time.NewTimer(time.Until(by))
	defer timeout.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case g := <-w.granted:
			return g, nil
		case <-look.C:
			c.lock()
			if time.Since(c.served) >= lookEvery/2 {
				c.serveAll()
			}
			c.unlock()
		case <-timeout.C:
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

// freed serves those who wait with what has become free at e.
func (c *Cluster) freed(e *Endpoint) {
	if c.waiting.len() == 0 {
		return
	}
	now := time.Now()
	most, _ := c.most(e, now)
	for i, l := range c.waiting.lists() {
		for at := l.Front(); at != nil; {
			if most != unlimited && e.busy() >= c.slots(most, i == 0) {
				break
			}
			w := at.Value.(*waiter)
			at = at.Next()
			if c.room(e, w.a, now) {
				c.serve(w, now)
			}
		}
	}
}

// serve grants w what it waits for, where there is something.
func (c *Cluster) serve(w *waiter, now time.Time) bool {
	g, ok, later := c.tryGrant(w.a, now)
	if !ok && later {
		return false
	}
	// Without a grant there is nothing to wait for any more, and no endpoint in g.
	c.waiting.remove(w)
	w.granted <- g
	return true
}

// need is what makes those who wait alike.
type need struct {
	dialect wire.Dialect
	group   answerID
	home    *Endpoint
	nested  bool
}

// maxNeeds bounds how many kinds of waiters serveAll keeps apart.
const maxNeeds = 64

// serveAll looks at all who wait. Where one cannot be served, those behind it
// who need the same are passed over.
func (c *Cluster) serveAll() {
	c.served = time.Now()
	if c.waiting.len() == 0 {
		return
	}
	hopeless := make(map[need]bool)
	for _, l := range c.waiting.lists() {
		for at := l.Front(); at != nil && len(hopeless) < maxNeeds; {
			w := at.Value.(*waiter)
			at = at.Next()
			n := need{w.a.Dialect, groupOf(w.a), w.a.home, w.a.Nested}
			if hopeless[n] {
				continue
			}
			if !c.serve(w, c.served) && len(w.a.tried) == 0 {
				hopeless[n] = true
			}
		}
	}
}
