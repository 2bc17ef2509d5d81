package router

import (
	"fmt"
	"sync"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Delivery is a call under way to one or several targets, each by a leg of its own. It
// has no I/O, like a Session, but it outlives the call where the client's answer does
// not depend on all legs. It is safe for concurrent use; a leg is one goroutine's at a
// time.
type Delivery struct {
	Legs []Leg
	Due  time.Duration // when the legs have taken too long; 0: never
	Send time.Duration // in which a target must take some bytes; 0: any time

	env     *Env
	route   *Route
	to      *Deliver
	head    wire.Head // of the request
	call    call
	oneway  bool
	origin  inflight.Origin
	parents inflight.Parents
	seal    *wire.Digest // signs what the legs send; nil: it is not signed
	times   backend.SearchTimes

	mu      sync.Mutex // also for the legs' flights and results
	left    int        // legs that have not ended
	good    int
	decided bool

	one  [1]Leg // memory of Legs
	only [1]choice
}

// LegResult is how a leg ended.
type LegResult struct {
	Head    wire.Head // of the reply; the zero value: there is none
	Reply   []byte    // all of it, where it is wanted
	Err     error     // why there is none
	Outcome metrics.Outcome
}

// good: the target did what it was asked for.
func (r *LegResult) good() bool {
	return r.Err == nil && r.Head.Type == wire.Result && !r.Head.Has(wire.Exception)
}

// Oneway: no leg's reply is waited for, and the call is over when they are sent.
func (d *Delivery) Oneway() bool { return d.oneway }

// Seq is the sequence number that a reply must have.
func (d *Delivery) Seq() uint16 { return d.head.Seq }

// Replies reports whether h is the header of a reply to the call, of a size that is
// allowed.
func (d *Delivery) Replies(h *wire.Head) bool {
	return h.Type == wire.Result && h.Dialect == d.head.Dialect && h.Seq == d.head.Seq && h.BodyLen() <= d.env.Limits.Message
}

// Wants reports whether all of the reply with header h is wanted: of those that are
// good one may not tell anything, unless they are signed. The error is that it is too
// large to be kept.
func (d *Delivery) Wants(h *wire.Head) (bool, error) {
	switch {
	case h.Has(wire.ItemStream), d.to.To == ToAll && !h.Has(wire.Exception) && d.keyed() == nil:
		return false, nil
	case h.Len() > d.env.Limits.Delivery:
		return false, fmt.Errorf("%w: an answer of %d bytes, of %d that can be dispatched", ErrTooLarge, h.Len(), d.env.Limits.Delivery)
	}
	return true, nil
}

// Resends: a leg whose target fails before it has answered may be sent again.
func (d *Delivery) Resends() bool { return d.route.Idempotent && !d.oneway }

// Cluster is where the legs' leases are from.
func (d *Delivery) Cluster() *backend.Cluster { return d.route.Cluster }

// enough: the call is a success, whatever else comes.
func (d *Delivery) enough() bool {
	switch {
	case d.to.To == ToFirst:
		return d.good > 0
	case d.to.To == ToAll && d.to.Quorum > 0:
		return d.good >= d.to.Quorum
	}
	return false
}

// hopeless: it cannot become one any more.
func (d *Delivery) hopeless() bool {
	return d.to.To == ToAll && d.to.Quorum > 0 && d.good+d.left < d.to.Quorum
}

// answer is what the client is told: the message of a leg, an error of ours, or
// neither, which is None. It is called once, when that is decided.
func (d *Delivery) answer() (reply []byte, o metrics.Outcome, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decided = true
	if d.to.To == ToAll && (d.to.Quorum < 0 || d.enough()) {
		return nil, metrics.Replied, nil
	}
	for i := range d.Legs { // in the order of the listeners
		r := &d.Legs[i].result
		switch {
		case r.Err == nil && r.Head.Type == 0: // it has not ended
		case d.to.To == ToAll && r.good(), d.to.To == ToFirst && !r.good() && d.good > 0:
		case r.Err != nil:
			return nil, r.Outcome, r.Err
		default:
			return r.Reply, r.Outcome, nil
		}
	}
	return nil, metrics.Replied, nil
}

// failed notes that the call has failed, as failedUnsent does: a leg may not have come so
// far as to be in the graph.
func (d *Delivery) failed() {
	if d.parents.Nested() {
		f := d.env.Graph.Begin(d.origin, d.parents, inflight.Node{}, 0)
		f.Failed()
		f.End()
	}
}

// open: some legs have not ended.
func (d *Delivery) open() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left > 0
}

// Handed says that the legs of d have been begun. Where no reply is waited for, that is
// all.
func (s *Session) Handed(now time.Duration, d *Delivery) {
	switch {
	case d.oneway:
		d.route.Calls.Oneway(metrics.Sent)
		d.call.span.End(now, metrics.Sent.String(), "")
		s.do(Action{Op: Detach, Delivery: d})
	case d.to.To == ToAll && d.to.Quorum < 0:
		s.Delivered(now, d)
	}
}

// Delivered says that it is decided how the client's call ends.
func (s *Session) Delivered(now time.Duration, d *Delivery) {
	if s.delivery != d || s.state != inOpen {
		return
	}
	c := &d.call
	s.delivery, s.deliveryDue = nil, 0
	reply, outcome, err := d.answer()
	switch {
	case err != nil:
		c.failure = err
		d.route.Calls.Ended(outcome, 0)
		s.observe(now, c, outcome)
		d.failed()
		s.answer(now, c)
	case reply == nil:
		d.route.Calls.Answered(outcome, c.elapsed(now).Seconds(), c.correlation, now)
		c.span.End(now, outcome.String(), "")
		s.tell(wire.AppendNone(nil, s.answerTo(c)))
	default:
		d.route.Calls.Answered(outcome, c.elapsed(now).Seconds(), c.correlation, now)
		c.span.End(now, outcome.String(), "")
		d.route.Calls.Reply(int64(len(reply)))
		s.summary.ReplyBytes += int64(len(reply))
		s.tell(reply)
	}
	if d.open() {
		s.do(Action{Op: Detach, Delivery: d})
	}
	if s.atRest() {
		s.rested(now)
	}
}

// dropDelivery: the session ends, and with it the interest in its call.
func (s *Session) dropDelivery(now time.Duration, o metrics.Outcome) {
	d := s.delivery
	if d == nil {
		return
	}
	s.delivery, s.deliveryDue = nil, 0
	d.mu.Lock()
	d.decided = true
	d.mu.Unlock()
	d.route.Calls.Ended(o, 0)
	s.observe(now, &d.call, o)
	s.do(Action{Op: Detach, Delivery: d, Outcome: backend.Cancelled})
}
