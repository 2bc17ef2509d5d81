package wire

import "bytes"

// Refusal is what a CONNECTFAIL says, and to whom.
type Refusal struct {
	Dialect Dialect
	// Serializer should be the CONNECT's. Where that is unknown or the dialect
	// has no number for it, marshal is used, as a Pyro daemon does that could
	// not read the request.
	Serializer Serializer
	Seq        uint16 // the CONNECT's, 0 where there was none
	// Correlation is the CONNECT's id; the zero value means it had none.
	Correlation [16]byte
	Text        string // bytes outside printable ASCII are replaced: Python 2 clients choke on them
}

// AppendConnectFail appends the CONNECTFAIL message to dst. Its payload is the
// serialized text: that is what both libraries' proxies show in the
// CommunicationError they raise.
func AppendConnectFail(dst []byte, r Refusal) []byte {
	ser := r.Serializer
	if r.Dialect.SerializerID(ser) == 0 {
		ser = Marshal
	}
	h := Head{
		Dialect:      r.Dialect,
		Type:         ConnectFail,
		SerializerID: r.Dialect.SerializerID(ser),
		Seq:          r.Seq,
	}
	var chunks []byte
	if r.Correlation != [16]byte{} {
		if r.Dialect == V48 {
			chunks = AppendChunk(nil, V48, Chunk{ID: ChunkCorrelation, Value: r.Correlation[:]})
		} else {
			h.Flags |= r.Dialect.Bit(HasCorrelation)
			h.Correlation = r.Correlation
		}
	}
	data := AppendString(nil, ser, r.Text)
	h.AnnotationsLen = uint32(len(chunks))
	h.DataLen = uint32(len(data))
	dst = AppendHead(dst, h)
	dst = append(dst, chunks...)
	return append(dst, data...)
}

// saturation is a part of what both libraries' daemons say when their thread
// pool is full (Pyro4/socketserver/threadpoolserver.py, Pyro5/svr_threads.py).
var saturation = []byte("no free workers")

// Saturated reports whether payload, that of a CONNECTFAIL, says that the daemon
// has no thread left to serve the connection. The text is short enough that no
// daemon compresses it, and is the same bytes in every serializer.
func Saturated(payload []byte) bool { return bytes.Contains(payload, saturation) }
