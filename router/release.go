package router

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// How a session in mode call parts with its lease.

// PingSeq is the sequence number of our own PINGs. A client's would have to be
// the same at the wrong moment to be taken for one.
const PingSeq = 0x5049

// MaxPong bounds the answers to our PINGs, in bytes. A daemon's annotations may
// ride on them.
const MaxPong = 4 << 10

// ownPong reports whether a message with head h answers a PING of ours, which
// the client must not see.
func (s *Session) ownPong(h *wire.Head) bool {
	return s.pooled != nil && s.lease.Pings > 0 && h.Dialect == s.dialect &&
		h.Type == wire.Ping && h.Seq == PingSeq && h.Len() <= MaxPong
}

// repliedPooled: a reply is complete, though perhaps not written yet.
func (s *Session) repliedPooled() {
	p := s.pooled
	p.replay = nil
	s.lease.Settled()
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
	if p.held || !s.replyFlags.Has(wire.Exception) || s.replyFlags.Has(wire.ItemStream) {
		return
	}
	// Behind some exceptions a daemon closes the connection: SerializeError and
	// SecurityError, and those of callback methods (handleRequest of both
	// libraries' daemons). Somebody else's call must not be the one to find out.
	p.endAs = backend.Doubtful
	if p.handshake.Signed {
		p.endAs = backend.Spent // no PING of ours would be answered
	}
}

// restedPooled: the call is over, and all of it has been written.
func (s *Session) restedPooled(now time.Duration) {
	p := s.pooled
	p.replay = nil
	switch {
	case s.lease == nil:
	case s.legBroken: // it was answered before all of it could be written
		s.unhold(backend.Torn)
	case p.held:
		s.hold(now)
	case p.endAs == backend.Doubtful, p.endAs == backend.Resting && !p.handshake.Signed:
		s.do(Action{Op: Send, Port: s.leg, Lease: s.lease, Bytes: p.handshake.Ping(PingSeq)})
		s.release(p.endAs)
	case p.endAs != backend.Resting:
		s.giveBack(p.endAs)
	case s.lease.Pin():
		// No PING of ours can tell when the call is over, so that this client's
		// next one waits for it on the same connection.
		p.unsure = true
		s.hold(now)
	default:
		s.giveBack(backend.Abandoned)
	}
	s.resume()
}

// hold keeps the lease until the next call, but not for ever.
func (s *Session) hold(now time.Duration) {
	p := s.pooled
	p.held = true
	s.lease.Busy(false)
	if idle := s.route.StreamIdleTime; idle > 0 {
		p.idleBy = now + idle
	}
}

// letGo: the lease was held without a call for too long. The client stays, and
// with a stream at its endpoint: if the daemon lets streams linger, it finds its
// own again.
func (s *Session) letGo() {
	if s.pooled.unsure {
		s.unhold(backend.Abandoned)
		return
	}
	s.observer.StreamTimedOut(s.lease.Endpoint.Address.String())
	s.unhold(backend.Spent)
}

// unhold gives up a lease, and all that had to do with its connection.
func (s *Session) unhold(o backend.Outcome) {
	p := s.pooled
	p.held, p.unsure, p.idleBy = false, false, 0
	if s.legBroken {
		s.legBroken = false
		s.disarm()
	}
	s.giveBack(o)
}

// giveBack ends the lease as soon as the event has been dealt with, and not by an
// Action: until that is carried out the client may have begun another call.
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

// release ends the lease behind what is to be written to it before.
func (s *Session) release(o backend.Outcome) {
	s.do(Action{Op: Release, Port: s.leg, Lease: s.lease, Outcome: o})
	s.lease, s.leg = nil, 0
}

// parting is what the lease was good for where the session ends; o is what is
// said of the endpoint.
func (s *Session) parting(o backend.Outcome) backend.Outcome {
	p := s.pooled
	switch {
	case s.lease == nil, o == backend.Broken, o == backend.Garbled, o == backend.Excused:
		return o
	case p.waiting:
		return backend.Cancelled
	case s.requestLeft > 0, s.unshipped, s.legBroken:
		return backend.Torn
	case s.calls.len() > 0, s.replyLeft > 0, p.unsure:
		return backend.Abandoned
	case p.held, p.endAs == backend.Doubtful: // no PING was written that would tell
		return backend.Spent
	}
	return p.endAs
}

// Leg gives the lease in force and its port, nil and 0 where there is none.
func (s *Session) Leg() (Port, *backend.Lease) {
	if s.lease == nil {
		return 0, nil
	}
	return s.leg, s.lease
}
