package backend

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Outcome is what a lease was good for. It is all that breakers and health
// will ever learn, so it tells apart what is the endpoint's fault from what
// is not.
type Outcome uint8

// The outcomes.
const (
	// Served: the conversation ended as it should, or the client ended it.
	Served Outcome = iota
	// Cancelled: the client went, or we stopped, before the endpoint answered.
	Cancelled
	// Refused: the daemon answered CONNECTFAIL. That is an answer: validation
	// failed, the object is unknown, or all its threads are taken.
	Refused
	// OtherDialect: the daemon answered in the protocol of the other library.
	OtherDialect
	// Unanswered: no answer to CONNECT in time.
	Unanswered
	// Broken: the connection ended while an answer or a reply was due.
	Broken
	// Garbled: what the endpoint sent is not what Pyro sends.
	Garbled
)

// Why an endpoint was given up during the handshake. They are the causes that
// an UnreachableError lists.
var (
	errOtherDialect = errors.New("speaks the other protocol")
	errUnanswered   = errors.New("did not answer CONNECT in time")
	errBroken       = errors.New("closed the connection instead of answering CONNECT")
	errGarbled      = errors.New("answered CONNECT with something else than Pyro")
)

// Lease is the right to use one connection to an endpoint. The holder reads
// and writes Conn, and ends the lease with exactly one Done.
type Lease struct {
	Endpoint *Endpoint
	Conn     net.Conn
	// AnswerBy is when the cluster's connect_timeout for this endpoint ends.
	AnswerBy time.Time

	attempt  *Attempt
	answered atomic.Bool
	done     atomic.Bool
}

// Answered says that the endpoint answered the CONNECT in dialect d. An Outcome
// that is bad news then concerns calls, no longer the handshake.
func (l *Lease) Answered(d wire.Dialect) {
	l.answered.Store(true)
	l.Endpoint.learn(d)
	l.attempt = nil
}

// Learn says that the endpoint speaks d, which is not what it was asked in.
func (l *Lease) Learn(d wire.Dialect) { l.Endpoint.learn(d) }

// Done ends the lease: the connection is closed, and the outcome counted. It
// panics when it is called a second time, since then two owners believed the
// connection to be theirs.
func (l *Lease) Done(o Outcome) {
	if l.done.Swap(true) {
		panic("backend: Lease.Done called twice")
	}
	l.Conn.Close()
	l.Endpoint.metrics.Connections.Dec()
	if l.answered.Load() {
		return
	}
	switch o {
	case OtherDialect:
		l.failed(metrics.ConnectOtherDialect, errOtherDialect)
	case Unanswered:
		l.failed(metrics.ConnectUnanswered, errUnanswered)
	case Broken:
		l.Endpoint.forget()
		l.failed(metrics.ConnectClosed, errBroken)
	case Garbled:
		l.failed(metrics.ConnectGarbled, errGarbled)
	}
}

func (l *Lease) failed(reason metrics.ConnectFailure, err error) {
	l.Endpoint.metrics.ConnectFailed(reason)
	l.attempt.fail(l.Endpoint, err)
}
