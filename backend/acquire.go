package backend

import (
	"context"
	"errors"
	"time"
)

// grant is a slot at an endpoint: one more that is active there.
type grant struct {
	endpoint *Endpoint     // nil: there is nothing to be had
	conn     *Conn         // idle until now; nil: one is to be opened
	evicted  *Conn         // to be closed before that
	lag      time.Duration // to be waited between the two
	more     bool          // that is one more than the endpoint is known to take
	opening  bool          // that is not done yet
	verdict  verdict
}

// TryLease gives a lease of a pooled connection that is idle, nil where there is
// none that a may have without waiting or dialing. It does not block.
func (c *Cluster) TryLease(a *Attempt) *Lease {
	c.lock()
	defer c.unlock()
	now := time.Now()
	e, conn := c.resting(a)
	if e == nil {
		if e, _ = c.choose(a, now); e == nil {
			return nil
		}
		if c.room(e, a, now) != onNew {
			conn = c.takeIdle(e, a)
		}
		if conn == nil {
			if c.cfg.Balance != Hash {
				a.due = e // it was e's turn, and will be in Acquire
			}
			return nil
		}
	}
	g, ok := c.take(e, conn, a, now)
	if !ok {
		return nil
	}
	return c.newLease(g, a)
}

// Acquire gets a slot at an endpoint that a has not tried yet, waiting in the
// queue where none has room, and a connection to it, going on to the next
// endpoint where that cannot be had. In mode session the connection is new, and
// the holder sends the CONNECT; in mode call its handshake is done.
//
// The error is an *UnreachableError, a *RefusedError, ErrQueueFull,
// ErrQueueTimeout, or ctx's. Where ctx is cancelled because of ErrTooLate, a pooled
// connection that is being made goes on being made. The lease must be given back with Done. When all
// Acquires of one search together have taken queue_timeout, none waits any more.
func (c *Cluster) Acquire(ctx context.Context, a *Attempt) (*Lease, error) {
	began := time.Now()
	defer func() { a.spent += time.Since(began) }()
	var by time.Time
	if within := c.times(a).Queue; within > 0 {
		by = began.Add(within - a.spent)
	}
	for {
		if c.cfg.Retries >= 0 && len(a.failures) > c.cfg.Retries {
			return nil, c.unreachable(a)
		}
		g, err := c.reserve(ctx, a, by)
		switch {
		case err != nil:
			return nil, err
		case g.endpoint == nil:
			continue // what it waited for is gone: reserve says so at once
		}
		if l, err := c.open(ctx, a, g); l != nil || err != nil {
			return l, err
		}
	}
}

func (c *Cluster) unreachable(a *Attempt) error {
	return &UnreachableError{Cluster: c.name, Dialect: a.Dialect, Failures: a.failures}
}

// tryGrant gets a slot for a. later: there is none, but there may be one.
func (c *Cluster) tryGrant(a *Attempt, now time.Time) (g grant, ok, later bool) {
	if e, conn := c.resting(a); e != nil {
		g, ok = c.take(e, conn, a, now)
		return g, ok, true
	}
	e, later := c.choose(a, now)
	if e == nil {
		return grant{}, false, later
	}
	g, ok = c.take(e, nil, a, now)
	return g, ok, true
}

// resting gives the connection on which a's own oneway call may still run: what
// follows it goes there, so that the daemon sees them in order.
func (c *Cluster) resting(a *Attempt) (*Endpoint, *Conn) {
	conn := a.rest
	if conn == nil {
		return nil, nil
	}
	if conn.state != resting || conn.restsFor != a {
		a.rest = nil // it is free, or gone
		return nil, nil
	}
	if c.paused || a.Connect != nil {
		return nil, nil
	}
	return conn.Endpoint, conn
}

