package router

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// How a session in mode call parts with its lease.

// pingSeq is the sequence number of our own PINGs. A client's would have to be
// the same at the wrong moment to be taken for one.
const pingSeq = 0x5049

// maxPong bounds the answers to our PINGs, in bytes. A daemon's annotations may
// ride on them.
const maxPong = 4 << 10

// ownPong reports whether a message with head h answers a PING of ours, which
// the client must not see.
func (s *Session) ownPong(h *wire.Head) bool {
	return s.pooled != nil && s.lease.Pings > 0 && h.Dialect == s.dialect &&
		h.Type == wire.Ping && h.Seq == pingSeq && h.Len() <= maxPong
}

// repliedPooled: a reply is complete, though perhaps not written yet.
func (s *Session) repliedPooled() {
	p := s.pooled
	p.replay = nil
	s.lease.Pings = 0 // answered in order, so before this
	switch {
	case s.replyFlags.Has(wire.ItemStream):
		// The end of a stream cannot be seen. Its daemon is where the client must
		// stay, and its connection is what keeps it alive.
		s.attempt.Stay(s.lease)
		p.unsure = false
		if p.held = s.lease.Pin(); !p.held {
			p.endAs = backend.Spent
		}
	case p.unsure: // the oneway call before this one is over
		p.held, p.unsure = false, false
	}
}

// restedPooled: the call is over, and all of it has been written.
func (s *Session) restedPooled(now time.Duration) {
	p := s.pooled
	if s.lease != nil {
		switch {
		case p.endAs == backend.Resting && p.handshake.Signed:
			// No PING of ours can tell when the call is over, so that this client's
			// next one waits for it on the same connection.
			if p.held || s.lease.Pin() {
				p.unsure = p.unsure || !p.held
				s.hold(now)
				break
			}
			s.release(backend.Abandoned)
		case p.held:
			s.hold(now)
		case p.endAs == backend.Resting:
			s.do(Action{Op: Send, Port: s.leg, Bytes: wire.AppendPing(nil, s.dialect, p.handshake.Serializer, pingSeq)})
			s.release(backend.Resting)
		default:
			s.giveBack(p.endAs)
		}
	}
	p.replay = nil
	s.resume()
}

// hold keeps the lease until the next call, but not for ever.
func (s *Session) hold(now time.Duration) {
	p := s.pooled
	p.held = true
	if !s.clientGone && !s.legBroken && s.state == inOpen && s.route.StreamIdleTime > 0 {
		p.heldIdle = true
		s.deadline = now + s.route.StreamIdleTime
	}
}

// letGo: the lease was held without a call for too long. The client stays, and
// with a stream at its endpoint: if the daemon lets streams linger, it finds its
// own again.
func (s *Session) letGo() {
	p := s.pooled
	s.observer.StreamTimedOut(s.lease.Endpoint.Address.String())
	if p.unsure {
		s.unhold(backend.Abandoned)
		return
	}
	s.unhold(backend.Spent)
}

// unhold gives back a lease that was held.
func (s *Session) unhold(o backend.Outcome) {
	p := s.pooled
	p.held, p.unsure = false, false
	if p.heldIdle {
		p.heldIdle = false
		s.deadline = 0
	}
	s.release(o)
}

// giveBack ends the lease as soon as the event has been dealt with, without an
// Action: it happens once a call.
func (s *Session) giveBack(o backend.Outcome) {
	s.pooled.freed, s.pooled.freedAs = s.lease, o
	s.lease, s.leg = nil, 0
}

// Freed gives a lease that is over, and what it was good for; nil where there is
// none. It is to be asked after every event, before Actions: the lease must be
// ended at once.
func (s *Session) Freed() (*backend.Lease, backend.Outcome) {
	p := s.pooled
	if p == nil || p.freed == nil {
		return nil, 0
	}
	l := p.freed
	p.freed = nil
	return l, p.freedAs
}

// release ends the lease behind what is to be written before.
func (s *Session) release(o backend.Outcome) {
	s.do(Action{Op: Release, Port: s.leg, Lease: s.lease, Outcome: o})
	s.lease, s.leg = nil, 0
}

// Unwritten says that of the bytes that were forwarded to port p last none could
// be written. Where the session returns true, the request will go to another
// endpoint: they count as not taken, and wait for a Resume.
func (s *Session) Unwritten(now time.Duration, p Port) bool {
	k := s.pooled
	if k == nil || p != s.leg || s.lease == nil || !k.fresh || s.state != inOpen {
		return false
	}
	if s.calls.len() > 0 {
		s.calls.pop()
		s.route.Calls.Undone()
	}
	s.summary.Calls--
	s.onewaysUnshipped, s.sendOneway = 0, false
	s.requestLeft, s.unshipped = 0, false
	k.fresh, k.replay = false, nil
	k.waiting = true
	s.unhold(backend.Cancelled)
	s.paused = true
	s.acquireAgain()
	return true
}

// survives reports whether the session goes on although the connection of its
// lease has ended.
func (s *Session) survives() bool {
	p := s.pooled
	switch {
	case s.state != inOpen:
		return false
	case p.waiting: // nothing has been sent
		s.unhold(backend.Cancelled)
		s.acquireAgain()
		return true
	case s.atRest():
		s.unhold(backend.Spent)
		return true
	case p.replay == nil, s.calls.len() == 0, s.replyLeft > 0, s.clientGone:
		return false
	}
	if s.route.Cluster.Spend() != nil {
		return false
	}
	s.legBroken, s.unshipped, s.requestLeft = false, false, 0
	s.deadline = 0
	p.resending = true
	s.unhold(backend.Broken)
	s.acquireAgain()
	return true
}

// parting is what the lease was good for where the session ends; o is what is
// said of the endpoint.
func (s *Session) parting(o backend.Outcome) backend.Outcome {
	p := s.pooled
	switch {
	case s.lease == nil, o == backend.Broken, o == backend.Garbled:
		return o
	case p.waiting:
		return backend.Cancelled
	case s.requestLeft > 0, s.unshipped:
		return backend.Torn
	case s.calls.len() > 0, s.replyLeft > 0, p.unsure:
		return backend.Abandoned
	case p.held:
		return backend.Spent
	}
	if p.endAs == backend.Resting {
		return backend.Abandoned
	}
	return p.endAs
}

// leavePool ends mode call.
func (s *Session) leavePool() {
	if p := s.pooled; p != nil && p.handshake != nil {
		s.route.Cluster.Leave(p.handshake)
		p.handshake, s.attempt.Handshake = nil, nil
		p.waiting, p.failure, p.replay = false, nil, nil
	}
}

// Leg gives the lease in force and its port, nil and 0 where there is none.
func (s *Session) Leg() (Port, *backend.Lease) {
	if s.lease == nil {
		return 0, nil
	}
	return s.leg, s.lease
}
