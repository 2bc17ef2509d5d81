package router

import (
	"net/netip"

	"github.com/pyro-dispatch/pyro-dispatch/balance"
	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// HashBy is what hash balancing goes by: clients, or calls, that are alike in it
// come to the same endpoint. Its zero value is the object id.
type HashBy struct {
	What HashWhat
	// Annotation is the chunk whose value counts, with ByAnnotation.
	Annotation [4]byte
}

// HashWhat is what a HashBy looks at.
type HashWhat uint8

// What hash balancing can go by. An annotation and a blob's info are those of
// each call in mode call, those of the CONNECT in mode session. Where there is
// none, or no source address, the object counts.
const (
	ByObject HashWhat = iota
	BySource
	ByAnnotation
	ByBlobInfo
)

// perCall reports whether each call has a key of its own.
func (h HashBy) perCall() bool { return h.What == ByAnnotation || h.What == ByBlobInfo }

// key is the hash key of a client.
func (h HashBy) key(q *Request, annotations []byte) uint64 {
	if h.What == BySource && q.Source.IsValid() {
		source := q.Source.As16()
		return balance.Key(source[:])
	}
	if key, ok := h.callKey(q.Dialect, annotations); ok {
		return key
	}
	return balance.KeyString(q.Object)
}

// callKey is the hash key of a message with these annotations, where they have
// one.
func (h HashBy) callKey(d wire.Dialect, annotations []byte) (uint64, bool) {
	id := h.Annotation
	switch h.What {
	case ByBlobInfo:
		id = wire.ChunkBlob
	case ByAnnotation:
	default:
		return 0, false
	}
	for len(annotations) > 0 {
		c, rest, err := wire.NextChunk(d, annotations)
		if err != nil {
			return 0, false
		}
		if c.ID == id {
			if h.What == ByBlobInfo {
				info, ok := blob.Info(c.Value)
				return balance.Key(info), ok
			}
			return balance.Key(c.Value), true
		}
		annotations = rest
	}
	return 0, false
}

// ofCall is the key of a call to object, with these annotations, that takes a route of
// its own. It comes from source.
func (h HashBy) ofCall(source netip.Addr, d wire.Dialect, annotations []byte, object string) uint64 {
	if h.What == BySource {
		return h.key(&Request{Source: source, Object: object}, nil)
	}
	if key, ok := h.callKey(d, annotations); ok {
		return key
	}
	return balance.KeyString(object)
}