// take makes a slot at e a's: on conn, which was idle or rests for a, or on an
// idle connection, or a new one.
func (c *Cluster) take(e *Endpoint, conn *Conn, a *Attempt, now time.Time) (grant, bool) {
	v, ok := e.breaker.allow(c.asked.unwell || conn != nil)
	if !ok {
		return grant{}, false // somebody was quicker with the probe
	}
	if conn == nil && c.room(e, a, now) != onNew {
		conn = c.takeIdle(e, a)
	}
	g := grant{endpoint: e, conn: conn, verdict: v}
	e.active++
	if conn == nil {
		c.opens(e, &g, now)
		return g, true
	}
	if conn.state == resting {
		e.resting--
	}
	conn.state, conn.since = leased, now
	return g, true
}

// putBack undoes take where nothing came of it.
func (c *Cluster) putBack(g grant) {
	e := g.endpoint
	if e == nil {
		return
	}
	g.verdict.end(errExcluded)
	g.opened()
	e.active--
	if conn := g.conn; conn != nil {
		if conn.restsFor != nil && conn.pings > 0 {
			c.restFor(conn, conn.restsFor, conn.pings)
		} else {
			c.rest(conn)
		}
		return
	}
	if g.evicted != nil {
		c.note(func() { g.evicted.Close() })
	}
	e.conns--
	c.forgetGone(e)
	c.freed(e)
}

func (c *Cluster) takeBack(g grant) {
	c.lock()
	c.putBack(g)
	c.unlock()
}

// open makes a lease of g. Neither a lease nor an error means that another
// endpoint should be tried.
func (c *Cluster) open(ctx context.Context, a *Attempt, g grant) (*Lease, error) {
	e := g.endpoint
	if g.conn != nil {
		c.lock()
		defer c.unlock()
		if g.conn.dead {
			c.putBack(g)
			return nil, nil
		}
		return c.newLease(g, a), nil
	}
	if g.evicted != nil {
		awaitEnd(ctx, g.evicted, g.lag)
	}
	answerBy := time.Now().Add(c.times(a).Connect)
	if a.Handshake != nil {
		return c.openPooled(ctx, a, g, answerBy)
	}
	dialCtx, cancel := context.WithDeadline(a.forClient(ctx), answerBy)
	defer cancel()
	nc, err := c.cfg.Dialer.DialContext(dialCtx, e.Address.Network, e.Address.Addr)
	if err != nil {
		if ctx.Err() != nil {
			g.evicted = nil // it is closed
			c.takeBack(g)
			return nil, ctx.Err()
		}
		c.dialFailed(a, &g, err)
		return nil, nil
	}
	conn := newConn(c, e, nc, nil)
	e.metrics.Connections.Inc()
	c.lock()
	defer c.unlock()
	a.try(e)
	g.conn = conn
	conn.since = time.Now()
	l := c.newLease(g, a)
	l.AnswerBy = answerBy
	return l, nil
}

// dialFailed accounts for a connection that could not be made.
func (c *Cluster) dialFailed(a *Attempt, g *grant, err error) {
	e := g.endpoint
	e.metrics.ConnectFailed(dialReason(err))
	c.lock()
	defer c.unlock()
	a.try(e)
	a.fail(e, err)
	e.forget()
	g.opened()
	c.endSlot(e, g.verdict, errDial)
	e.conns--
	c.forgetGone(e)
	c.freed(e)
}

var errDial = errors.New("could not be connected")

// evictTime bounds the wait for a daemon to close its side of a connection that
// makes room for another. A daemon that takes longer is asked all the same, and
// may say that it has no free worker.
const evictTime = 250 * time.Millisecond

// awaitEnd closes a connection and waits until the daemon has noticed, and for
// lag: only then is the thread free that served it.
func awaitEnd(ctx context.Context, conn *Conn, lag time.Duration) {
	conn.closeWrite()
	timeout := time.NewTimer(evictTime)
	defer timeout.Stop()
	select {
	case <-conn.ended:
	case <-timeout.C:
	case <-ctx.Done():
	}
	conn.Close()
	if lag > 0 {
		timeout.Reset(lag)
		select {
		case <-timeout.C:
		case <-ctx.Done():
		}
	}
}
