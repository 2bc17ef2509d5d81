package router

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unsafe"

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
	// route's cluster. It must not block.
	Listeners func(info blob.Scalar) []backend.Place
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

// undeliverable reports whether err is about the call, and no endpoint was asked.
func undeliverable(err error) bool {
	return errors.Is(err, ErrNoListener) || errors.Is(err, ErrQuorum) || errors.Is(err, ErrBlob) ||
		errors.Is(err, ErrTarget) || errors.Is(err, ErrNotHere) || errors.Is(err, ErrStream)
}

// findRoute looks for a route of its own for c, the client's next request, which has
// header h and these annotations. There is none for one that no answer of ours would
// fit.
func (s *Session) findRoute(h *wire.Head, annotations []byte, marks *wire.Marks, c *call) {
	table := s.env.Table()
	if len(table.calls) == 0 || !c.answerable() || c.failure != nil {
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
	to, err := table.findCall(&q, h, annotations, value)
	switch {
	case err != nil:
		c.failure = fmt.Errorf("%w: %w", ErrBlob, err)
	case to != nil && h.Len() > s.env.Limits.Delivery:
		c.failure = fmt.Errorf("%w: %d bytes, of %d that can be dispatched", ErrTooLarge, h.Len(), s.env.Limits.Delivery)
	}
	c.to = to
}

// deliver begins the delivery of the client's next request, with header h, all of which
// message begins with. It reports false where the request is not delivered: it has
// failed then, or was answered.
func (s *Session) deliver(now time.Duration, h *wire.Head, message []byte) *Delivery {
	c := &s.next
	d, err := s.plan(h, message)
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

// plan finds out who gets the client's next request.
func (s *Session) plan(h *wire.Head, message []byte) (*Delivery, error) {
	c, to := &s.next, &s.next.to.Deliver
	annotations, _ := split(h, message)
	p := planning{s: s, h: *h, to: to, annotations: annotations}
	if h.Has(wire.KeepSerialized) {
		p.old = blobOf(h, annotations)
	}
	if p.old != nil {
		var err error
		if p.blob, err = blob.Parse(p.old); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBlob, err)
		}
	}
	var space [8]backend.Target
	targets, err := p.targets(space[:0])
	switch {
	case err != nil:
		return nil, err
	case len(targets) == 0:
		return nil, ErrNoListener
	case to.To == ToAll && to.Quorum > len(targets):
		return nil, fmt.Errorf("%w: there are %d listeners, and %d must answer", ErrQuorum, len(targets), to.Quorum)
	}
	times := c.to.Timeouts.over(s.env.Timeouts)
	d := &Delivery{
		env: s.env, route: c.to, to: to, head: *h, oneway: c.oneway(h), origin: s.origin, parents: s.parents,
		Send: times.Send, times: backend.SearchTimes{Connect: times.Connect, Queue: times.Queue},
	}
	if to.To == ToOne || len(targets) == 1 {
		d.Legs = d.one[:]
		d.Legs[0].choices = d.only[:0]
	} else {
		d.Legs = make([]Leg, len(targets))
	}
	if to.To == ToOne && len(targets) > 1 {
		rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
		slices.SortStableFunc(targets, func(a, b backend.Target) int { return a.Load - b.Load })
		d.Legs[0].choices = make([]choice, 0, len(targets)) // they stay where they are: their attempts are known by it
	}
	for i := range targets {
		leg := &d.Legs[min(i, len(d.Legs)-1)]
		leg.d = d
		if leg.choices == nil {
			leg.choices = make([]choice, 0, 1)
		}
		if err := p.add(leg, &targets[i]); err != nil {
			return nil, err
		}
	}
	d.left = len(d.Legs)
	return d, nil
}

// planning is what the legs of one delivery have in common.
type planning struct {
	s  *Session
	h  wire.Head // a copy: with what leaves here it would escape
	to *Deliver

	annotations []byte    // of the call
	old         []byte    // the value of the call's blob annotation; nil: it has none
	blob        blob.Call // what that says
	name        []byte
}

