package backend

import (
	"context"
	"slices"
	"time"
)

// takeIdle takes an idle connection out of the pool that serves a, nil where
// there is none. One that has ended, or is too old, is dropped on the way: it
// costs nobody a call.
func (c *Cluster) takeIdle(e *Endpoint, a *Attempt) *Conn {
	if a.Handshake == nil || a.Connect != nil {
		return nil
	}
	now := time.Now()
	for i := len(e.idle) - 1; i >= 0; i-- {
		conn := e.idle[i]
		if !conn.serves(a) {
			continue
		}
		if conn.tooOld(now) || !conn.alive() {
			c.discard(conn)
			continue
		}
		e.idle = slices.Delete(e.idle, i, i+1)
		return conn
	}
	return nil
}

// serves reports whether the connection was made with the client's handshake, to
// a daemon of the version that the client knows.
func (conn *Conn) serves(a *Attempt) bool {
	group := groupOf(a)
	return conn.handshake == a.Handshake && (group == answerID{} || group == conn.answer)
}

// hasIdle reports whether takeIdle may find something.
func (e *Endpoint) hasIdle(a *Attempt) bool {
	if a.Handshake == nil || a.Connect != nil {
		return false
	}
	for i := len(e.idle) - 1; i >= 0; i-- {
		if e.idle[i].serves(a) {
			return true
		}
	}
	return false
}

// rest puts a pooled connection with nothing under way back into the pool, or
// closes it where it is of no more use.
func (c *Cluster) rest(conn *Conn) {
	e := conn.Endpoint
	now := time.Now()
	conn.restsFor, conn.since, conn.pings = nil, now, 0
	if conn.dead || e.gone || e.drained || c.stopped || conn.tooOld(now) || c.overfull(e) {
		conn.state = leased // in none of the lists
		c.discard(conn)
		return
	}
	conn.state = idle
	e.idle = append(e.idle, conn)
	c.freed(e)
}

// overfull reports whether e has more connections than it may have now.
func (c *Cluster) overfull(e *Endpoint) bool {
	return c.cfg.MaxConnections > 0 && e.conns > c.cfg.MaxConnections
}

// restFor keeps a pooled connection for a until so many PINGs of ours are
// answered: a's oneway call may still run on it. Where a is nil, nobody may have
// it before.
func (c *Cluster) restFor(conn *Conn, a *Attempt, pings int) {
	if conn.dead {
		conn.state = leased
		c.discard(conn)
		return
	}
	conn.state, conn.since = resting, time.Now()
	conn.pings = pings
	conn.restsFor = a
	if a != nil {
		a.rest = conn
	}
	conn.Endpoint.resting++
}

// tooOld reports whether max_age has passed.
func (conn *Conn) tooOld(now time.Time) bool { return !conn.retire.IsZero() && now.After(conn.retire) }

// evict takes the connection out of the pool that was used longest ago. The
// caller closes it.
func (c *Cluster) evict(e *Endpoint) *Conn {
	conn := e.idle[0]
	e.idle = slices.Delete(e.idle, 0, 1)
	c.closed(conn)
	return conn
}

// discard drops a connection, in whatever state it is, from its list and closes
// it. It does nothing about one that is dropped already, except to close it.
func (c *Cluster) discard(conn *Conn) {
	e := conn.Endpoint
	switch conn.state {
	case closed:
		c.note(conn.dispose)
		return
	case idle:
		e.idle = slices.DeleteFunc(e.idle, func(other *Conn) bool { return other == conn })
	case resting:
		e.resting--
		e.worked(time.Now())
	case ghost:
		e.ghosts--
		e.worked(time.Now())
		e.metrics.Ghosts.Dec()
		c.gone(conn)
	}
	c.closed(conn)
	c.note(conn.dispose)
	c.forgetGone(e)
	c.freed(e)
}

// closed counts out a connection that will be closed.
func (c *Cluster) closed(conn *Conn) {
	conn.state = closed
	if conn.limit != nil {
		conn.limit.Stop()
	}
	e := conn.Endpoint
	e.conns--
	e.metrics.Connections.Dec()
	if h := conn.handshake; h != nil {
		h.conns--
		c.dropUnused(h)
	}
}

// haunt keeps a connection whose call was given up until the daemon is done with
// it: it goes on working, and must go on counting. Its Reader drops what comes.
func (c *Cluster) haunt(conn *Conn) {
	e := conn.Endpoint
	if conn.dead || conn.Reader == nil || c.cfg.GhostTimeout == 0 {
		c.discard(conn)
		c.gone(conn)
		return
	}
	conn.state, conn.since = ghost, time.Now()
	e.ghosts++
	e.metrics.Ghosts.Inc()
	conn.limit = time.AfterFunc(c.cfg.GhostTimeout, func() {
		c.lock()
		c.discard(conn)
		c.unlock()
	})
	c.note(conn.closeWrite)
}

// gone lets whoever wants to know hear that the daemon has let go of a ghost.
func (c *Cluster) gone(conn *Conn) {
	if f := conn.onGone; f != nil {
		conn.onGone = nil
		c.note(f)
	}
}

// Haunting reports whether what comes on the connection is for nobody.
func (c *Conn) Haunting() bool {
	c.cluster.lock()
	defer c.cluster.unlock()
	return c.state == ghost || c.state == closed
}

// tendEvery is how often a cluster looks after itself.
const tendEvery = time.Second

// tend looks after pools and what changes by time alone, until ctx ends.
func (c *Cluster) tend(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if c.cfg.IdleTimeout > 0 {
				c.closeIdle(now.Add(-c.cfg.IdleTimeout))
			}
			c.lock()
			c.weigh()
			c.unlock()
			c.replenish(ctx)
		}
	}
}

// closeIdle closes the connections that have been idle since before.
func (c *Cluster) closeIdle(before time.Time) {
	c.lock()
	defer c.unlock()
	for _, e := range c.members {
		for len(e.idle) > 0 && e.idle[0].since.Before(before) {
			c.discard(e.idle[0])
		}
	}
}
