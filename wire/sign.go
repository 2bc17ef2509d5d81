package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"hash"
	"slices"
)

// Key is the secret that both ends of a Pyro4 connection sign their messages with
// (Pyro4's _pyroHmacKey). V502 has no signatures. The nil Key signs nothing.
type Key []byte

// signatureLen is how much room the HMAC chunk takes in a message, in bytes.
const signatureLen = 6 + sha1.Size

// Sum is the signature of a message of V48 with these annotations and data: HMAC-SHA1
// over the data, then the values of all chunks but HMAC in the order of their ids, of
// several with one id the last (Message.hmac and Message.__init__ of Pyro4/message.py). It
// is nil where there are too many different ones to be real.
func (k Key) Sum(annotations, data []byte) []byte {
	d := k.Digest()
	d.Write(data)
	return d.Sum(annotations)
}

// Digest is a signature in the making: the data that were written to it, with its key. With
// other annotations it is another signature.
type Digest struct{ mac hash.Hash }

// Digest begins a signature.
func (k Key) Digest() *Digest { return &Digest{hmac.New(sha1.New, k)} }

// Write adds data. It never fails.
func (d *Digest) Write(data []byte) (int, error) { return d.mac.Write(data) }

// Sum is the signature with these annotations, as Key.Sum gives it. It may be asked for
// again, with others, and concurrently.
func (d *Digest) Sum(annotations []byte) []byte {
	var space [8]Chunk
	chunks := space[:0]
	for rest := annotations; len(rest) > 0; {
		c, next, err := NextChunk(V48, rest)
		if err != nil {
			break // no daemon reads what comes now
		}
		rest = next
		if c.ID == ChunkHMAC {
			continue
		}
		if i := slices.IndexFunc(chunks, func(o Chunk) bool { return o.ID == c.ID }); i >= 0 {
			chunks[i] = c
		} else if len(chunks) < maxSigned {
			chunks = append(chunks, c)
		} else {
			return nil
		}
	}
	slices.SortFunc(chunks, func(a, b Chunk) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	mac, err := d.mac.(hash.Cloner).Clone()
	if err != nil {
		panic("wire: an HMAC that cannot be cloned: " + err.Error())
	}
	for _, c := range chunks {
		mac.Write(c.Value)
	}
	return mac.Sum(nil)
}

// maxSigned bounds the different annotations of a signed message, which are compared
// with each other. Pyro's own are four; with more than this the signature is not right.
const maxSigned = 256

// Signed reports whether the message, whole and with header h, bears this key's
// signature. It is false for the nil Key, and for messages of V502.
func (k Key) Signed(h *Head, message []byte) bool {
	if len(k) == 0 || h.Dialect != V48 || int64(len(message)) < h.Len() {
		return false
	}
	at := h.Dialect.HeadLen() + int(h.AnnotationsLen)
	d := k.Digest()
	d.Write(message[at:h.Len()])
	return d.Signs(message[h.Dialect.HeadLen():at])
}

// Signs reports whether the signature among the annotations of a message of V48 is that of
// these and the data.
func (d *Digest) Signs(annotations []byte) bool {
	var signature []byte
	for rest := annotations; len(rest) > 0; {
		c, next, err := NextChunk(V48, rest)
		if err != nil {
			return false
		}
		if rest = next; c.ID == ChunkHMAC {
			signature = c.Value // of several, a daemon takes the last one
		}
	}
	sum := d.Sum(annotations)
	return sum != nil && hmac.Equal(signature, sum)
}

// AppendSigned appends the message, whole, to dst, with this key's signature in the
// place of any that it has. One of V502, and any where the Key is nil, stays as it is;
// so does one that has no room for a signature, which its peer will not accept.
func (k Key) AppendSigned(dst, message []byte) []byte {
	h, err := ParseHead(message)
	if err != nil || len(k) == 0 || h.Dialect != V48 {
		return append(dst, message...)
	}
	start := h.Dialect.HeadLen()
	annotations, data := message[start:start+int(h.AnnotationsLen)], message[start+int(h.AnnotationsLen):]
	begin := len(dst)
	dst = AppendHead(slices.Grow(dst, len(message)+signatureLen), h) // again when its lengths are known
	body := len(dst)
	dst = appendUnsigned(dst, annotations)
	sum := k.Sum(dst[body:], data)
	if sum == nil || len(dst)-body+signatureLen > maxAnnotations48 {
		return append(dst[:begin], message...)
	}
	dst = AppendChunk(dst, V48, Chunk{ID: ChunkHMAC, Value: sum})
	h.AnnotationsLen = uint32(len(dst) - body)
	AppendHead(dst[:begin], h)
	return append(dst, data...)
}

// appendUnsigned appends annotations of V48 without their signature.
func appendUnsigned(dst, annotations []byte) []byte {
	for rest := annotations; len(rest) > 0; {
		c, next, err := NextChunk(V48, rest)
		if err != nil {
			return append(dst, rest...)
		}
		if c.ID != ChunkHMAC {
			dst = append(dst, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	return dst
}
