package router

import (
	"errors"
	"fmt"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// What is known of where a call comes from, and what follows from it: how much time
// it has, and whether it would wait for itself.

var (
	// ErrCircular: the call would wait for itself.
	ErrCircular = errors.New("circular call")
	// ErrTooDeep: as many calls as may wait for it already.
	ErrTooDeep = errors.New("calls nested too deeply")
)

// nest finds the calls that the client's next request may be made for. Those that
// it certainly is made for bound its time.
func (s *Session) nest(now time.Duration, h *wire.Head, marks *wire.Marks) {
	c := &s.next
	if s.env.Graph == nil || c.kind != wire.Invoke || c.failure != nil {
		s.origin, s.parents = inflight.Origin{}, inflight.Parents{}
		return
	}
	marks.Correlation = c.correlation
	s.origin = s.originOf(marks, c.made)
	s.parents = s.env.Graph.Look(s.origin)
	c.child = s.parents.Nested()
	if !s.parents.Certain() || c.oneway(h) {
		return
	}
	policy := &s.routeOf(c).Policy
	if due := s.parents.Due(); due != 0 {
		c.latest = due - policy.Margin
		c.due = sooner(c.due, max(c.latest, 1))
		if c.latest-now < policy.MinBudget {
			c.failure = fmt.Errorf("%w: %v", ErrBudget, max(0, c.latest-now).Round(time.Millisecond))
			return
		}
	}
	if depth := s.parents.Depth() + 1; policy.MaxDepth > 0 && depth > policy.MaxDepth {
		c.failure = fmt.Errorf("%w: %d, of %d that are allowed", ErrTooDeep, depth, policy.MaxDepth)
	}
}

// originOf is where a message with these marks comes from.
func (s *Session) originOf(marks *wire.Marks, made bool) inflight.Origin {
	o := inflight.Origin{Correlation: marks.Correlation, Made: made, Source: s.source}
	if marks.Chain != nil {
		if chain, err := inflight.ParseChain(marks.Chain); err == nil {
			o.Chain = chain
		}
	}
	return o
}

// join puts the client's next request, for which there is a lease, into the graph.
// It reports false where the request would close a circle and is not sent on.
func (s *Session) join(now time.Duration, h *wire.Head) bool {
	c, g := &s.next, s.env.Graph
	s.traceSent(now, c)
	if g == nil || c.kind != wire.Invoke {
		return true
	}
	target := inflight.Node{Name: s.lease.Endpoint.Address.String(), Host: s.lease.Conn.Host()}
	if s.parents.Nested() && !c.oneway(h) {
		if circle, kind := s.parents.Circle(target); kind != inflight.None && s.rejects(now, c, circle, kind) {
			if s.pooled != nil {
				s.unhold(backend.Cancelled)
			}
			return false
		}
	}
	c.flight = g.Begin(s.origin, s.parents, target, c.due)
	if !c.span.IsZero() {
		c.flight.SetValue(c.span)
	}
	if c.oneway(h) {
		c.flight.Detach()
	}
	return true
}

// rejects reports a circle, and whether c, which closes it, is not sent on.
func (s *Session) rejects(now time.Duration, c *call, circle inflight.Circle, kind inflight.Kind) bool {
	certain, rejected := kind == inflight.Certain, false
	if certain {
		switch s.route.Policy.Circular {
		case CircularReject:
			rejected = true
		case CircularAuto:
			// A daemon with a thread for each connection serves a call that comes back.
			rejected = s.lease.Endpoint.Server() == health.MultiplexServer
		}
	}
	s.foundCircle(now, circle, certain, rejected)
	if rejected {
		c.failure = fmt.Errorf("%w: %s", ErrCircular, circle)
	}
	return rejected
}

// foundCircle counts a circle, and tells of it. With an id of its own a program's
// parallel calls look like possible ones, so those do not crowd out the others.
func (s *Session) foundCircle(now time.Duration, circle inflight.Circle, certain, rejected bool) {
	s.route.Calls.Circle(certain, rejected)
	if certain {
		s.env.Graph.Report(circle, inflight.Certain, now, rejected)
	}
	s.observer.Circle(FoundCircle{Circle: circle, Certain: certain, Rejected: rejected})
}

// failedUnsent notes that the client's next request, which is not sent, has failed:
// a daemon may close the connection of the call that it was made for.
func (s *Session) failedUnsent() {
	if s.parents.Nested() {
		f := s.env.Graph.Begin(s.origin, s.parents, inflight.Node{}, 0)
		f.Failed()
		f.End()
	}
}

// leave takes a call that the end of its session, or lease, leaves unanswered out of
// the graph: when the daemon has let go of it.
func (s *Session) leave(c *call, lease backend.Outcome, outcome metrics.Outcome) {
	if outcome != metrics.ClientClosed && !c.late {
		c.flight.Failed()
	}
	if s.lease == nil || lease != backend.Abandoned && lease != backend.TimedOut {
		c.flight.End()
		return
	}
	c.flight.Abandon()
	s.lease.OnGone(c.flight.End)
}

// brokenAs is what a lease was good for whose connection ended while a reply was due:
// a daemon closes it when a call fails that its method made.
func (s *Session) brokenAs() backend.Outcome {
	for i := range s.calls.len() {
		if s.calls.at(i).flight.ChildFailed() {
			return backend.Excused
		}
	}
	return backend.Broken
}
