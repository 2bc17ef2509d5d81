package backend

import "time"

const unlimited = -1

// fullness is what a daemon that said "no free workers" has taught us.
type fullness struct {
	known   bool
	ceiling int           // connections of ours that it had then
	settle  time.Time     // until when it gets no new one, not even in the place of another
	grow    time.Time     // from when on it may be asked for one more than ceiling
	backoff time.Duration // from one such question to the next
	lag     time.Duration // that it takes to have a thread free again
}

// filled notes that a daemon had no thread left for a connection, which no longer
// counts. replaced: it was opened in the place of another. Such a refusal does not
// tell how many the daemon can take: it may only not have noticed yet that the
// other one had gone.
func (c *Cluster) filled(e *Endpoint, replaced bool) {
	const (
		settling          = 5 * time.Millisecond
		shortest, longest = 5 * time.Millisecond, 500 * time.Millisecond
		leastLag, mostLag = time.Millisecond, 50 * time.Millisecond
	)
	now := time.Now()
	f := &e.full
	f.settle = now.Add(settling)
	if replaced {
		f.lag = min(max(2*f.lag, leastLag), mostLag)
	} else {
		f.known, f.ceiling = true, e.conns
		if !now.Before(f.grow) { // of many that were opened together each one may be refused
			f.backoff = min(max(2*f.backoff, shortest), longest)
		}
		f.grow = now.Add(f.backoff)
	}
	e.metrics.Saturated.Inc()
	c.lookBy(f.settle)
}

// hadRoom notes that a daemon had a thread for a connection of g.
func (c *Cluster) hadRoom(e *Endpoint, g *grant) {
	f := &e.full
	if g.evicted != nil {
		f.lag -= f.lag / 64
	}
	if !g.more || !f.known {
		return
	}
	c.freed(e) // others had to wait for the outcome
	f.ceiling++
	f.grow, f.backoff = time.Time{}, 0
	if most := c.cfg.MaxConnections; most > 0 && f.ceiling >= most {
		*f = fullness{lag: f.lag}
	}
}

// most is how many connections e may have, as far as is known.
func (c *Cluster) most(e *Endpoint) int {
	most := c.cfg.MaxConnections
	if most == 0 {
		most = unlimited
	}
	if e.full.known && (most == unlimited || e.full.ceiling < most) {
		most = e.full.ceiling
	}
	return most
}

// slots is how many of the connections may be at work. What is kept for nested
// calls is not for others, which may be waiting for just those.
func (c *Cluster) slots(most int, nested bool) int {
	if nested || most <= 1 {
		return most
	}
	return max(1, most-c.cfg.NestedReserve)
}

// slot reports whether one more call or session may be at work at e.
func (c *Cluster) slot(e *Endpoint, nested bool, now time.Time) bool {
	most := c.most(e)
	return most == unlimited || e.busy() < c.slots(most, nested) || c.mayGrow(e, nested, now)
}

// growthDue reports whether e should be asked again for one connection more than
// it is known to take.
func (c *Cluster) growthDue(e *Endpoint, now time.Time) bool {
	f := &e.full
	most := c.cfg.MaxConnections
	return f.known && !now.Before(f.grow) && (most == 0 || f.ceiling < most)
}

// mayGrow reports whether it may be asked now. While other connections are being
// opened it may not: one could get the thread that was meant for another.
func (c *Cluster) mayGrow(e *Endpoint, nested bool, now time.Time) bool {
	f := &e.full
	return c.growthDue(e, now) && !now.Before(f.settle) && e.opening == 0 && e.conns <= f.ceiling &&
		e.busy() < c.slots(f.ceiling+1, nested)
}

// place is where a call or session can be had at an endpoint.
type place uint8

const (
	nowhere place = iota
	onIdle        // on a connection that is idle
	onNew         // on a new connection
	either        // on one that is idle, or else on a new one
)

// room says whether e can take a call or session of a now: there is a slot, and
// a connection for it is idle, may be opened, or may take the place of another.
func (c *Cluster) room(e *Endpoint, a *Attempt, now time.Time) place {
	most := c.most(e)
	switch {
	case most == unlimited:
		return either
	case e.busy() >= c.slots(most, a.Nested):
		if c.mayGrow(e, a.Nested, now) {
			return onNew
		}
		return nowhere
	case now.Before(e.full.settle), e.growing, e.conns >= most && c.growthDue(e, now) && e.opening > 0:
		if e.hasIdle(a) {
			return onIdle
		}
		return nowhere
	}
	return either
}

// opens notes that a connection to e is being opened, on which g is to be. Where
// there are as many already as there may be, an idle one has to go, unless it is
// time to see whether there may be one more.
func (c *Cluster) opens(e *Endpoint, g *grant, now time.Time) {
	if most := c.most(e); most != unlimited && e.conns >= most {
		g.more = c.growthDue(e, now) && e.opening == 0
		if !g.more && len(e.idle) > 0 {
			g.evicted, g.lag = c.evict(e), e.full.lag
		}
	}
	g.opening = true
	e.growing = e.growing || g.more
	e.opening++
	e.conns++
}

// opened notes that a connection that was being opened no longer is.
func (g *grant) opened() {
	if !g.opening {
		return
	}
	g.opening = false
	g.endpoint.opening--
	if g.more {
		g.endpoint.growing = false
	}
}
