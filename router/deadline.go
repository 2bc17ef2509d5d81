package router

import (
	"errors"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

// Why a call got no reply, besides what package backend says.
var (
	// ErrTimeout: the call took longer than it may.
	ErrTimeout = errors.New("no reply in time")
	// ErrSendTimeout: a peer took no bytes for too long.
	ErrSendTimeout = errors.New("no bytes taken in time")
	// ErrBudget: the call that it was made for has too little time left.
	ErrBudget = errors.New("too little time left for a nested call")
	// ErrTooLarge: the message is larger than max_message_size.
	ErrTooLarge = errors.New("message too large")
)

// callDue is when the first of the client's calls has taken too long; 0: never. A
// request that is still being sent has all the time it needs.
func (s *Session) callDue() (due time.Duration) {
	if s.looked && s.delivery == nil && (s.lease == nil || s.joining) || s.held() {
		due = s.next.due
	}
	due = sooner(due, s.deliveryDue)
	for i := range s.calls.len() {
		if c := s.calls.at(i); c.sent != 0 && !c.late {
			due = sooner(due, c.due)
		}
	}
	return due
}

// held: the client's next request waits for a late reply. One that takes a route of its
// own does not.
func (s *Session) held() bool {
	return s.looked && s.next.to == nil && s.pooled == nil && s.calls.late() > 0
}

// expire answers the calls that have taken too long. It reports whether the session
// has ended.
func (s *Session) expire(now time.Duration) bool {
	if s.joining {
		if due := s.next.due; due != 0 && now >= due {
			s.unfilled(ErrTimeout, backend.TimedOut)
		}
		return false
	}
	if s.state != inOpen || s.greeting != nil {
		return false
	}
	if due := s.deliveryDue; due != 0 && now >= due {
		s.deliveryDue = 0
		s.do(Action{Op: Expire, Delivery: s.delivery})
	}
	if due := s.next.due; due != 0 && now >= due && (s.looked && s.delivery == nil && s.lease == nil || s.held()) {
		s.giveUpNext(now)
	}
	for i := 0; i < s.calls.len() && s.state == inOpen; i++ {
		if c := s.calls.at(i); c.sent != 0 && !c.late && c.due != 0 && now >= c.due {
			c.failure = ErrTimeout
			s.giveUp(now, i, metrics.TimedOut)
			break // whatever else is due will be at the next tick
		}
	}
	return s.state != inOpen
}

// giveUpNext: the client's next request has waited for too long.
func (s *Session) giveUpNext(now time.Duration) {
	s.next.failure = ErrTimeout
	if s.pooled != nil && s.leg != 0 && s.lease == nil {
		s.cancel(backend.TimedOut)
		s.pooled.waiting = false
	}
	s.resume()
}

// giveUp answers the call at position i of those that wait for a reply, because
// the endpoint does not.
func (s *Session) giveUp(now time.Duration, i int, o metrics.Outcome) {
	c := s.calls.at(i)
	if i != s.calls.late() || s.replyLeft > 0 && !s.swallowing || s.unsent || !c.answerable() {
		// The client has a part of a reply already, this one's or another's, or would
		// not understand one of ours.
		s.blame(c.failure)
		s.endAs(now, o)
		return
	}
	switch {
	case s.pooled != nil:
		s.giveUpPooled(now, o)
	case s.classOf(c).Drops():
		s.blame(c.failure)
		s.account(now, c, o)
		s.answer(now, c)
		o := s.tardy(c)
		s.calls.pop()
		s.finish(now, ReasonCallTimeout, o)
	default:
		s.account(now, c, o)
		s.answer(now, c)
		c.late = true
		c.flight.Abandon()
		if !c.flight.ChildFailed() {
			s.lease.Late()
		}
		if bound := s.route.Cluster.GhostTimeout(); s.lateBy == 0 && bound > 0 {
			s.lateBy = now + bound
		}
	}
}

// endAs ends the session because of a call that ends so.
func (s *Session) endAs(now time.Duration, o metrics.Outcome) {
	reason := ReasonCallTimeout
	if o == metrics.SendTimedOut {
		reason = ReasonSendTimeout
	}
	if s.replyLeft > 0 && !s.swallowing || s.unsent {
		// The client may be what holds it up, and is not waited for.
		s.close(now, reason, backend.TimedOut)
		return
	}
	s.finish(now, reason, backend.TimedOut)
}

// giveUpPooled does so in mode call, where the connection is another's to wait for.
func (s *Session) giveUpPooled(now time.Duration, o metrics.Outcome) {
	p := s.pooled
	c := s.calls.pop()
	s.account(now, &c, o)
	outcome := s.tardy(&c)
	s.wrote()
	p.replay = nil
	switch {
	case p.resending:
		p.resending = false
		if s.lease == nil {
			s.cancel(backend.TimedOut)
		} else {
			s.unhold(outcome)
		}
	case s.unshipped:
		s.unshipped = false
		s.unhold(backend.Broken) // it does not even take the request
	default:
		s.unhold(outcome)
	}
	s.answer(now, &c)
	if s.atRest() {
		s.rested(now)
	}
}

// stuck: the peer at port p has taken no bytes for too long.
func (s *Session) stuck(now time.Duration, p Port) {
	s.blame(ErrSendTimeout)
	if p == Client {
		s.close(now, ReasonSendTimeout, s.parted())
		return
	}
	if s.calls.waiting() == 0 {
		s.oneway.failure = ErrSendTimeout
	} else if c := s.calls.newest(); !c.late {
		c.failure = ErrSendTimeout
		if s.calls.waiting() == 1 && c.answerable() && !s.unsent && (s.replyLeft == 0 || s.swallowing) {
			s.account(now, c, metrics.SendTimedOut)
			s.answer(now, c)
			c.late = true // that is, it has been counted
		}
	}
	// How much of the request was lost on the way is not known, so the client cannot
	// be listened to any more.
	s.finish(now, ReasonSendTimeout, backend.Broken)
}

// account counts the end of a call that waited for a reply.
func (s *Session) account(now time.Duration, c *call, o metrics.Outcome) {
	s.route.Calls.Ended(o, 0)
	s.observe(now, c, o)
	c.flight.Failed() // before the client hears of it
}

// tardy is what the lease of a call was good for that took too long. The daemon goes
// on with it, for as long as it likes.
func (s *Session) tardy(c *call) backend.Outcome {
	c.flight.Abandon()
	if s.lease != nil {
		s.lease.OnGone(c.flight.End)
	} else {
		c.flight.End()
	}
	if c.flight.ChildFailed() {
		return backend.Abandoned // the fault is further down
	}
	return backend.TimedOut
}

// rushed: the client has had nothing to say for too long, unless it is about to say
// something: that has a time of its own.
func (s *Session) rushed(now time.Duration) {
	s.quietBy = 0
	if s.state == inOpen && s.atRest() && !s.clockRuns {
		s.finish(now, ReasonIdleTimeout, backend.Served)
	}
}

// tooLate: a late reply has not come, and is waited for no longer.
func (s *Session) tooLate(now time.Duration) {
	s.lateBy = 0
	if s.held() && s.clear() { // a request waits behind it, and is to be told
		s.next.failure = ErrTimeout
		s.decline(now)
	}
	switch {
	case s.state != inOpen:
		return
	case s.delivery != nil && s.lease != nil && s.inputEnd == "":
		s.endBehindDelivery(ReasonCallTimeout, backend.Abandoned)
		return
	}
	s.finish(now, ReasonCallTimeout, backend.Abandoned) // the endpoint was judged when the call was given up
}
