package backend

import (
	"sync"
	"time"

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

// Endpoint is one daemon of a cluster. Its methods are safe for concurrent use.
type Endpoint struct {
	Address Address

	declared wire.Dialect // 0 where it must be learnt
	metrics  *metrics.Endpoint

	mu       sync.Mutex
	learnt   wire.Dialect
	learntAt time.Time
}

// match says how well the endpoint suits a client of dialect d.
func (e *Endpoint) match(d wire.Dialect, now time.Time) fit {
	if e.declared != 0 {
		if e.declared == d {
			return fits
		}
		return never
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
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

// learn notes the dialect of a message that the endpoint sent.
func (e *Endpoint) learn(d wire.Dialect) {
	e.mu.Lock()
	e.learnt, e.learntAt = d, time.Now()
	e.mu.Unlock()
}

// forget drops what was learnt: a daemon that cannot be reached may come back
// as another.
func (e *Endpoint) forget() {
	e.mu.Lock()
	e.learnt = 0
	e.mu.Unlock()
}
