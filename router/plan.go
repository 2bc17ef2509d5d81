package router

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"unsafe"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// plan finds out who gets the client's next request.
func (s *Session) plan(h *wire.Head, message []byte) (*Delivery, error) {
	c, to := &s.next, &s.next.to.Deliver
	if h.Dialect == wire.V48 && len(c.to.Cluster.Key()) > 0 && !c.proven {
		return nil, ErrUnsigned
	}
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
		places, known := p.to.Listeners(info)
		if !known {
			return nil, ErrNotKnown
		}
		return cluster.Locate(dst, places, p.h.Dialect), nil
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
