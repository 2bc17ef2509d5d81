package router

import (
	"slices"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// What becomes of a session in mode call, and its request, when the connection of
// its lease fails.

// Unwritten says that of the bytes that were forwarded to port p last none could
// be written. Where the session returns true, the request will go to another
// endpoint: they count as not taken, and wait for a Resume.
func (s *Session) Unwritten(p Port) bool {
	k := s.pooled
	if k == nil || !k.fresh || p != s.leg || s.lease == nil || s.state != inOpen || s.replyLeft > 0 {
		return false
	}
	if s.calls.len() > 0 {
		s.next = s.calls.pop()
		s.route.Calls.Undone()
	} else if !s.sendOneway && s.onewaysUnshipped == 0 {
		return false // it was answered all the same
	} else {
		s.next = s.oneway
	}
	s.next.flight.End() // it has not happened
	s.next.sent, s.next.flight, s.looked = 0, nil, true
	s.summary.Calls--
	s.onewaysUnshipped, s.sendOneway = 0, false
	s.requestLeft, s.unshipped = 0, false
	k.fresh, k.replay = false, nil
	k.waiting, s.paused = true, true
	s.unhold(backend.Torn) // whatever is wrong with the connection, nobody else is to have it
	s.acquireAgain()
	return true
}

// keepForResend copies a request that may be sent again, as it is sent.
func (s *Session) keepForResend(h *wire.Head, message []byte, t *Taken) {
	if s.pooled == nil || !s.route.Idempotent || s.next.kind != wire.Invoke || s.next.oneway(h) ||
		h.Len() > s.env.Limits.StoreAndForward {
		return
	}
	s.pooled.replay = &replay{message: slices.Concat(t.Head, message[t.Cut:h.Len()]), parents: s.parents}
}

// replay is what a request is sent again from.
type replay struct {
	message []byte
	parents inflight.Parents
}

// rejoin moves the call that is sent again, for which there is a lease, to where that
// leads. It reports false where the call would close a circle there and is answered.
func (s *Session) rejoin(now time.Duration) bool {
	c, parents := s.calls.oldest(), &s.pooled.replay.parents
	c.span.Endpoint(s.summary.Endpoint)
	target := inflight.Node{Name: s.summary.Endpoint, Host: s.lease.Conn.Host()}
	if parents.Nested() {
		if circle, kind := parents.Circle(target); kind != inflight.None && s.rejects(now, c, circle, kind) {
			call := s.calls.pop()
			s.account(now, &call, metrics.Circular)
			call.flight.End()
			s.unhold(backend.Cancelled)
			s.answer(now, &call)
			if s.atRest() { // there is nobody to be told
				s.rested(now)
			}
			return false
		}
	}
	c.flight.Move(target)
	return true
}

// wrote: bytes of the current request have been written, or may have been.
func (s *Session) wrote() {
	k := s.pooled
	if k == nil || !k.fresh {
		return
	}
	k.fresh = false
	s.countRequest(k.unwritten)
	if s.route.Idempotent {
		s.route.Cluster.Earn()
	}
}

// unwritable: not all of the current request can be written. It reports whether
// the session goes on without the connection.
func (s *Session) unwritable(now time.Duration, err error) bool {
	switch {
	case s.requestLeft > 0:
		return false // how much of it was lost on the way is not known
	case s.calls.len() == 0:
		s.lose(now, err)
		return true
	}
	return s.resend(now, err)
}

// survives reports whether the session goes on although the connection of its
// lease has ended.
func (s *Session) survives(now time.Duration, err error) bool {
	switch {
	case s.state != inOpen:
		return false
	case s.pooled.waiting: // nothing has been sent
		s.unhold(backend.Cancelled)
		s.acquireAgain()
		return true
	case s.quits():
		s.quit(now, backend.Spent)
		return true
	case s.requestLeft == 0 && s.calls.len() == 0:
		s.lose(now, err)
		return true
	}
	return s.resend(now, err)
}

// quits: the endpoint has done all that it should. It has been sent all of it too, though
// the driver may be about to say so.
func (s *Session) quits() bool {
	return s.calls.len() == 0 && s.requestLeft == 0 && s.replyLeft == 0 && s.onewaysUnshipped == 0
}

// quit gives up the lease of an endpoint that quits.
func (s *Session) quit(now time.Duration, o backend.Outcome) {
	due := s.unshipped
	s.wrote()
	s.unshipped = false
	s.unhold(o)
	if due && s.atRest() {
		s.rested(now)
	}
}

// lose gives up the oneway call that is being written. Nobody waits to be told.
func (s *Session) lose(now time.Duration, err error) {
	s.wrote()
	s.oneway.failure = err
	s.failOneways(now, metrics.BackendClosed)
	s.unshipped = false
	s.unhold(s.brokenAs())
	if s.atRest() {
		s.rested(now)
	}
}

// resend has an idempotent call sent to another endpoint, if it may be.
func (s *Session) resend(now time.Duration, err error) bool {
	p := s.pooled
	switch {
	case p.replay == nil, s.calls.len() == 0, s.requestLeft > 0, s.replyLeft > 0, s.clientGone:
		return false
	case s.route.Cluster.Spend() != nil:
		p.replay = nil
		return false
	}
	s.wrote()
	s.unshipped = false
	p.resending = true
	why := metrics.BackendClosed.String()
	if err != nil {
		why = err.Error()
	}
	s.calls.oldest().span.Retry(now, "", why)
	s.unhold(s.brokenAs())
	s.acquireAgain()
	return true
}

// acquireAgain asks for another lease for a request that has none any more.
func (s *Session) acquireAgain() {
	s.lastLeg++
	s.leg = s.lastLeg
	s.do(Action{Op: Acquire, Port: s.leg, Attempt: s.attempt})
}
