package backend

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// answerID tells answers to a CONNECT apart. Endpoints with the same one offer
// the same methods, and so are one version of the object. Zero is none.
type answerID [16]byte

// maxInflated bounds the payload of an answer that is looked at, in bytes.
const maxInflated = 1 << 20

// identify makes the answerID of a CONNECTOK. Daemons list the methods in the
// order of a Python set, which differs from process to process: so what counts is
// which words there are, and how often, but not their order. The payload is not
// decoded for that. Annotations do not count: they may name the daemon.
func identify(h *wire.Head, answer []byte) answerID {
	payload := answer[h.Dialect.HeadLen()+int(h.AnnotationsLen):]
	if h.Has(wire.Compressed) {
		payload = inflated(payload)
	}
	noise := noiseOf[h.Serializer()]
	var high, low uint64
	for len(payload) > 0 {
		n := wordLen(payload)
		if n == 0 {
			payload = payload[1:]
			continue
		}
		if word := payload[:n]; noise == nil || !noise(word) {
			sum := sha256.Sum256(word)
			high += binary.LittleEndian.Uint64(sum[:])
			low += binary.LittleEndian.Uint64(sum[8:])
		}
		payload = payload[n:]
	}
	var id answerID
	binary.LittleEndian.PutUint64(id[:], high)
	binary.LittleEndian.PutUint64(id[8:], low|1) // never zero
	return id
}

// inflated is a compressed payload's beginning, or the payload as it is where it
// cannot be read.
func inflated(payload []byte) []byte {
	z, err := zlib.NewReader(bytes.NewReader(payload))
	if err != nil {
		return payload
	}
	b, err := io.ReadAll(io.LimitReader(z, maxInflated))
	if err != nil {
		return payload
	}
	return b
}

// wordLen is the length of the word that b begins with, 0 where it begins with
// none.
func wordLen(b []byte) int {
	for i, c := range b {
		if !(c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z') {
			return i
		}
	}
	return len(b)
}

// noiseOf says for some serializers which words may be none: a string that comes
// up again is written as a reference to its position, and that depends on the
// order. Little is lost with a method that has such a name.
var noiseOf = map[wire.Serializer]func(word []byte) bool{
	wire.Marshal:     func(w []byte) bool { return len(w) <= 2 && w[0] == 'r' }, // TYPE_REF
	wire.Pickle:      pickledReferences,
	wire.Dill:        pickledReferences,
	wire.Cloudpickle: pickledReferences,
}

// pickledReferences reports whether w may be nothing but BINGETs, each with one
// byte that says of what, up to the opcode that puts them into a list.
func pickledReferences(w []byte) bool {
	for len(w) >= 2 && w[0] == 'h' {
		w = w[2:]
	}
	switch string(w) {
	case "", "h", "a", "e", "u":
		return true
	}
	return false
}
