package backend

import "errors"

// Outcome is what a lease was good for. It is all that breakers and health
// will ever learn, so it tells apart what is the endpoint's fault from what
// is not.
type Outcome uint8

// The outcomes.
const (
	// Served: the conversation, or the call, ended as it should, or the client
	// ended it. A pooled connection is free for the next.
	Served Outcome = iota
	// Cancelled: the client went, or we stopped, before the endpoint answered.
	// Nothing was written to a pooled connection.
	Cancelled
	// Refused: the daemon answered CONNECTFAIL. That is an answer: validation
	// failed, or the object is unknown.
	Refused
	// Saturated: the daemon answered that all its threads are taken.
	Saturated
	// OtherDialect: the daemon answered in the protocol of the other library.
	OtherDialect
	// Unanswered: no answer to CONNECT in time.
	Unanswered
	// Broken: the connection ended while an answer or a reply was due.
	Broken
	// Garbled: what the endpoint sent is not what Pyro sends.
	Garbled
	// Resting: a oneway call was written, the lease's only one, and a PING of ours
	// behind it. Nobody else may have the pooled connection until that is answered.
	Resting
	// Doubtful: served, but the daemon may be about to close the pooled connection,
	// and a PING of ours was written that will tell. Nobody may have it before.
	Doubtful
	// Spent: served well, but the daemon ties something to the pooled connection
	// that must end with it, such as a stream.
	Spent
	// Torn: only a part of the request was written, and the rest will not come.
	Torn
	// Abandoned: nobody waits for the reply any more; the daemon works on.
	Abandoned
	// TimedOut: the same, because the reply did not come in time.
	TimedOut
	// Excused: the connection ended while a reply was due, because a call failed that
	// the daemon had made for it.
	Excused
)

// Why an endpoint was given up during the handshake, or failed. They are the
// causes that an UnreachableError lists.
var (
	errOtherDialect = errors.New("speaks the other protocol")
	errUnanswered   = errors.New("did not answer CONNECT in time")
	errBroken       = errors.New("closed the connection instead of answering CONNECT")
	errGarbled      = errors.New("answered CONNECT with something else than Pyro")
	errTimedOut     = errors.New("did not answer in time")
)

// haunts reports whether the daemon is still at work for the lease.
func (o Outcome) haunts() bool { return o == Abandoned || o == TimedOut }

// failure is what an outcome is to breakers: nil for a success.
func (o Outcome) failure() error {
	switch o {
	case Served, Refused, Resting, Doubtful, Spent:
		return nil
	case Unanswered:
		return errUnanswered
	case Broken:
		return errBroken
	case Garbled:
		return errGarbled
	case TimedOut:
		return errTimedOut
	}
	return errExcluded
}
