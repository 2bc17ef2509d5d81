package router

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
// header h and these annotations.
func (s *Session) findRoute(h *wire.Head, annotations []byte, marks *wire.Marks, c *call) {
	table := s.env.Table()
	if len(table.calls) == 0 || c.kind != wire.Invoke || c.signed || c.failure != nil {
		return
	}
	var b *blob.Call
	if marks.Blob != nil && h.Has(wire.KeepSerialized) { // without the flag it is left over from another call
		parsed, err := blob.Parse(marks.Blob)
		if err != nil {
			c.failure = fmt.Errorf("%w: %w", ErrBlob, err)
			return
		}
		b = &parsed
	}
	q := Request{
		Listener: s.env.Listener, Object: s.object, ObjectKnown: s.objectKnown,
		Dialect: h.Dialect, Serializer: c.serializer, Source: s.source,
	}
	if c.to = table.FindCall(&q, h, annotations, b); c.to == nil {
		return
	}
	if h.Len() > s.env.Limits.Delivery {
		c.failure = fmt.Errorf("%w: %d bytes, of %d that can be dispatched", ErrTooLarge, h.Len(), s.env.Limits.Delivery)
	}
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
	c.to.Calls.Began()
	d.call, d.began = *c, now
	c.span.Queue(c.began, now)
	if !d.oneway {
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
	p := planning{s: s, h: h, to: to}
	if h.Has(wire.KeepSerialized) {
		p.old = blobOf(h, annotations)
	}
	if p.old != nil {
		b, err := blob.Parse(p.old)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBlob, err)
		}
		p.blob = &b
	}
	cluster := c.to.Cluster
	var space [8]backend.Target
	targets := space[:0]
	switch {
	case to.Listeners != nil:
		if p.blob == nil {
			return nil, ErrNoListener
		}
		info, ok := p.blob.Info.Scalar()
		if !ok {
			return nil, fmt.Errorf("%w: the blob's info is neither a text nor a number", ErrNoListener)
		}
		targets = cluster.Locate(targets, to.Listeners(info), h.Dialect)
	case to.To != ToOne || cluster.NamesObjects():
		targets = cluster.Targets(targets, h.Dialect)
	default:
		targets = append(targets, backend.Target{}) // the balancer's choice
	}
	if len(targets) == 0 {
		return nil, ErrNoListener
	}
	if to.To == ToFirst || to.To == ToAll {
		if to.Quorum > len(targets) {
			return nil, fmt.Errorf("%w: there are %d listeners, and %d must answer", ErrQuorum, len(targets), to.Quorum)
		}
	}
	d := &Delivery{
		env: s.env, route: c.to, to: to, head: *h, oneway: c.oneway(h), origin: s.origin, parents: s.parents,
		Send: c.to.Timeouts.over(s.env.Timeouts).Send,
	}
	if to.To == ToOne {
		rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
		slices.SortStableFunc(targets, func(a, b backend.Target) int { return a.Load - b.Load })
		leg := &Leg{d: d}
		for _, t := range targets {
			if err := p.add(leg, t); err != nil {
				return nil, err
			}
		}
		d.Legs = append(d.Legs, leg)
	} else {
		for i, t := range targets {
			leg := &Leg{d: d, i: i}
			if err := p.add(leg, t); err != nil {
				return nil, err
			}
			d.Legs = append(d.Legs, leg)
		}
	}
	d.left = len(d.Legs)
	return d, nil
}

// planning is what the legs of one delivery have in common.
type planning struct {
	s    *Session
	h    *wire.Head
	to   *Deliver
	old  []byte     // the value of the call's blob annotation; nil: it has none
	blob *blob.Call // what that says
	name []byte
}

// add gives the leg one more choice.
func (p *planning) add(leg *Leg, t backend.Target) error {
	s, c := p.s, &p.s.next
	object, method := s.object, ""
	if p.blob != nil {
		object = p.blob.Object
		if p.to.Object != nil && t.Object == "" {
			name, ok := p.to.Object.Append(p.name[:0], *p.blob)
			if !ok {
				return fmt.Errorf("%w: %s", ErrTarget, p.to.Object)
			}
			p.name, object = name, string(name)
		}
		if p.to.Method != nil {
			name, ok := p.to.Method.Append(p.name[:0], *p.blob)
			if !ok {
				return fmt.Errorf("%w: %s", ErrTarget, p.to.Method)
			}
			p.name, method = name, string(name)
		}
		if t.Object != "" {
			object = t.Object
		}
	}
	ch := choice{object: strings.Clone(object)}
	if p.blob != nil && (object != p.blob.Object || method != "" && method != p.blob.Method) {
		to, err := p.blob.AppendRetargeted(nil, object, method)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTarget, err)
		}
		if !wire.Fits(p.h, p.old, to) {
			return fmt.Errorf("%w: its annotations", ErrTooLarge)
		}
		ch.blob = to
	}
	cluster := c.to.Cluster
	times := c.to.Timeouts.over(s.env.Timeouts)
	var only backend.Address
	if t.Endpoint != nil {
		only = t.Endpoint.Address
	}
	ch.Attempt = &backend.Attempt{
		Dialect: p.h.Dialect, Handshake: s.introduce(c.to, c.serializer, ch.object), Only: only,
		Nested: c.nested(), Times: &backend.SearchTimes{Connect: times.Connect, Queue: times.Queue},
		HashKey: c.to.HashBy.ofCall(p.old, ch.object),
	}
	ch.Cluster = cluster
	leg.choices = append(leg.choices, ch)
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

// introduce gives the handshake of connections for calls to object.
func (s *Session) introduce(r *Route, serializer wire.Serializer, object string) *backend.Handshake {
	key := introKey{r, serializer, object}
	if h := s.intros[key]; h != nil {
		return h
	}
	if len(s.intros) >= maxIntros {
		s.forgetIntros()
	}
	if s.intros == nil {
		s.intros = make(map[introKey]*backend.Handshake)
	}
	h := r.Cluster.Introduce(wire.Greeting{
		Dialect: s.dialect, Serializer: serializer, Object: object, Handshake: r.Deliver.Handshake,
	})
	s.intros[key] = h
	return h
}

func (s *Session) forgetIntros() {
	for key, h := range s.intros {
		key.route.Cluster.Leave(h)
	}
	s.intros = nil
}

// blobOf finds the value of the blob annotation, nil where there is none.
func blobOf(h *wire.Head, annotations []byte) []byte {
	for len(annotations) > 0 {
		c, rest, err := wire.NextChunk(h.Dialect, annotations)
		if err != nil {
			return nil
		}
		if c.ID == wire.ChunkBlob {
			return c.Value
		}
		annotations = rest
	}
	return nil
}
