package inflight

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
)

// MaxChain is how many links a chain has at most. Of a longer one the last, those
// that are nearest to the call, are kept.
const MaxChain = 32

// Link is a call, and the endpoint that it went to.
type Link struct {
	Call uint64 // random; the same in no two dispatchers
	Node uint64 // 64-bit FNV-1a of the endpoint's name
}

// Chain is the value of the call annotation: the calls that wait for one, the root
// first, itself the last. One that is empty, but not nil, is that of a call for which
// nobody waits, as of oneway ones.
type Chain []Link

// ErrChain: the value of a call annotation is not a chain.
var ErrChain = errors.New("not a chain of calls")

const (
	chainVersion = 1
	linkSize     = 16
)

// ParseChain reads what Append wrote, and nothing else: the error is ErrChain. The
// result does not refer to b and is never nil without an error.
func ParseChain(b []byte) (Chain, error) {
	if len(b) == 0 || b[0] != chainVersion || (len(b)-1)%linkSize != 0 || len(b) > 1+MaxChain*linkSize {
		return nil, ErrChain
	}
	c := make(Chain, 0, (len(b)-1)/linkSize)
	for b = b[1:]; len(b) > 0; b = b[linkSize:] {
		c = append(c, Link{Call: binary.BigEndian.Uint64(b), Node: binary.BigEndian.Uint64(b[8:])})
	}
	return c, nil
}

// Append appends a version byte and the last MaxChain links, 16 bytes each.
func (c Chain) Append(dst []byte) []byte {
	dst = append(dst, chainVersion)
	for _, l := range c[max(0, len(c)-MaxChain):] {
		dst = binary.BigEndian.AppendUint64(dst, l.Call)
		dst = binary.BigEndian.AppendUint64(dst, l.Node)
	}
	return dst
}

// hashName is how an endpoint's name stands in a Link.
func hashName(name string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, name)
	return h.Sum64()
}
