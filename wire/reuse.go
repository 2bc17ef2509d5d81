package wire

import "bytes"

// Canonical gives the message, whole and with header h, without what changes from
// one handshake to the next: sequence number 0, no correlation id. The same then
// comes out of messages that say the same. A signed one (V48 with an HMAC chunk)
// cannot be changed without its key, and its signature may change each time: canonical
// is then a copy of the message as it is. So it is of one whose annotations no daemon
// could read. With the key that its signature was made with, canonical has none, and
// signed is false.
func Canonical(h *Head, message []byte, key Key) (canonical []byte, signed bool) {
	start := h.Dialect.HeadLen()
	annotations := message[start : start+int(h.AnnotationsLen)]
	kept := make([]byte, 0, len(annotations))
	for rest := annotations; len(rest) > 0; {
		c, next, err := NextChunk(h.Dialect, rest)
		if err != nil {
			return bytes.Clone(message), false
		}
		switch {
		case h.Dialect == V48 && c.ID == ChunkHMAC && !key.Signed(h, message):
			return bytes.Clone(message), true
		case h.Dialect == V48 && c.ID == ChunkHMAC:
		case h.Dialect == V48 && c.ID == ChunkCorrelation:
		default:
			kept = append(kept, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	out := *h
	out.Seq = 0
	out.Flags &^= h.Dialect.Bit(HasCorrelation)
	out.Correlation = [16]byte{}
	out.AnnotationsLen = uint32(len(kept))
	canonical = AppendHead(make([]byte, 0, out.Len()), out)
	canonical = append(canonical, kept...)
	return append(canonical, message[start+len(annotations):]...), false
}

// AppendAddressed appends message, which Canonical made, with a sequence number
// and, unless it is zero, a correlation id.
func AppendAddressed(dst, message []byte, seq uint16, correlation [16]byte) ([]byte, error) {
	h, err := ParseHead(message)
	if err != nil {
		return dst, err
	}
	start := h.Dialect.HeadLen()
	h.Seq = seq
	var chunk []byte
	if correlation != [16]byte{} {
		if h.Dialect == V48 {
			chunk = AppendChunk(nil, V48, Chunk{ID: ChunkCorrelation, Value: correlation[:]})
			if int(h.AnnotationsLen)+len(chunk) > maxAnnotations48 {
				chunk = nil // a daemon would not have got it in either
			}
			h.AnnotationsLen += uint32(len(chunk))
		} else {
			h.Flags |= V502.Bit(HasCorrelation)
			h.Correlation = correlation
		}
	}
	dst = AppendHead(dst, h)
	dst = append(dst, chunk...)
	return append(dst, message[start:]...), nil
}

// maxAnnotations48 is what V48's length field can count.
const maxAnnotations48 = 1<<16 - 1
