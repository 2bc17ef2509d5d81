package wire

import (
	"encoding/binary"
	"strings"
)

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

// AppendString appends text as the serializer's form of a string. Every
// version of Python that the serializer runs on reads these forms: marshal and
// the pickle family are written in version 2 of their formats. Characters
// outside printable ASCII become "?".
func AppendString(dst []byte, s Serializer, text string) []byte {
	text = printable(text)
	n := uint32(len(text))
	switch s {
	case Serpent:
		dst = append(dst, "# serpent utf-8 python3.2\n"...)
		return appendQuoted(dst, '\'', text)
	case JSON:
		return appendQuoted(dst, '"', text)
	case Pickle, Dill, Cloudpickle:
		// PROTO 2, BINUNICODE, STOP
		dst = append(dst, 0x80, 2, 'X')
		dst = binary.LittleEndian.AppendUint32(dst, n)
		dst = append(dst, text...)
		return append(dst, '.')
	case Msgpack:
		dst = append(dst, 0xdb) // str 32
		dst = binary.BigEndian.AppendUint32(dst, n)
		return append(dst, text...)
	default:
		dst = append(dst, 'u')
		dst = binary.LittleEndian.AppendUint32(dst, n)
		return append(dst, text...)
	}
}

// appendQuoted writes printable ASCII between quotes; a backslash escape of
// quote and backslash means the same in Python and in JSON.
func appendQuoted(dst []byte, quote byte, text string) []byte {
	dst = append(dst, quote)
	for i := range len(text) {
		if c := text[i]; c == quote || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return append(dst, quote)
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
