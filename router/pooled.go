package router

import (
	"time"

	"github.com/google/uuid"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// pooled is what a session in mode call has besides. It holds a lease only while
// a call is under way:
//
//	Handshake ── CONNECT known, or answered by a daemon ──► Idle
//	Idle ── request complete enough to be sent on ──► Acquiring (or at once)
//	Acquiring ── lease granted ──► Sending ──► Waiting ──► Replying
//	Acquiring ── none to be had ──► Idle (the client gets an exception of ours)
//	Replying ── the last byte is written ──► Idle (the lease is given back)
//
// A client has one call under way at a time; what it sends meanwhile waits. A
// stream keeps the lease (held), since the daemon ties it to the connection.
type pooled struct {
	handshake *backend.Handshake
	objectKey uint64 // the hash key of calls that have none of their own

	waiting   bool            // a request waits for a lease, or to be shown again now that there is one
	fresh     bool            // nothing of the current request is known to be written
	unwritten int64           // bytes of it that were forwarded meanwhile
	endAs     backend.Outcome // what the call's lease will have been good for
	replay    *replay         // the request, where it may be sent again after it has been
	resending bool            // an Acquire for replay is under way

	held   bool          // the lease is kept between calls
	unsure bool          // only because nothing tells when its oneway call is over
	idleBy time.Duration // when it is given back all the same; 0: a call is under way, or never

	freed   *backend.Lease // for Freed
	freedAs backend.Outcome
}

// joinPool is the beginning of mode call: the CONNECT is answered with what a
// daemon said to an equal one, or goes to a daemon.
func (s *Session) joinPool(now time.Duration, h *wire.Head) {
	c := s.route.Cluster
	s.pooled.handshake = c.Join(h, s.greeting.message)
	s.attempt.Handshake = s.pooled.handshake
	if s.route.ShareHandshake {
		if answer := c.Greet(s.attempt); answer != nil && s.answerAsBefore(answer) {
			return
		}
	}
	if s.forestalled(now, h) {
		return
	}
	s.attempt.Connect = s.greeting.message
	s.acquire()
}

// Gone says that the driver has nothing under way any more for the session, which
// has closed. It is the last event.
func (s *Session) Gone() {
	s.forgetIntros()
	if p := s.pooled; p != nil && p.handshake != nil {
		s.route.Cluster.Leave(p.handshake) // not before: Acquire makes use of it
		p.handshake = nil
	}
}

// answerAsBefore answers the CONNECT with a stored CONNECTOK.
func (s *Session) answerAsBefore(stored []byte) bool {
	id := s.greeting.correlation
	if id == [16]byte{} {
		id = uuid.New() // a daemon makes one too, for a CONNECT that has none
	}
	answer, err := wire.AppendAddressed(nil, stored, s.greeting.head.Seq, id)
	if err != nil {
		return false
	}
	s.welcome(s.signed(answer))
	return true
}

// welcome sends the client a CONNECTOK, as it is.
func (s *Session) welcome(answer []byte) {
	s.state = inOpen
	s.greeting, s.excuseBy = nil, 0
	if s.attempt != nil {
		s.attempt.Connect = nil
	}
	s.summary.ReplyBytes += int64(len(answer))
	s.route.Calls.Reply(int64(len(answer)))
	s.pass(answer)
}

// tell sends the client a message of ours in the place of a reply.
func (s *Session) tell(message []byte) { s.pass(s.signed(message)) }

// pass sends the client a message. Sent or WriteFailed says when that is over.
func (s *Session) pass(message []byte) {
	if s.clientGone {
		return
	}
	s.unsent, s.telling = true, true
	s.do(Action{Op: Send, Port: Client, Bytes: message})
}

// Telling reports whether a message of ours for the client is not known to be written.
func (s *Session) Telling() bool { return s.telling && s.state != inClosed }

// passOnRefusal gives the client the CONNECTFAIL with which a daemon answered its
// CONNECT.
func (s *Session) passOnRefusal(now time.Duration, r *backend.RefusedError) {
	s.summary.Endpoint = r.Endpoint.Address.String()
	s.summary.ReplyBytes += int64(len(r.Answer))
	s.route.Calls.Reply(int64(len(r.Answer)))
	s.route.Calls.Refused()
	s.do(Action{Op: Send, Port: Client, Bytes: r.Answer})
	s.finish(now, ReasonRefused, backend.Refused)
}

// grantedPooled: there is a lease, for the CONNECT or a request.
func (s *Session) grantedPooled(now time.Duration, l *backend.Lease) {
	p := s.pooled
	s.lease = l
	s.summary.Endpoint = l.Endpoint.Address.String()
	switch {
	case s.greeting != nil: // the answer to the CONNECT came with it
		s.welcome(l.Answer)
		s.giveBack(backend.Served)
	case p.resending:
		p.resending = false
		if s.rejoin(now) {
			s.do(Action{Op: Send, Port: s.leg, Bytes: p.replay.message})
		}
	default:
		s.resume()
	}
}

// noEndpoint: there is no lease for the request that waits for one.
func (s *Session) noEndpoint(now time.Duration, err error) {
	if s.pooled.resending {
		s.blame(err)
		s.finish(now, ReasonBackendClosed, backend.Broken)
		return
	}
	s.next.failure = err
	s.pooled.waiting = false
	s.resume()
}

// readyPooled reports whether the client's next request, with header h, which
// message begins with, can be sent on now: there is a lease for it then.
// Otherwise it has to wait for a Resume, or is to be answered with its failure.
func (s *Session) readyPooled(now time.Duration, h *wire.Head, message []byte) bool {
	p, c := s.pooled, &s.next
	switch {
	case s.lease != nil && p.waiting:
		p.waiting = false
		if c.due != 0 && now >= c.due {
			c.failure = ErrTimeout
			s.unhold(backend.Cancelled)
			return false
		}
	case !s.atRest():
		return false
	case s.lease == nil && !s.lend(now, h, message, c):
		return false
	}
	p.idleBy = 0
	p.fresh = true
	p.endAs = backend.Served
	if c.oneway(h) {
		p.endAs = backend.Resting
	}
	return true
}

// lend takes a lease that is to be had at once, or asks for one.
func (s *Session) lend(now time.Duration, h *wire.Head, message []byte, c *call) bool {
	a := s.attempt
	a.Again()
	a.Nested = c.nested() // see docs/configuration.md, nested_reserve
	if s.route.HashBy.perCall() {
		annotations, _ := split(h, message)
		if key, ok := s.route.HashBy.callKey(h.Dialect, annotations); ok {
			a.HashKey = key
		} else {
			a.HashKey = s.pooled.objectKey
		}
	}
	s.lastLeg++
	s.leg = s.lastLeg
	if l := s.route.Cluster.TryLease(a); l != nil {
		s.lease = l
		s.summary.Endpoint = l.Endpoint.Address.String()
		return true
	}
	s.summary.Endpoint = "" // of this call none is known yet
	if s.waitsForItself(now, c, h) {
		s.leg = 0
		return false
	}
	s.pooled.waiting = true
	s.do(Action{Op: Acquire, Port: s.leg, Attempt: a})
	return false
}
