package router

import (
	"errors"
	"os"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

// EOF says that the other side of port p will send no more. All that it sent
// before has been shown, again where it was Paused; kept is how much of it the
// session did not consume.
func (s *Session) EOF(now time.Duration, p Port, kept int) {
	switch {
	case s.state == inClosed:
	case p != Client:
		s.legEnded(now, p, ReasonBackendClosed, nil)
	case s.state == inHandshake && kept > 0:
		s.clientEOF = true
		s.countRejected(ReasonTruncated)
		s.close(now, ReasonTruncated, backend.Cancelled)
	case s.state == inLingering && s.unsent:
		s.clientEOF = true // it may still read
	case s.state == inHandshake, s.state == inLingering:
		s.clientEOF = true
		s.close(now, ReasonClientClosed, backend.Cancelled)
	default:
		// Half-close is honoured: what was asked is answered before we go.
		s.clientEOF = true
		s.endInput(now, ReasonClientClosed)
	}
}

// Reset says that the connection of port p broke. All that could be read of it
// has been shown, as for EOF.
func (s *Session) Reset(now time.Duration, p Port, err error) {
	switch {
	case s.state == inClosed:
	case p != Client:
		s.legEnded(now, p, ReasonBackendReset, err)
	default:
		s.clientEOF = true
		s.blame(err)
		s.close(now, ReasonClientReset, s.parted())
	}
}

// Sent says that the bytes last forwarded to port p have been written. Until
// then the session takes neither a reply nor a oneway call for delivered.
func (s *Session) Sent(now time.Duration, p Port) {
	switch {
	case p == Client && s.unsent:
		s.unsent, s.telling = false, false
	case p != Client && p == s.leg && s.unshipped:
		s.wrote()
		s.unshipped = false
		for ; s.onewaysUnshipped > 0; s.onewaysUnshipped-- {
			s.route.Calls.Oneway(metrics.Sent)
			s.oneway.span.End(now, metrics.Sent.String(), "")
		}
	default:
		return
	}
	switch {
	case s.state == inLingering && s.clientEOF:
		s.close(now, s.summary.Reason, backend.Served)
	case s.state == inLingering:
		s.hangUp(now)
	case s.state == inOpen && s.atRest():
		s.rested(now)
	}
}

// WriteFailed says that bytes for port p, forwarded or ours, could not all be
// written.
//
// It does not end the session: what the other side of p had sent before is
// still to be read, and the reader will come upon the end. Until then, or the
// linger time, bytes for p are dropped.
func (s *Session) WriteFailed(now time.Duration, p Port, err error) {
	lost := p == Client && s.unsent
	if lost {
		s.unsent, s.telling = false, false
	}
	switch {
	case s.state == inLingering && lost:
		s.close(now, s.summary.Reason, backend.Served)
		return
	case s.state != inGreeting && s.state != inOpen, p != Client && p != s.leg:
		return
	case s.greeting != nil: // only the CONNECT can have been written
		if p != Client {
			s.failover(now, backend.Broken)
		}
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.stuck(now, p)
		return
	case p == Client && s.clientEOF: // its reader has come upon the end already
		s.blame(err)
		s.close(now, ReasonClientReset, s.parted())
		return
	case p == Client:
		s.clientGone = true
	case s.pooled != nil && s.unwritable(now, err):
		return
	default:
		s.wrote()
		s.legBroken, s.unshipped = true, false
	}
	s.blame(err)
	s.clockRuns = false
	s.deadline = now + s.env.LingerTime
	if lost && s.pooled != nil && s.atRest() {
		s.rested(now) // its lease is of use to others meanwhile
	}
}

// Tick says that the deadline has passed.
func (s *Session) Tick(now time.Duration) {
	if s.expire(now) {
		return
	}
	if s.excuseBy != 0 && now >= s.excuseBy {
		s.excuse()
	}
	if s.quietBy != 0 && now >= s.quietBy {
		s.rushed(now)
	}
	if s.lateBy != 0 && now >= s.lateBy {
		s.tooLate(now)
	}
	if k := s.pooled; k != nil && k.idleBy != 0 && now >= k.idleBy {
		s.letGo()
	}
	if s.deadline == 0 || now < s.deadline {
		return
	}
	s.deadline = 0
	switch s.state {
	case inHandshake:
		s.reject(now, ReasonHandshakeTimeout, refusal{text: "no CONNECT message in time"})
	case inGreeting, inOpen:
		switch {
		case s.greeting != nil:
			s.failover(now, backend.Unanswered)
		case s.clientGone:
			s.close(now, ReasonClientReset, backend.Served)
		case s.legBroken && s.unsent:
			s.deadline = now + s.env.LingerTime
		case s.legBroken:
			s.legEnded(now, s.leg, ReasonBackendReset, nil)
		case s.joining:
			s.unfilled(errHalfAnswer, backend.Unanswered)
		case s.state == inGreeting: // too late for another: the client has a part of the answer
			s.blame(errHalfAnswer)
			s.finish(now, ReasonGarbled, backend.Unanswered)
		default:
			s.endInput(now, ReasonRequestTimeout)
		}
	case inLingering:
		s.close(now, s.summary.Reason, backend.Served)
	}
}

// disarm takes back the deadline of a client or an endpoint that was waited
// for. That of a connection which cannot be written to any more stays.
func (s *Session) disarm() {
	if !s.clientGone && !s.legBroken {
		s.deadline = 0
	}
}

// Drain says that the listener is going away: the session ends as soon as no
// call is under way.
func (s *Session) Drain(now time.Duration) {
	s.draining = true
	switch s.state {
	case inHandshake, inAcquiring:
		if s.joining {
			break // that is a call under way
		}
		s.refuseDrained(now)
	case inOpen:
		if s.atRest() {
			s.rested(now)
		}
	}
}

// EndpointDown says that the endpoint was found down, and that sessions with
// nothing under way are to be closed then: what they might ask next would not be
// answered.
func (s *Session) EndpointDown(now time.Duration) {
	if s.state == inOpen && s.pooled == nil && s.atRest() {
		s.finish(now, ReasonEndpointDown, backend.Served)
	}
}

// Quiet says that the client had sent nothing more when Settle looked. Nothing
// is unread then that would make closing a reset, so there is no need to linger.
func (s *Session) Quiet(now time.Duration) {
	if s.state == inOpen && s.draining && s.atRest() {
		s.close(now, ReasonDrained, backend.Served)
	}
}

// Abort ends the session at once.
func (s *Session) Abort(now time.Duration) {
	if s.state != inClosed {
		s.close(now, ReasonAborted, s.parted())
	}
}

// endInput says that the client has said its last, or nothing that can be
// listened to any more. Calls that are under way are still answered.
func (s *Session) endInput(now time.Duration, r Reason) {
	if s.inputEnd != "" {
		return
	}
	s.countRejected(r)
	s.inputEnd = r
	s.stopClock(now) // nothing that is only half here is waited for any more
	switch {
	case s.state == inLingering:
	case s.state != inOpen:
		// Acquiring or greeting: the daemon shall have the CONNECT, as it would
		// without us, and rested comes when it has answered.
	case s.requestLeft > 0 || s.dropping() || s.spill != nil || s.atRest():
		s.finish(now, r, backend.Served)
	case s.calls.waiting() == 0:
		// The last bytes are being written, and rested comes when they have been.
	case s.pooled != nil: // the connection outlives this client
	default:
		s.do(Action{Op: CloseWrite, Port: s.leg})
	}
}

// legEnded: the endpoint closed or lost its connection.
func (s *Session) legEnded(now time.Duration, p Port, r Reason, err error) {
	if p != s.leg || s.state != inGreeting && s.state != inOpen {
		return
	}
	if s.state == inGreeting && s.greeting != nil {
		s.failover(now, backend.Broken)
		return
	}
	if s.joining {
		s.unfilled(errHalfAnswer, backend.Broken)
		return
	}
	if s.pooled != nil && s.survives(now, err) {
		return
	}
	if s.delivery != nil && s.calls.waiting() == 0 && s.lease != nil {
		s.blame(err)
		s.endBehindDelivery(r, backend.Served)
		return
	}
	s.blame(err)
	outcome := backend.Served
	if !s.atRest() && s.spill == nil { // what is read into a file is not for this endpoint
		outcome = backend.Broken
	}
	s.finish(now, r, outcome)
}

// endBehindDelivery gives up the lease, but ends the session only when the client has
// been told how the call ended that is being delivered.
func (s *Session) endBehindDelivery(r Reason, o backend.Outcome) {
	s.lateBy, s.swallowing, s.replyLeft = 0, false, 0
	for s.calls.len() > 0 { // late ones
		c := s.calls.pop()
		s.leave(&c, o, failedAs(r))
	}
	if s.inputEnd == "" {
		s.inputEnd = r
	}
	s.release(o)
}
