package router

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// What is added to a request: a correlation id where it has none, as the daemon
// would add one itself, and on demand the annotation that tells from which call
// others come. Signed messages stay as they are, unless the key is known.

// identify gives c a correlation id, where it is to have one. The header of V502
// has room for it; b begins with the request.
func (s *Session) identify(h *wire.Head, b []byte, c *call) {
	if c.hasCorrelation || s.routeOf(c).Policy.Preserve || c.kind != wire.Invoke || c.sealed {
		return
	}
	if h.Dialect == wire.V48 && h.AnnotationsLen > maxBesideID {
		return
	}
	c.correlation, c.hasCorrelation, c.made = newID(), true, true
	if h.Dialect == wire.V502 {
		wire.MarkInPlace(b, c.correlation)
	}
}

// maxBesideID is how long V48's other annotations may be for a correlation id to
// fit, in bytes.
const maxBesideID = 1<<16 - 1 - 22

// marks reports whether the client's next request is sent with another header and
// annotations.
func (s *Session) marks(h *wire.Head) bool {
	return s.next.made && h.Dialect == wire.V48 || s.annotates()
}

// annotates: the next request gets our annotation. One that has one already gets
// another in its place in any case: it tells of calls that wait for this one, and
// what this one's method calls is to be known as its own.
func (s *Session) annotates() bool {
	return (s.route.Policy.Annotate || s.origin.Chain != nil) &&
		s.env.Graph != nil && s.next.kind == wire.Invoke && !s.next.sealed
}

// mark makes them.
func (s *Session) mark(h *wire.Head, message []byte, t *Taken) {
	if !s.marks(h) {
		return
	}
	annotations, _ := split(h, message)
	m := wire.Marking{}
	if s.next.made { // h may be from before it was put in
		m.Correlation = s.next.correlation
	}
	if s.annotates() {
		m.Chain = s.next.flight.Annotation()
	}
	if s.next.proven {
		m.Unsign, m.Digest = true, digest(s.key(), message[h.Dialect.HeadLen()+len(annotations):h.Len()])
	}
	s.marked = wire.AppendMarked(s.marked[:0], h, annotations, m)
	t.Head = s.marked
	t.Cut = h.Dialect.HeadLen() + len(annotations)
}

// newID makes a random UUID (version 4). It need not be secret, only not come
// again.
func newID() (id [16]byte) {
	binary.LittleEndian.PutUint64(id[:], rand.Uint64())
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
