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
}

// filled notes that a daemon had no thread left for a connection, which no longer
// counts. replaced: it was opened in the place of another. Such a refusal does not
// tell how many the daemon can take: it may only not have noticed yet that the
// other one had gone.
func (c *Cluster) filled(e *Endpoint, replaced bool) {
	const (
		settling          = 5 * time.Millisecond
		shortest, longest = 5 * time.Millisecond, 500 * time.Millisecond
	)
	now := time.Now()
	f := &e.full
	if !f.known || !replaced {
		f.known, f.ceiling = true, e.conns
	}
	f.settle = now.Add(settling)
	if now.After(f.grow) { // of many that were opened together each one may be refused
		f.backoff = min(max(2*f.backoff, shortest), longest)
	}
	f.grow = now.Add(f.backoff)
	e.metrics.Saturated.Inc()
	c.lookBy(f.settle)
}

// hadRoom notes that a daemon had a thread for a new connection.
func (c *Cluster) hadRoom(e *Endpoint) {
	f := &e.full
	if !f.known || e.conns <= f.ceiling {
		return
	}
	if most := c.cfg.MaxConnections; most > 0 && e.conns >= most {
		*f = fullness{}
		return
	}
	f.ceiling, f.grow, f.backoff = e.conns, time.Time{}, 0
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

// mayGrow reports whether e, all of whose slots that are known of are taken, may
// be asked for one more connection than it is known to take.
func (c *Cluster) mayGrow(e *Endpoint, nested bool, now time.Time) bool {
	f := &e.full
	if !f.known || now.Before(f.grow) || now.Before(f.settle) || e.conns > f.ceiling {
		return false
	}
	most := f.ceiling + 1
	if limit := c.cfg.MaxConnections; limit > 0 && most > limit {
		return false
	}
	return e.busy() < c.slots(most, nested)
}

// place is where a call or session can be had at an endpoint.
type place uint8

const (
	nowhere place = iota
	pooled        // on a connection that is idle, only
	onNew         // on a new connection, only
	either        // on one that is idle, or else on a new one
)

// room says whether e can take a call or session of a now: there is a slot, and
// a connection for it is idle, may be opened, or may take the place of another.
func (c *Cluster) room(e *Endpoint, a *Attempt, now time.Time) place {
	most := c.most(e)
	switch {
	case most != unlimited && e.busy() >= c.slots(most, a.Nested):
		if c.mayGrow(e, a.Nested, now) {
			return onNew
		}
		return nowhere
	case now.Before(e.full.settle):
		if e.hasIdle(a) {
			return pooled
		}
		return nowhere
	}
	return either
}
