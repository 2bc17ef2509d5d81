package backend

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// maxMisses bounds how many of those who wait are looked at in vain at a time,
// and maxLastMisses those who might take what is for them the last resort.
const maxMisses, maxLastMisses = 64, 4

// serveFrom serves those who wait with what has become free at e.
func (c *Cluster) serveFrom(e *Endpoint) {
	if e.gone || e.drained || c.waiting.len() == 0 || c.shut() {
		return
	}
	now := time.Now()
	misses := 0
	for _, rank := range ranks {
		c.waiting.each(rank.i, e.dialect(), func(w *waiter) bool {
			if !c.slot(e, rank.nested, now) {
				return false
			}
			s := c.ask(w.a, now)
			switch {
			case w.a.rest != nil:
				c.serve(w, now) // where its oneway call may still run
			case w.a.Only != (Address{}):
				if e.Address == w.a.Only {
					c.serve(w, now)
				}
			case w.a.home == e && s.homely(e), w.a.home == nil && s.suits(e):
				if c.room(e, w.a, now) != nowhere {
					c.grant(w, e, now)
				}
			case w.a.home == nil && !s.unwell && !e.well(now) && !c.serve(w, now):
				misses++ // e is for those who find no better one
			}
			return misses < maxLastMisses
		})
	}
}

// grant gives w a slot at e, which has room for it.
func (c *Cluster) grant(w *waiter, e *Endpoint, now time.Time) {
	if g, ok := c.take(e, nil, w.a, now); ok {
		c.waiting.remove(w)
		w.granted <- g
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

// outlook is what those of one rank and dialect can hope for.
type outlook struct {
	known bool
	any   int  // endpoints that may serve them at all
	slot  bool // one of those has a slot
}

func (c *Cluster) survey(d wire.Dialect, nested bool, now time.Time) outlook {
	o := outlook{known: true}
	for _, e := range c.members {
		if !e.drained && e.match(d, now) != never {
			o.any++
			o.slot = o.slot || c.slot(e, nested, now)
		}
	}
	return o
}

// serveAll looks at all who wait, except that those for whom there can be nothing
// are passed over. Where too many are looked at in vain, the next time begins with
// those behind them.
func (c *Cluster) serveAll() {
	q := &c.waiting
	if q.len() == 0 || c.shut() {
		return
	}
	now := time.Now()
	for _, rank := range ranks {
		var outlooks [2]outlook
		misses := 0
		first := q.after[rank.i]
		q.after[rank.i] = 0
		q.each(rank.i, 0, func(w *waiter) bool {
			a := w.a
			o := &outlooks[kind(a.Dialect)]
			if !o.known {
				*o = c.survey(a.Dialect, rank.nested, now)
			}
			switch {
			case a.ticket <= first:
			case !o.slot && len(a.tried) < o.any && a.home == nil && a.rest == nil && a.Only == (Address{}):
			case c.serve(w, now):
				o.known = false
			default:
				if misses++; misses == maxMisses {
					q.after[rank.i] = a.ticket
					return false
				}
			}
			return true
		})
	}
}

// lookEvery is how often those who wait are looked at although nothing has been
// given back: an ejection that is over, or a breaker that may be tried, says
// nothing.
const lookEvery = 50 * time.Millisecond

// nextLook is when those who wait should be looked at next: at once when a daemon
// that was full may be asked again, so that nobody comes before them.
func (c *Cluster) nextLook() time.Time {
	now := time.Now()
	next := now.Add(lookEvery)
	for _, e := range c.members {
		for _, at := range [...]time.Time{e.full.settle, e.full.grow} {
			if at.After(now) && at.Before(next) {
				next = at
			}
		}
	}
	return next
}

// lookBy has those who wait looked at at that time at the latest.
func (c *Cluster) lookBy(at time.Time) {
	q := &c.waiting
	if q.len() == 0 || q.timer != nil && !at.Before(q.lookAt) {
		return
	}
	if q.timer != nil {
		q.timer.Stop()
	}
	q.lookAt = at
	q.timer = time.AfterFunc(time.Until(at), c.look)
}

func (c *Cluster) look() {
	c.lock()
	defer c.unlock()
	if time.Now().Before(c.waiting.lookAt) {
		return // another look has taken the place of this one
	}
	c.waiting.timer = nil
	c.serveAll()
	c.lookBy(c.nextLook())
}
