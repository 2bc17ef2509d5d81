package router

import (
	"errors"
	"fmt"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/tracing"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

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
	circle    *FoundCircle // that it closes, or may, where it went last; nil: none
	result    LegResult    // once it has ended
}

// choice is a target that a leg may go to.
type choice struct {
	attempt backend.Attempt
	object  string
	blob    []byte // in place of the call's own annotation; nil: that stays
}

// Attempt is what Cluster is asked with for the choice at hand.
func (l *Leg) Attempt() *backend.Attempt { return &l.choices[l.k].attempt }

// Target is the object at hand, for the log.
func (l *Leg) Target() string { return l.choices[l.k].object }

// Endpoint is where the leg went last, "" where it has found no endpoint.
func (l *Leg) Endpoint() string { return l.endpoint }

// Circle is the circle of calls that the leg closes, or may, where it went last, for the
// log; nil: none.
func (l *Leg) Circle() *FoundCircle { return l.circle }

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

// Elsewhere reports whether there is anywhere else than where the leg went last.
func (l *Leg) Elsewhere() bool {
	return l.k+1 < len(l.choices) || l.choices[l.k].attempt.Only == backend.Address{}
}

// Begin says that there is a lease for the leg, and appends to dst what is sent in the
// place of the first cut bytes of message, which is the whole request. The error is
// that the call is not to be sent there.
func (l *Leg) Begin(now time.Duration, lease *backend.Lease, dst, message []byte) (head []byte, cut int, err error) {
	d, ch := l.d, &l.choices[l.k]
	l.began, l.endpoint, l.circle = now, lease.Endpoint.Address.String(), nil
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
	if d.call.proven {
		m.Unsign, m.Digest = true, d.seal
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
		if circle, kind := d.parents.Circle(target); kind != inflight.None {
			certain := kind == inflight.Certain
			rejected := certain && (d.route.Policy.Circular == CircularReject ||
				d.route.Policy.Circular == CircularAuto && lease.Endpoint.Server() == health.MultiplexServer)
			d.route.Calls.Circle(certain, rejected)
			if certain {
				g.Report(circle, kind, now, rejected)
			}
			l.circle = &FoundCircle{Circle: circle, Certain: certain, Rejected: rejected}
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
		errors.Is(e.Err, ErrCircular), errors.Is(e.Err, ErrTooLarge), errors.Is(e.Err, ErrMemory), errors.Is(e.Err, ErrSpill):
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
