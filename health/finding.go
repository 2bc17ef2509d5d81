package health

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Finding is what a probe found out.
type Finding uint8

// The findings.
const (
	// Alive: the daemon accepted the CONNECT and answered a PING.
	Alive Finding = iota + 1
	// Saturated: the daemon has no thread left for us. It is well, and busy.
	Saturated
	// Refused: any other CONNECTFAIL. The daemon is there, but would not have
	// the handshake, or has no such object.
	Refused
	// OtherDialect: it answered in the protocol that it was not asked in.
	OtherDialect
	// Unanswered: no whole answer until the connection's deadline.
	Unanswered
	// Closed: the connection ended or broke before a whole answer was here.
	Closed
	// Garbled: the answer is none that a Pyro daemon gives.
	Garbled
)

// String is the finding in lower case, for logs.
func (f Finding) String() string {
	switch f {
	case Alive:
		return "alive"
	case Saturated:
		return "saturated"
	case Refused:
		return "refused"
	case OtherDialect:
		return "other dialect"
	case Unanswered:
		return "unanswered"
	case Closed:
		return "closed"
	case Garbled:
		return "garbled"
	}
	return fmt.Sprintf("finding %d", uint8(f))
}

// Verdict is what the finding says about the endpoint. busy tells that it may
// have been too busy to answer: a multiplexing daemon answers nobody while it
// runs a call. asked tells that the probe named an object, or a handshake, that
// the operator chose: refusing that is being down, while a daemon that refuses
// what it was asked by default is well enough to do so.
//
// Neutral says nothing either way. So does an answer in the other dialect: the
// endpoint should be asked again in that.
func (f Finding) Verdict(busy, asked bool) Verdict {
	switch {
	case f == Alive, f == Refused && !asked:
		return Up
	case f == Saturated, f == OtherDialect, f == Unanswered && busy:
		return Neutral
	}
	return Down
}

// Errors for which there is nothing more to say. Result.Err wraps them.
var (
	// ErrConnectFail: the daemon answered CONNECT with CONNECTFAIL.
	ErrConnectFail = errors.New("CONNECT was refused")
	// ErrSaturated is the ErrConnectFail of a daemon without free threads.
	ErrSaturated = fmt.Errorf("%w: no free workers", ErrConnectFail)
	// ErrUnknownObject is that of a daemon which does not have the object.
	ErrUnknownObject = fmt.Errorf("%w: unknown object", ErrConnectFail)
	// ErrAnswer: a message that is no answer to what was sent.
	ErrAnswer = errors.New("not an answer")
	// ErrTooLong: an answer that is longer than any to a probe should be.
	ErrTooLong = errors.New("the answer is too long")
)

// DialectError is an answer in another dialect than the probe's.
type DialectError struct{ Asked, Answered wire.Dialect }

func (e *DialectError) Error() string {
	return fmt.Sprintf("asked in %s, answered in %s", e.Asked, e.Answered)
}

// Result is the outcome of a probe.
type Result struct {
	Finding Finding
	// Dialect is that of the answer to CONNECT, 0 where there was none.
	Dialect wire.Dialect
	// Err says why the daemon was not found alive, nil where it was.
	Err error
	// Server is what kind of server the daemon said it is, if it was asked; Answered
	// tells that it said something.
	Server   Server
	Answered bool
}

// failed is the result where no answer could be read.
func failed(when string, err error) Result {
	r := Result{Finding: Closed, Err: fmt.Errorf("%s: %w", when, err)}
	var head *wire.HeadError
	var timeout net.Error
	switch {
	case errors.As(err, &head), errors.Is(err, ErrTooLong), errors.Is(err, ErrAnswer):
		r.Finding = Garbled
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		r.Finding = Unanswered
	}
	return r
}
