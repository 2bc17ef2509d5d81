package router

import (
	"errors"
	"fmt"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Calls that take a route of their own: by what their annotations say, to one or
// several objects that may have another name than the one that the client knows. Such
// a call has nothing to do with the connection that its client was given, so that it
// gets legs of its own, on connections that we open ourselves.

// Deliver is what becomes of the calls of a route of calls.
type Deliver struct {
	To To
	// Quorum is how many good answers are enough, of a call that goes to all; 0: all of
	// them; negative: none is waited for.
	Quorum int
	// Unheard: a call that there is nobody for is answered with None. Otherwise it
	// fails.
	Unheard bool
	// Object and Method make the target's names out of what the blob says; nil: it
	// stays. An object that the target names itself counts more.
	Object, Method *blob.Template
	// Listeners gives who is to get the blobs with that info; nil: the members of the
	// route's cluster. Where that is not known yet the call fails. It must not block.
	Listeners func(info blob.Scalar) (places []backend.Place, known bool)
	// Handshake is what the daemons' validateHandshake is given.
	Handshake string
}

// To is who gets a call.
type To uint8

// The kinds of delivery.
const (
	ToOne   To = iota // of those who may, the one with the least to do
	ToAll             // each of them
	ToFirst           // each, and the first good answer is the client's
)

var (
	// ErrNoListener: there is nobody whom the call is for.
	ErrNoListener = errors.New("no listener")
	// ErrNotKnown: who the call is for is not known yet. It may be soon, or be elsewhere.
	ErrNotKnown = errors.New("who listens is not known yet")
	// ErrQuorum: fewer have answered well than must.
	ErrQuorum = errors.New("not enough good answers")
	// ErrBlob: the annotation that says what a call is about cannot be read.
	ErrBlob = errors.New("malformed blob annotation")
	// ErrTarget: the name of the call's target cannot be made.
	ErrTarget = errors.New("no name for the call's target")
	// ErrNotHere: the object that we answer for ourselves has no such call.
	ErrNotHere = errors.New("only calls with a blob are dispatched here")
	// ErrMemory: there is no memory to keep the call, or an answer to it.
	ErrMemory = errors.New("no buffer memory left")
	// ErrStream: the answer is an item stream, which would need a connection of its own.
	ErrStream = errors.New("a dispatched call cannot return an item stream")
)

// undeliverable reports whether err is about the call, or us, and no endpoint was asked.
func undeliverable(err error) bool {
	return errors.Is(err, ErrNoListener) || errors.Is(err, ErrQuorum) || errors.Is(err, ErrBlob) ||
		errors.Is(err, ErrTarget) || errors.Is(err, ErrNotHere) || errors.Is(err, ErrStream) ||
		errors.Is(err, ErrSignature) || errors.Is(err, ErrUnsigned) || errors.Is(err, ErrSpill)
}

// findRoute looks for a route of its own for c, the client's next request, which has
// header h and these annotations. There is none for one that no answer of ours would
// fit.
func (s *Session) findRoute(h *wire.Head, annotations []byte, marks *wire.Marks, c *call) {
	table := s.env.Table()
	if len(table.calls) == 0 || !c.answerable() && !c.unproven || c.failure != nil ||
		s.demands() && !c.proven && !c.unproven || c.kind != wire.Invoke || c.serializer == wire.UnknownSerializer {
		return
	}
	q := Request{
		Listener: s.env.Listener, Object: s.object, ObjectKnown: s.objectKnown,
		Dialect: h.Dialect, Serializer: c.serializer, Source: s.source,
	}
	value := marks.Blob
	if !h.Has(wire.KeepSerialized) {
		value = nil // it is left over from another call
	}
	to, err := table.FindCall(&q, h, annotations, value)
	switch {
	case err != nil:
		c.failure = fmt.Errorf("%w: %w", ErrBlob, err)
	case to != nil && h.Len() > s.env.Limits.deliverable():
		c.failure = fmt.Errorf("%w: %d bytes, of %d that can be dispatched", ErrTooLarge, h.Len(), s.env.Limits.deliverable())
	}
	c.to = to
}

// deliver begins the delivery of the client's next request, with header h, all of which
// message begins with, or, where k is not nil, its header and annotations. It reports false where the request is not delivered: it has
// failed then, or was answered.
func (s *Session) deliver(now time.Duration, h *wire.Head, message []byte, k *spill) *Delivery {
	c := &s.next
	d, err := (*Delivery)(nil), s.verifyWhole(h, message, k)
	if err == nil {
		d, err = s.plan(h, message)
	}
	switch {
	case errors.Is(err, ErrNoListener) && c.to.Deliver.Unheard:
		c.to.Calls.Unheard()
		s.unheard(now, h)
		return nil
	case errors.Is(err, ErrNoListener):
		c.to.Calls.Unheard()
		fallthrough
	case err != nil:
		c.failure = err
		s.fail(now, h)
		return nil
	}
	s.looked = false
	s.summary.Calls++
	d.call = *c
	d.seal = sealOf(d, message, k)
	if now > c.began {
		c.span.Queue(c.began, now)
	}
	if !d.oneway {
		c.to.Calls.Began()
		s.delivery = d
		s.delivery.call.complete(now)
		s.deliveryDue = s.delivery.call.due
		d.Due = s.deliveryDue
	}
	return d
}

// unheard answers the client's next request, for which there is nobody, with None.
func (s *Session) unheard(now time.Duration, h *wire.Head) {
	c := &s.next
	s.dropLeft = h.Len()
	s.looked = false
	s.summary.Calls++
	if c.oneway(h) {
		c.to.Calls.Oneway(metrics.Sent)
		c.span.End(now, metrics.Sent.String(), "")
		return
	}
	c.to.Calls.Began()
	c.to.Calls.Answered(metrics.Replied, 0, c.correlation, now)
	c.span.End(now, metrics.Replied.String(), "")
	s.tell(wire.AppendNone(nil, s.answerTo(c)))
}

func (s *Session) answerTo(c *call) wire.Answer {
	return wire.Answer{Dialect: s.dialect, Serializer: c.serializer, Seq: c.seq, Correlation: c.told()}
}
