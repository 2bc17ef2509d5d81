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

// absence is what both libraries' daemons say of an object that they do not have
// (DaemonObject.get_metadata in Pyro4/core.py and Pyro5/server.py).
const absence = "unknown object"

// UnknownObject reports whether payload, that of a CONNECTFAIL, says that the daemon
// does not have the object that was asked for, and nothing else: what validateHandshake
// refuses with may have those words in it too. The text is too short to be compressed.
func UnknownObject(payload []byte) bool {
	i := bytes.Index(payload, []byte(absence))
	if i < 1 {
		return false
	}
	before, rest := payload[:i], payload[i+len(absence):]
	switch last := before[i-1]; last {
	case '\'', '"': // serpent, behind a line of its own, and JSON
		return len(rest) == 1 && rest[0] == last && (i == 1 || before[i-2] == '\n')
	case byte(len(absence)), 0xa0 | byte(len(absence)): // marshal and pickle; msgpack
		return true
	}
	return bytes.HasSuffix(before, []byte{byte(len(absence)), 0, 0, 0}) // their older versions
}