// targets appends those that the call is for to dst.
func (p *planning) targets(dst []backend.Target) ([]backend.Target, error) {
	cluster := p.s.next.to.Cluster
	switch {
	case p.to.Listeners != nil && p.old == nil:
		return nil, ErrNoListener
	case p.to.Listeners != nil:
		info, ok := p.blob.Info.Scalar()
		if !ok {
			return nil, fmt.Errorf("%w: the blob's info is neither a text nor a number", ErrNoListener)
		}
		return cluster.Locate(dst, p.to.Listeners(info), p.h.Dialect), nil
	case p.to.To != ToOne || cluster.NamesObjects():
		return cluster.Targets(dst, p.h.Dialect), nil
	}
	return append(dst, backend.Target{}), nil // the balancer's choice
}

// add gives the leg one more choice.
func (p *planning) add(leg *Leg, t *backend.Target) error {
	s, c := p.s, &p.s.next
	object, method := s.object, ""
	if p.old != nil {
		object = p.blob.Object
		if p.to.Method != nil {
			name, ok := p.to.Method.Append(p.name[:0], p.blob)
			if !ok {
				return fmt.Errorf("%w: %s", ErrTarget, p.to.Method)
			}
			p.name, method = name, string(name)
		}
		switch {
		case t.Object != "":
			object = t.Object
		case p.to.Object != nil:
			name, ok := p.to.Object.Append(p.name[:0], p.blob)
			if !ok {
				return fmt.Errorf("%w: %s", ErrTarget, p.to.Object)
			}
			p.name, object = name, unsafe.String(unsafe.SliceData(name), len(name)) // until the next name
		}
	}
	intro := s.introduce(c.to, c.serializer, object)
	leg.choices = append(leg.choices, choice{object: intro.object})
	ch := &leg.choices[len(leg.choices)-1]
	if p.old != nil && (object != p.blob.Object || method != "" && method != p.blob.Method) {
		to, err := p.blob.AppendRetargeted(nil, object, method)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTarget, err)
		}
		if !wire.Fits(&p.h, p.old, to) {
			return fmt.Errorf("%w: its annotations", ErrTooLarge)
		}
		ch.blob = to
	}
	ch.attempt = backend.Attempt{
		Dialect: p.h.Dialect, Handshake: intro.handshake, Nested: c.nested(), Times: &leg.d.times, Client: s.source,
		HashKey: c.to.HashBy.ofCall(s.source, p.h.Dialect, p.annotations, intro.object),
	}
	if t.Endpoint != nil {
		ch.attempt.Only = t.Endpoint.Address
	}
	return nil
}

// introKey is what tells CONNECTs of ours apart that a session has its calls sent
// behind.
type introKey struct {
	route      *Route
	serializer wire.Serializer
	object     string
}

// maxIntros bounds those that a session remembers.
const maxIntros = 64

// intro is a handshake of ours, for calls to an object.
type intro struct {
	handshake *backend.Handshake
	object    string
}

// introduce gives the handshake of connections for calls to object, which may change
// afterwards.
func (s *Session) introduce(r *Route, serializer wire.Serializer, object string) intro {
	if i, ok := s.intros[introKey{r, serializer, object}]; ok {
		return i
	}
	if len(s.intros) >= maxIntros {
		s.forgetIntros()
	}
	if s.intros == nil {
		s.intros = make(map[introKey]intro)
	}
	i := intro{object: strings.Clone(object)}
	i.handshake = r.Cluster.Introduce(wire.Greeting{
		Dialect: s.dialect, Serializer: serializer, Object: i.object, Handshake: r.Deliver.Handshake,
	})
	s.intros[introKey{r, serializer, i.object}] = i
	return i
}

func (s *Session) forgetIntros() {
	for key, i := range s.intros {
		key.route.Cluster.Leave(i.handshake)
	}
	s.intros = nil
}
