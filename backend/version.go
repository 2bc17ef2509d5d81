package backend

import (
	"crypto/sha256"

	"github.com/pyro-dispatch/pyro-dispatch/handshake"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// answerID tells answers to a CONNECT apart. Endpoints with the same one offer
// the same methods, and so are one version of the object. Zero is none.
type answerID [16]byte

// identify makes the answerID of a CONNECTOK. Equal versions do not answer with
// equal bytes: daemons list methods in the order of a Python set, which differs
// from process to process. Annotations do not count, since they may name the
// daemon.
func identify(h *wire.Head, answer []byte) answerID {
	payload := answer[h.Dialect.HeadLen()+int(h.AnnotationsLen):]
	print, err := handshake.Fingerprint(h.Serializer(), h.Has(wire.Compressed), payload, handshake.Limits{})
	if err != nil { // then only what is the same byte by byte is the same
		sum := sha256.Sum256(payload)
		copy(print[:], sum[:])
	}
	id := answerID(print)
	id[0] |= 1 // never zero
	return id
}
