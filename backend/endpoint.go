package backend

import (
	"sync/atomic"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// relearnAfter is how long a learnt dialect keeps clients of the other one
// away. After it they may try again, when no other endpoint is left: the
// daemon may have been replaced by one of the other library.
const relearnAfter = time.Minute

// Address is where an endpoint listens.
type Address struct {
	Network string // "tcp" or "unix"
	Addr    string // host:port, or a path
}

// String is the address as it is written in the configuration.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Addr
	}
	return a.Addr
}

// Endpoint is one daemon of a cluster.
type Endpoint struct {
	Address Address

	metrics *metrics.Endpoint
	breaker *breaker
	stop    func()        // ends its health checks
	kick    chan struct{} // has a token where a check is due at once

	server   atomic.Uint32 // health.Server
	calls    atomic.Int32  // under way, without those that were given up
	workedAt atomic.Int64  // when one of them ended last, in nanoseconds of Unix time

	// The cluster's lock is for all that follows.

	weight   int
	objects  []string     // that its members name
	declared wire.Dialect // 0 where it must be learnt
	learnt   wire.Dialect
	learntAt time.Time

	gone     bool // its sources no longer name it
	released bool // it is in the cluster's list of that name
	lives    int  // how often it may have become another daemon
	asked    bool // it has said what kind of server it is, in this life
	wondered bool // a client has had it asked, in this life
	drained  bool // the operator wants nothing new sent to it
	judge    *health.Judge
	outlier  *health.Outlier
	downFor  string    // what the checks found when they found it down
	upSince  time.Time // when it came back, or came; slow start counts from it

	// What is open, or being opened: conns = active + resting + ghosts + len(idle).
	conns   int
	active  int     // leased
	resting int     // pooled, where a oneway call may still run
	ghosts  int     // given up while the daemon was at work for us
	idle    []*Conn // pooled, the one used last at the end
	pinned  int     // of those active: held by streams
	opening int     // of those active: their handshakes are not done
	growing bool    // of those one is more than the endpoint is known to take

	full   fullness
	leases map[*Lease]struct{} // where somebody wants to hear that it is down
}

// busy is how many connections are at work, as far as we know.
func (e *Endpoint) busy() int { return e.active + e.resting + e.ghosts }

// worked notes that a call has ended.
func (e *Endpoint) worked(now time.Time) { e.workedAt.Store(now.UnixNano()) }

// working reports whether a call of ours has been under way since then, so that
// the daemon may have been too busy for anything else. A session alone is none.
func (e *Endpoint) working(since time.Time) bool {
	return e.calls.Load() > 0 || e.resting+e.ghosts > 0 || e.workedAt.Load() >= since.UnixNano()
}

// match says how well the endpoint suits a client of dialect d.
func (e *Endpoint) match(d wire.Dialect, now time.Time) fit {
	switch {
	case e.declared == d:
		return fits
	case e.declared != 0:
		return never
	case e.learnt == 0 || e.learnt == d:
		return fits
	case now.Sub(e.learntAt) > relearnAfter:
		return lastResort
	}
	return never
}

type fit uint8

const (
	fits fit = iota
	lastResort
	never
)

// dialect is the declared or learnt dialect, 0 where neither is known.
func (e *Endpoint) dialect() wire.Dialect {
	if e.declared != 0 {
		return e.declared
	}
	return e.learnt
}

// learn notes the dialect of a message that the endpoint sent.
func (e *Endpoint) learn(d wire.Dialect) { e.learnt, e.learntAt = d, time.Now() }

// forget drops what was learnt: a daemon that cannot be reached may come back
// as another.
func (e *Endpoint) forget() {
	e.learnt = 0
	e.full = fullness{}
	e.another()
}

// another: it may be another daemon from now on.
func (e *Endpoint) another() {
	e.lives++
	e.asked, e.wondered = false, false
	e.server.Store(uint32(health.UnknownServer))
}

// Server is what kind of server the daemon is, as far as it has said so.
func (e *Endpoint) Server() health.Server { return health.Server(e.server.Load()) }

// well reports whether the endpoint may be chosen while there are others.
func (e *Endpoint) well(now time.Time) bool {
	return e.judge.Up() && !e.outlier.Ejected(now) && e.breaker.admits()
}
