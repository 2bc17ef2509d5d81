package router

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
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
		s.unsent = false
	case p != Client && p == s.leg && s.unshipped:
		s.unshipped = false
		for ; s.onewaysUnshipped > 0; s.onewaysUnshipped-- {
			s.route.Calls.Oneway(metrics.Sent)
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
		s.unsent = false
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
	case p == Client && s.clientEOF: // its reader has come upon the end already
		s.blame(err)
		s.close(now, ReasonClientReset, s.parted())
		return
	case p == Client:
		s.clientGone = true
	default:
		s.legBroken, s.unshipped = true, false
	}
	s.blame(err)
	s.clockRuns = false
	s.deadline = now + s.env.LingerTime
}

// Tick says that the deadline has passed.
func (s *Session) Tick(now time.Duration) {
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
		case s.pooled != nil && s.pooled.heldIdle:
			s.letGo()
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
	case s.requestLeft > 0 || s.atRest():
		s.finish(now, r, backend.Served)
	case s.calls.len() == 0:
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
	if s.pooled != nil && s.survives() {
		return
	}
	s.blame(err)
	outcome := backend.Served
	if !s.atRest() {
		outcome = backend.Broken
	}
	s.finish(now, r, outcome)
}

// finish ends a session whose client should see an orderly end: everything
// sent to it arrives, then EOF.
func (s *Session) finish(now time.Duration, r Reason, o backend.Outcome) {
	if s.clientEOF && !s.unsent || s.clientGone {
		s.close(now, r, o)
		return
	}
	s.settle(now, r, o)
	s.state = inLingering
	s.resume()
	if s.unsent {
		s.deadline = now + s.env.RequestTime // for a client that is slow to read; then Sent
		return
	}
	s.hangUp(now)
}

// hangUp says the last to a client, which then has the linger time to go.
func (s *Session) hangUp(now time.Duration) {
	s.deadline = now + s.env.LingerTime
	s.do(Action{Op: CloseWrite, Port: Client})
}

// close ends the session.
func (s *Session) close(now time.Duration, r Reason, o backend.Outcome) {
	s.settle(now, r, o)
	s.state = inClosed
	s.deadline = 0
	s.do(Action{Op: Close})
}

// parted is what a lease was good for where its end is not the endpoint's
// doing.
func (s *Session) parted() backend.Outcome {
	if s.greeting != nil {
		return backend.Cancelled
	}
	return backend.Served
}

// blame notes why the session ends, or soon will. The first cause stands.
func (s *Session) blame(err error) {
	if s.summary.Err == nil && s.summary.Reason == "" {
		s.summary.Err = err
	}
}

// settle gives back the lease and accounts for the calls that will get no
// reply. The first reason stands.
func (s *Session) settle(now time.Duration, r Reason, o backend.Outcome) {
	if s.summary.Reason == "" {
		s.summary.Reason = r
	}
	outcome := failedAs(r)
	if s.pooled != nil {
		o = s.parting(o) // before what is under way is forgotten
	}
	if s.requestLeft > 0 && s.sendOneway {
		s.onewaysUnshipped++
	}
	for ; s.onewaysUnshipped > 0; s.onewaysUnshipped-- {
		s.route.Calls.Oneway(outcome)
		if s.onewaysUnshipped == 1 {
			s.observe(now, &s.oneway, outcome) // the last one: of the others only the number is known
		}
	}
	for s.calls.len() > 0 {
		c := s.calls.pop()
		s.route.Calls.Ended(outcome, 0)
		s.observe(now, &c, outcome)
	}
	s.requestLeft, s.replyLeft, s.sendOneway, s.unshipped = 0, 0, false, false
	switch {
	case s.lease != nil:
		s.do(Action{Op: Release, Port: s.leg, Lease: s.lease, Outcome: o})
		s.lease = nil
	case s.leg != 0:
		s.do(Action{Op: Cancel, Port: s.leg})
	}
	s.leg = 0
	s.greeting = nil
	s.leavePool()
}

func (s *Session) observe(now time.Duration, c *call, o metrics.Outcome) {
	s.observer.CallFailed(FailedCall{
		Type:           c.kind,
		Outcome:        o,
		Correlation:    c.correlation,
		HasCorrelation: c.hasCorrelation,
		Err:            c.failure,
		Elapsed:        max(0, c.elapsed(now)),
	})
}

// failedAs is the outcome of calls that a session's end leaves unanswered.
func failedAs(r Reason) metrics.Outcome {
	switch r {
	case ReasonBackendClosed, ReasonBackendReset:
		return metrics.BackendClosed
	case ReasonGarbled:
		return metrics.BackendProtocol
	case ReasonClientClosed, ReasonClientReset:
		return metrics.ClientClosed
	}
	return metrics.Aborted
}

func (s *Session) countRejected(r Reason) {
	if r.Rejected() {
		s.env.Metrics.Rejected(string(r))
	}
}

// refusal is a CONNECTFAIL to be sent. answersConnect is set where the CONNECT
// was read: the answer then bears its sequence number and serializer.
type refusal struct {
	answersConnect bool
	text           string
	dialect        wire.Dialect // 0: the client's, or the default where that is unknown
}

// reject refuses a client that is at fault, or one too many.
func (s *Session) reject(now time.Duration, r Reason, f refusal) {
	s.countRejected(r)
	s.refuse(now, r, f)
}

func (s *Session) refuseDrained(now time.Duration) {
	s.refuse(now, ReasonDrained, refusal{answersConnect: s.state != inHandshake, text: "pyro-dispatch is shutting down"})
}

// refuse answers a client that has no endpoint yet with CONNECTFAIL and ends
// the session.
func (s *Session) refuse(now time.Duration, r Reason, f refusal) {
	w := wire.Refusal{Dialect: f.dialect, Text: f.text}
	g := s.greeting
	if w.Dialect == 0 {
		w.Dialect = s.dialect
	}
	if w.Dialect == 0 {
		w.Dialect = s.env.DefaultDialect
	}
	if f.answersConnect {
		w.Serializer, w.Seq, w.Correlation = g.head.Serializer(), g.head.Seq, g.correlation
	}
	s.do(Action{Op: Send, Port: Client, Bytes: wire.AppendConnectFail(nil, w)})
	s.finish(now, r, backend.Cancelled)
}
