package router

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// The exceptions that clients get in the place of results.

// fail answers the client's next request, with header h, which is not sent on, and
// has it dropped.
func (s *Session) fail(now time.Duration, h *wire.Head) {
	s.dropLeft = h.Len()
	if s.next.oneway(h) { // nobody waits to be told
		s.routeOf(&s.next).Calls.Oneway(s.notSent(now))
		return
	}
	s.decline(now)
}

// notSent notes that the client's next request is not sent, and gives its outcome.
func (s *Session) notSent(now time.Duration) metrics.Outcome {
	s.looked = false
	s.summary.Calls++
	outcome := UnsentAs(s.next.failure)
	s.observe(now, &s.next, outcome)
	s.failedUnsent()
	return outcome
}

// decline answers the client's next request, which is not sent on. Where no answer
// would be understood, the session ends.
func (s *Session) decline(now time.Duration) {
	outcome := s.notSent(now)
	c := &s.next
	calls := s.routeOf(c).Calls
	calls.Began()
	calls.Ended(outcome, 0)
	if !c.answerable() || s.pooled != nil && s.pooled.handshake.Signed && s.signing == nil {
		s.blame(c.failure)
		reason := ReasonUnreachable
		switch {
		case outcome == metrics.TimedOut:
			reason = ReasonCallTimeout
		case errors.Is(c.failure, ErrSignature):
			reason = ReasonSignature
			s.countRejected(reason)
		}
		s.finish(now, reason, backend.Served)
		return
	}
	s.answer(now, c)
}

// routeOf is the route that c takes.
func (s *Session) routeOf(c *call) *Route {
	if c.to != nil {
		return c.to
	}
	return s.route
}

// answer gives the client an exception as the result of c.
func (s *Session) answer(now time.Duration, c *call) {
	s.tell(wire.AppendFailure(nil, wire.Failure{
		Dialect: s.dialect, Serializer: c.serializer, Seq: c.seq, Correlation: c.told(),
		Class: s.classOf(c), Text: s.failureText(now, c), Python2: s.python2,
	}))
}

// told is the correlation id that a reply to c carries: the client's own, if any.
func (c *call) told() [16]byte {
	if c.made {
		return [16]byte{}
	}
	return c.correlation
}

// classOf is what c is raised as. docs/errors.md has the table, and why.
func (s *Session) classOf(c *call) wire.Class {
	inTime := errors.Is(c.failure, ErrTimeout) || errors.Is(c.failure, ErrSendTimeout) || errors.Is(c.failure, ErrBudget)
	switch {
	case inTime && (c.nested() || s.routeOf(c).Policy.TimeoutError == BuiltinTimeout):
		return wire.BuiltinTimeoutError
	case inTime:
		return wire.TimeoutError
	case c.nested(), errors.Is(c.failure, ErrTooLarge), errors.Is(c.failure, ErrCircular), errors.Is(c.failure, ErrTooDeep),
		undeliverable(c.failure):
		// In a daemon's method a communication error would not be sent back: the daemon
		// closes the connection instead.
		return wire.PyroError
	}
	return wire.CommunicationError
}

// failureText is what the client reads. Which endpoints were tried, and what was
// wrong with each, is for the log.
func (s *Session) failureText(now time.Duration, c *call) string {
	why, after := "", ""
	leg := (*LegError)(nil)
	waited := (now - c.began).Round(time.Millisecond)
	if c.began > 0 && waited > 0 && !errors.Is(c.failure, ErrTimeout) {
		after = fmt.Sprintf(", after %v", waited)
	}
	switch {
	case errors.As(c.failure, &leg) && errors.Is(c.failure, ErrTimeout):
		why = fmt.Sprintf("%v after %v", leg, waited)
	case errors.As(c.failure, &leg):
		why = leg.Error()
	case errors.Is(c.failure, ErrTimeout) && c.sent == 0 && s.lease != nil:
		why = fmt.Sprintf("%v: waited %v behind a late reply of endpoint %s", ErrTimeout, waited, s.summary.Endpoint)
	case errors.Is(c.failure, ErrTimeout) && c.sent == 0:
		why = fmt.Sprintf("%v: waited %v for an endpoint", ErrTimeout, waited)
	case errors.Is(c.failure, ErrTimeout):
		why = fmt.Sprintf("%v: waited %v for endpoint %s", ErrTimeout, waited, s.summary.Endpoint)
	case errors.Is(c.failure, ErrSendTimeout):
		why = fmt.Sprintf("%v: endpoint %s reads nothing", ErrSendTimeout, s.summary.Endpoint)
	default:
		why = cause(c.failure)
	}
	text := fmt.Sprintf("pyro-dispatch: %s (route %s, cluster %s%s", why, s.routeOf(c).Name, s.routeOf(c).ClusterName(), after)
	if c.hasCorrelation {
		text += ", correlation id " + uuid.UUID(c.correlation).String()
	}
	return text + ")"
}

// unsentText is what a client is told for whose CONNECT there is no endpoint.
func unsentText(r *Route, err error) string {
	return fmt.Sprintf("pyro-dispatch: %s (route %s, cluster %s)", cause(err), r.Name, r.Cluster.Name())
}

// cause says in words that are not about single endpoints why there is no lease.
func cause(err error) string {
	refused := (*backend.RefusedError)(nil)
	switch {
	case errors.As(err, &refused), errors.Is(err, errRefusedNow):
		return errRefusedNow.Error()
	case errors.Is(err, backend.ErrQueueFull):
		return backend.ErrQueueFull.Error()
	case errors.Is(err, backend.ErrQueueTimeout):
		return backend.ErrQueueTimeout.Error()
	case undeliverable(err):
		return err.Error()
	case errors.Is(err, ErrBudget), errors.Is(err, ErrTooLarge), errors.Is(err, ErrCircular), errors.Is(err, ErrTooDeep),
		errors.Is(err, ErrNotKnown):
		return err.Error()
	}
	return backend.ErrUnreachable.Error()
}

// UnsentAs is the outcome of a call that was not sent because of err.
func UnsentAs(err error) metrics.Outcome {
	refused := (*backend.RefusedError)(nil)
	switch {
	case errors.Is(err, backend.ErrQueueFull):
		return metrics.QueueFull
	case errors.Is(err, backend.ErrQueueTimeout):
		return metrics.QueueTimeout
	case errors.As(err, &refused), errors.Is(err, errRefusedNow):
		return metrics.HandshakeRefused
	case errors.Is(err, ErrTimeout):
		return metrics.TimedOut
	case errors.Is(err, ErrSendTimeout):
		return metrics.SendTimedOut
	case errors.Is(err, ErrBudget):
		return metrics.NoBudget
	case errors.Is(err, ErrTooLarge):
		return metrics.TooLarge
	case errors.Is(err, ErrCircular):
		return metrics.Circular
	case errors.Is(err, ErrTooDeep):
		return metrics.TooDeep
	case undeliverable(err):
		return metrics.Undeliverable
	}
	return metrics.NoEndpoint
}

// dropping reports whether the rest of a request is to be dropped.
func (s *Session) dropping() bool { return s.dropLeft > 0 }

// drop passes over the bytes of a request that is not sent on.
func (s *Session) drop(now time.Duration, b []byte) Taken {
	n := min(s.dropLeft, int64(len(b)))
	s.dropLeft -= n
	if s.state == inOpen && s.atRest() {
		s.rested(now)
	}
	return Taken{Consumed: int(n), Again: int(n) < len(b)}
}
