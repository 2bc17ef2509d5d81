package router

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// How a session ends, and accounts for what is under way then.

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
	s.looked, s.quietBy, s.lateBy, s.excuseBy = false, 0, 0, 0
	if s.calls.late() > 0 && o == backend.Served {
		o = backend.Abandoned // the daemon is at work for nobody
	}
	if o == backend.Broken {
		o = s.brokenAs()
	}
	if s.pooled != nil {
		o = s.parting(o) // before what is under way is forgotten
		s.wrote()
		s.pooled.replay, s.pooled.idleBy = nil, 0
	}
	if s.requestLeft > 0 && s.sendOneway {
		s.onewaysUnshipped++
	}
	s.failOneways(now, outcome)
	s.dropDelivery(now, outcome)
	for s.calls.len() > 0 {
		c := s.calls.pop()
		s.leave(&c, o, outcome)
		if c.late {
			continue // that has been counted
		}
		s.route.Calls.Ended(outcome, 0)
		s.observe(now, &c, outcome)
	}
	s.requestLeft, s.replyLeft, s.spill = 0, 0, nil
	s.sendOneway, s.unshipped, s.swallowing = false, false, false
	switch {
	case s.lease != nil && s.pooled != nil:
		s.giveBack(o)
	case s.lease != nil:
		s.do(Action{Op: Release, Port: s.leg, Lease: s.lease, Outcome: o})
		s.lease = nil
	case s.leg != 0:
		s.do(Action{Op: Cancel, Port: s.leg})
	}
	s.leg = 0
	s.greeting, s.hollow, s.joining = nil, nil, false
}

// failOneways accounts for oneway calls that are not known to be written.
func (s *Session) failOneways(now time.Duration, o metrics.Outcome) {
	for ; s.onewaysUnshipped > 0; s.onewaysUnshipped-- {
		s.route.Calls.Oneway(o)
		if s.onewaysUnshipped == 1 {
			s.observe(now, &s.oneway, o) // the last one: of the others only the number is known
		}
	}
}

func (s *Session) observe(now time.Duration, c *call, o metrics.Outcome) {
	s.endSpan(now, c, o)
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
	case ReasonCallTimeout:
		return metrics.TimedOut
	case ReasonSendTimeout:
		return metrics.SendTimedOut
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
	s.do(Action{Op: Send, Port: Client, Bytes: s.signed(wire.AppendConnectFail(nil, w))})
	s.finish(now, r, backend.Cancelled)
}
