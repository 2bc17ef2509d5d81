package wire

import "encoding/binary"

// ChunkCall is our own annotation, which tells from which call others come: see
// package inflight for its value. Pyro's servers pass it on, like every annotation
// of a call, with the calls that its method makes.
var ChunkCall = [4]byte{'D', 'I', 'S', 'P'}

// Marks are what the header and the annotations of a message say that concerns us.
type Marks struct {
	Correlation    [16]byte
	HasCorrelation bool
	// Signed: there is an HMAC chunk, so that no annotation can be added without the key.
	Signed bool
	// Chain is the value of ChunkCall, a part of the annotations; nil: there is none.
	Chain []byte
	// Blob is that of ChunkBlob.
	Blob []byte
}

// ReadMarks reads them. annotations are all of the message's annotations, and are
// checked to be whole chunks on the way; the error is ErrAnnotations where they
// are not. A correlation id that is not 16 bytes long is none.
func ReadMarks(h *Head, annotations []byte) (m Marks, err error) {
	if h.Dialect == V502 && h.Has(HasCorrelation) {
		m.Correlation, m.HasCorrelation = h.Correlation, true
	}
	for len(annotations) > 0 {
		var c Chunk
		if c, annotations, err = NextChunk(h.Dialect, annotations); err != nil {
			return m, err
		}
		switch {
		case c.ID == ChunkCall:
			m.Chain = c.Value
		case c.ID == ChunkBlob:
			m.Blob = c.Value
		case h.Dialect != V48:
		case c.ID == ChunkCorrelation && len(c.Value) == len(m.Correlation):
			m.Correlation, m.HasCorrelation = [16]byte(c.Value), true
		case c.ID == ChunkHMAC:
			m.Signed = true
		}
	}
	return m, nil
}

// Marking is what is to be put into a message.
type Marking struct {
	Correlation [16]byte // zero: none, or the message has one already
	Chain       []byte   // in place of the message's own ChunkCall; nil: that stays
	Blob        []byte   // in place of the message's own ChunkBlob; nil: that stays
	// Unsign: a V48 message's signature goes. With a Digest of its data there is another in
	// its place.
	Unsign bool
	Digest *Digest
}

// Fits reports whether a message with header h and blob annotation old has room for
// another in its place.
func Fits(h *Head, old, blob []byte) bool {
	return h.Dialect != V48 || int(h.AnnotationsLen)-len(old)+len(blob) <= maxAnnotations48
}

// MarkInPlace puts a correlation id into message, which begins with a header of
// V502 that has room for it.
func MarkInPlace(message []byte, correlation [16]byte) {
	flags := binary.BigEndian.Uint16(message[8:])
	binary.BigEndian.PutUint16(message[8:], flags|V502.Bit(HasCorrelation))
	copy(message[20:36], correlation[:])
}

// AppendMarked appends the header and the annotations that the message with
// header h and these annotations has with the marking; its data follows as it
// is. What V48 has no room for is left out, the chain first; whether there is room for
// a blob is for the caller to ask (Fits), and only a message that has a signature has
// room for another.
func AppendMarked(dst []byte, h *Head, annotations []byte, m Marking) []byte {
	out := *h
	begin := len(dst)
	dst = AppendHead(dst, out) // again when its lengths are known
	body := len(dst)
	blob := m.Blob // once: of several the daemon takes the last one
	for rest := annotations; len(rest) > 0; {
		c, next, err := NextChunk(h.Dialect, rest)
		if err != nil {
			return append(dst[:body], annotations...)
		}
		switch {
		case c.ID == ChunkCall && m.Chain != nil:
		case c.ID == ChunkHMAC && m.Unsign && h.Dialect == V48:
		case c.ID == ChunkBlob && m.Blob != nil:
			if blob != nil {
				dst = AppendChunk(dst, h.Dialect, Chunk{ID: ChunkBlob, Value: blob})
				blob = nil
			}
		default:
			dst = append(dst, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	sign := m.Unsign && h.Dialect == V48 && m.Digest != nil
	most := maxAnnotations48
	if sign {
		most -= signatureLen
	}
	add := func(c Chunk) {
		before := len(dst)
		if dst = AppendChunk(dst, h.Dialect, c); h.Dialect == V48 && len(dst)-body > most {
			dst = dst[:before]
		}
	}
	switch {
	case m.Correlation == [16]byte{}:
	case h.Dialect == V48:
		add(Chunk{ID: ChunkCorrelation, Value: m.Correlation[:]})
	default:
		out.Flags |= V502.Bit(HasCorrelation)
		out.Correlation = m.Correlation
	}
	if m.Chain != nil {
		add(Chunk{ID: ChunkCall, Value: m.Chain})
	}
	if sign {
		dst = AppendChunk(dst, V48, Chunk{ID: ChunkHMAC, Value: m.Digest.Sum(dst[body:])})
	}
	out.AnnotationsLen = uint32(len(dst) - body)
	AppendHead(dst[:begin], out)
	return dst
}
