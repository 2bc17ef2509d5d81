package backend

import (
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Lease is the right to use one connection to an endpoint. The holder writes to
// Conn, reads it where it is not pooled, and ends the lease with exactly one
// Done.
type Lease struct {
	Endpoint *Endpoint
	Conn     *Conn
	// AnswerBy is when the cluster's connect_timeout for this endpoint ends. It
	// is set in mode session, where the holder makes the handshake.
	AnswerBy time.Time
	// Answer is what the daemon answered to the client's own CONNECT, where the
	// Attempt had one. It is the holder's.
	Answer []byte
	// Pings is how many PINGs of ours the daemon may still answer, before it
	// answers what the holder sends. The holder counts down as it sees answers.
	Pings int

	cluster  *Cluster
	attempt  *Attempt
	grant    grant
	judged   bool // the breaker has its verdict
	answered bool // the CONNECT, in mode session
	busy     atomic.Bool
	since    time.Time
	pinned   bool
	done     atomic.Bool
	onDown   func()
	onGone   func()
}

// newLease makes a lease of a granted connection, under the lock.
func (c *Cluster) newLease(g grant, a *Attempt) *Lease {
	l := &Lease{
		Endpoint: g.endpoint, Conn: g.conn, Pings: max(0, g.conn.pings),
		cluster: c, attempt: a, grant: g, since: time.Now(),
	}
	g.conn.state, g.conn.pings, g.conn.restsFor = leased, 0, nil
	a.rest = nil
	if g.conn.Pooled() {
		l.Busy(true)
	}
	g.endpoint.metrics.Leases.Inc()
	return l
}

// Answered says that the endpoint answered the CONNECT in dialect d. An Outcome
// that is bad news then concerns calls, no longer the handshake.
func (l *Lease) Answered(d wire.Dialect) {
	c := l.cluster
	c.lock()
	defer c.unlock()
	if l.answered {
		return
	}
	l.Endpoint.learn(d)
	c.wonder(l.Endpoint)
	l.grant.opened()
	c.hadRoom(l.Endpoint, &l.grant)
	l.answered = true
	l.attempt = nil
	// A session may last for days. The breaker learns now that the endpoint lives.
	l.judged = true
	c.judge(l.Endpoint, l.grant.verdict, nil)
}

// Learn says that the endpoint speaks d, which is not what it was asked in.
func (l *Lease) Learn(d wire.Dialect) {
	l.cluster.lock()
	l.Endpoint.learn(d)
	l.cluster.unlock()
}

// Busy says whether a call is under way, in mode session, where that is not plain
// from the lease: a daemon that is busy with one need not answer health checks.
func (l *Lease) Busy(busy bool) {
	switch {
	case l.busy.Swap(busy) == busy:
	case busy:
		l.Endpoint.calls.Add(1)
	default:
		l.Endpoint.worked(time.Now())
		l.Endpoint.calls.Add(-1)
	}
}

// OnDown has f called when the endpoint is found down, and the cluster is to
// close idle sessions then. f must not block, and may be called when the lease has
// only just ended.
func (l *Lease) OnDown(f func()) {
	c := l.cluster
	if !c.cfg.CloseOnDown {
		return
	}
	c.lock()
	l.onDown = f
	l.Endpoint.leases[l] = struct{}{}
	c.unlock()
}

// Handshake is what the lease's pooled connection was made with.
func (l *Lease) Handshake() *Handshake { return l.Conn.handshake }

// Pin asks whether the holder may keep a pooled connection while it has no call
// under way. It may not where as many are kept as may be.
func (l *Lease) Pin() bool {
	c, e := l.cluster, l.Endpoint
	c.lock()
	defer c.unlock()
	if l.pinned {
		return true
	}
	if e.pinned >= c.cfg.MaxPinned {
		c.metrics.PinsRefused.Inc()
		return false
	}
	l.pinned = true
	e.pinned++
	e.metrics.Pinned.Inc()
	return true
}

// OnGone has f called when the daemon has let go of what the lease was for: when
// the lease ends, or, where the daemon is still at work then, when it has closed the
// connection or is waited for no longer. f must not block; there may be several.
func (l *Lease) OnGone(f func()) {
	if before := l.onGone; before != nil {
		l.onGone = func() { before(); f() }
		return
	}
	l.onGone = f
}

// Late says that a call got no reply in time, and that the holder keeps the
// connection and waits for it.
func (l *Lease) Late() {
	c := l.cluster
	c.lock()
	defer c.unlock()
	if c.cfg.Hops.explains(l.Conn.RemoteAddr(), l.since) {
		l.Endpoint.metrics.Explained.Inc()
		return
	}
	v, _ := l.Endpoint.breaker.allow(true)
	c.judge(l.Endpoint, v, errTimedOut)
}

// Settled says that the daemon has answered what the holder sent, and before that,
// since it answers in order, all PINGs of ours.
func (l *Lease) Settled() {
	if l.Pings == 0 {
		return
	}
	l.cluster.lock()
	l.Pings, l.Conn.pings = 0, 0 // also those that came while nobody held the connection
	l.cluster.unlock()
}

// Done ends the lease. A connection that is not pooled is closed; a pooled one
// goes back, or is closed, as the outcome says. It panics when it is called a
// second time, since then two owners believed the connection to be theirs.
func (l *Lease) Done(o Outcome) {
	if l.done.Swap(true) {
		panic("backend: Lease.Done called twice")
	}
	c := l.cluster
	c.lock()
	defer c.unlock()
	e, conn := l.Endpoint, l.Conn
	e.active--
	l.grant.opened()
	e.metrics.Leases.Dec()
	l.Busy(false)
	if l.pinned {
		e.pinned--
		e.metrics.Pinned.Dec()
	}
	delete(e.leases, l)
	l.account(o)

	pings := l.Pings + conn.pings // those that are still to be answered
	if o == Resting || o == Doubtful {
		pings++
	}
	if l.onGone != nil && !o.haunts() {
		c.note(l.onGone)
	}
	switch {
	case o.haunts():
		conn.onGone = l.onGone
		c.haunt(conn)
	case o == Saturated:
		c.discard(conn)
		c.filled(e, l.grant.evicted != nil)
	case !conn.Pooled():
		c.discard(conn)
	case (o == Resting || o == Cancelled) && pings > 0:
		c.restFor(conn, l.attempt, pings)
	case o == Doubtful && pings > 0:
		c.restFor(conn, nil, pings)
	case o == Served, o == Cancelled, o == Resting, o == Doubtful:
		c.rest(conn)
	default:
		c.discard(conn)
	}
}

// account tells breaker, outlier detection and metrics.
func (l *Lease) account(o Outcome) {
	c, e := l.cluster, l.Endpoint
	err := o.failure()
	if (o == Broken || o == TimedOut) && (l.answered || l.Conn.Pooled()) && c.cfg.Hops.explains(l.Conn.RemoteAddr(), l.since) {
		err = errExcluded
		e.metrics.Explained.Inc()
	}
	if o == Excused {
		e.metrics.Explained.Inc()
	}
	switch {
	case !l.judged:
		l.judged = true
		c.judge(e, l.grant.verdict, err)
	case err != nil && !errors.Is(err, errExcluded):
		v, _ := e.breaker.allow(true)
		c.judge(e, v, err)
	}
	a := l.attempt
	switch {
	case l.answered:
		return
	case l.Conn.Pooled():
		if err != nil && !errors.Is(err, errExcluded) {
			a.try(e) // if the call may be sent again, then elsewhere
			a.fail(e, err)
		}
		return
	}
	switch o {
	case OtherDialect:
		e.metrics.ConnectFailed(metrics.ConnectOtherDialect)
		a.fail(e, errOtherDialect)
	case Unanswered:
		e.metrics.ConnectFailed(metrics.ConnectUnanswered)
		a.fail(e, errUnanswered)
	case Broken:
		e.forget()
		e.metrics.ConnectFailed(metrics.ConnectClosed)
		a.fail(e, errBroken)
	case Garbled:
		e.metrics.ConnectFailed(metrics.ConnectGarbled)
		a.fail(e, errGarbled)
	case Saturated:
		delete(a.tried, e) // it is well, and may have room when its turn comes again
	}
}

// endSlot ends a slot that never became a lease.
func (c *Cluster) endSlot(e *Endpoint, v verdict, err error) {
	e.active--
	c.judge(e, v, err)
}

// judge tells breaker and outlier detection how something ended: err is nil for
// a success, and errExcluded where it says nothing about the endpoint.
func (c *Cluster) judge(e *Endpoint, v verdict, err error) {
	v.end(err)
	if errors.Is(err, errExcluded) || c.cfg.Outlier.Ejection == 0 || e.gone {
		return
	}
	now := time.Now()
	if !e.outlier.Observe(now, err != nil) {
		return
	}
	ejected := 0
	for _, other := range c.members {
		if other.outlier.Ejected(now) {
			ejected++
		}
	}
	if !health.MayEject(ejected, len(c.members), c.cfg.MaxEjected) {
		c.metrics.EjectionsRefused.Inc()
		return
	}
	until := e.outlier.Eject(now)
	e.upSince = until
	e.metrics.Ejections.Inc()
	why := e.outlier.Why()
	c.note(func() {
		c.log.Warn("endpoint ejected", zap.Stringer("endpoint", e.Address),
			zap.Stringer("cause", why), zap.Duration("for", until.Sub(now)))
	})
	c.weigh()
}
