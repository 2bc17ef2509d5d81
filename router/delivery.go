package router

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/tracing"
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
	times   backend.SearchTimes

	mu      sync.Mutex // also for the legs' flights and results
	left    int        // legs that have not ended
	good    int
	decided bool

	one  [1]Leg // memory of Legs
	only [1]choice
}

// Leg is one way to a target, or to the first of several choices that can be had.
type Leg struct {
	d       *Delivery
	choices []choice
	k       int // the choice at hand

	began     time.Duration
	flight    *inflight.Call
	abandoned bool // the flight ends when the daemon has let go of the call
	span      tracing.Span
	endpoint  string
	result    LegResult // once it has ended
}

// choice is a target that a leg may go to.
type choice struct {
	attempt backend.Attempt
	object  string
	blob    []byte // in place of the call's own annotation; nil: that stays
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
// good one may not tell anything. The error is that it is too large to be kept.
func (d *Delivery) Wants(h *wire.Head) (bool, error) {
	switch {
	case h.Has(wire.ItemStream), d.to.To == ToAll && !h.Has(wire.Exception):
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

// Attempt is what Cluster is asked with for the choice at hand.
func (l *Leg) Attempt() *backend.Attempt { return &l.choices[l.k].attempt }

// Target is the object at hand, for the log.
func (l *Leg) Target() string { return l.choices[l.k].object }

// Endpoint is where the leg went last, "" where it has found no endpoint.
func (l *Leg) Endpoint() string { return l.endpoint }

// Correlation is the call's, zero where it has none.
func (l *Leg) Correlation() [16]byte { return l.d.call.correlation }

// Route is the name of the call's route.
func (l *Leg) Route() string { return l.d.route.Name }

// Next goes on to the next choice, and reports whether there is one.
func (l *Leg) Next() bool {
	if l.k+1 >= len(l.choices) {
		return false
	}
	l.k++
	return true
}

// Begin says that there is a lease for the leg, and appends to dst what is sent in the
// place of the first cut bytes of message, which is the whole request. The error is
// that the call is not to be sent there.
func (l *Leg) Begin(now time.Duration, lease *backend.Lease, dst, message []byte) (head []byte, cut int, err error) {
	d, ch := l.d, &l.choices[l.k]
	l.began, l.endpoint = now, lease.Endpoint.Address.String()
	if err := l.join(now, lease); err != nil {
		return nil, 0, err
	}
	annotations, _ := split(&d.head, message)
	cut = d.head.Dialect.HeadLen() + len(annotations)
	m := wire.Marking{Blob: ch.blob}
	if d.call.made {
		m.Correlation = d.call.correlation
	}
	if d.env.Graph != nil && (d.route.Policy.Annotate || d.origin.Chain != nil) {
		m.Chain = l.flight.Annotation() // see annotates
	}
	return wire.AppendMarked(dst, &d.head, annotations, m), cut, nil
}

// join puts the leg into the graph of calls, unless it would wait for itself there.
func (l *Leg) join(now time.Duration, lease *backend.Lease) error {
	d := l.d
	if l.span.IsZero() && !d.call.span.IsZero() {
		l.span = d.env.Tracer.Call(d.call.correlation, d.call.span, now, tracing.Call{
			Listener: d.env.Listener, Route: d.route.Name, Cluster: d.route.Cluster.Name(), Object: l.Target(),
			Dialect: d.head.Dialect.String(), Serializer: d.call.serializer.String(), Oneway: d.oneway,
			RequestBytes: d.head.Len(),
		})
	}
	l.span.Endpoint(l.endpoint)
	g := d.env.Graph
	if g == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	target := inflight.Node{Name: l.endpoint, Host: lease.Conn.Host()}
	if d.parents.Nested() && !d.oneway {
		if circle, kind := d.parents.Circle(target); kind == inflight.Certain {
			rejected := d.route.Policy.Circular == CircularReject ||
				d.route.Policy.Circular == CircularAuto && lease.Endpoint.Server() == health.MultiplexServer
			d.route.Calls.Circle(true, rejected)
			g.Report(circle, kind, now, rejected)
			if rejected {
				return fmt.Errorf("%w: %s", ErrCircular, circle)
			}
		}
	}
	l.flight = g.Begin(d.origin, d.parents, target, d.Due)
	if !l.span.IsZero() {
		l.flight.SetValue(l.span)
	}
	if d.oneway {
		l.flight.Detach()
	}
	return nil
}

// Unsent says that nothing of the leg was sent on the lease that it had: it may go
// elsewhere.
func (l *Leg) Unsent() {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.flight.End()
	l.flight = nil
}

// BrokenAs is what a lease was good for whose connection ended while the reply was
// due.
func (l *Leg) BrokenAs() backend.Outcome {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if l.flight.ChildFailed() {
		return backend.Excused
	}
	return backend.Broken
}

// Tardy is what the lease was good for of a leg that is not waited for any longer. The
// daemon goes on with it for as long as it likes.
func (l *Leg) Tardy(lease *backend.Lease) backend.Outcome {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.abandoned = true
	l.flight.Abandon()
	lease.OnGone(l.flight.End)
	if l.flight.ChildFailed() {
		return backend.Abandoned // the fault is further down
	}
	return backend.TimedOut
}

// End says how the leg ended, and reports whether that decides what the client is
// told.
func (l *Leg) End(now time.Duration, r LegResult) (decides bool) {
	d := l.d
	text := ""
	if r.Err != nil {
		r.Err = &LegError{Object: l.Target(), Endpoint: l.endpoint, Err: r.Err}
		text = r.Err.Error()
	}
	l.span.End(now, r.Outcome.String(), text)
	since := time.Duration(0)
	if l.began > 0 {
		since = now - l.began
	}
	d.route.Calls.Leg(r.Outcome, since.Seconds())

	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Err != nil {
		l.flight.Failed()
	}
	if !l.abandoned {
		l.flight.End()
	}
	d.left--
	if r.good() {
		d.good++
	}
	l.result = r
	if d.decided {
		return false
	}
	d.decided = d.left == 0 || d.enough() || d.hopeless()
	return d.decided && !d.oneway
}

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

// LegError is what went wrong with one target of a call.
type LegError struct {
	Object, Endpoint string // Endpoint is "" where there was none
	Err              error
}

func (e *LegError) Error() string {
	at := e.Object
	if e.Endpoint != "" {
		at += "@" + e.Endpoint
	}
	text := ""
	switch {
	case errors.Is(e.Err, ErrTimeout), errors.Is(e.Err, ErrSendTimeout), errors.Is(e.Err, ErrStream), errors.Is(e.Err, ErrReply),
		errors.Is(e.Err, ErrCircular), errors.Is(e.Err, ErrTooLarge), errors.Is(e.Err, ErrMemory):
		text = e.Err.Error()
	case errors.Is(e.Err, ErrLost):
		text = ErrLost.Error()
	default:
		text = cause(e.Err)
	}
	return fmt.Sprintf("%s: %s", at, text)
}

// Unwrap gives the cause.
func (e *LegError) Unwrap() error { return e.Err }

// ErrReply: what came is no reply.
var ErrReply = errors.New("answered with something else than a reply")

// ErrLost: the connection ended before the reply had come.
var ErrLost = errors.New("connection lost before the reply")

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
