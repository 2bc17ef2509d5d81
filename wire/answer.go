package wire

import (
	"encoding/binary"
	"slices"
)

// Answer is what a message of ours answers, besides a Failure or a Refusal.
type Answer struct {
	Dialect     Dialect
	Serializer  Serializer // the request's
	Seq         uint16     // the request's
	Correlation [16]byte   // the request's; the zero value means it had none
}

// Welcome is what a CONNECTOK of ours says of the object that was asked for: what
// proxies look at before they call it.
type Welcome struct {
	Answer
	Methods, Oneway []string // Oneway are among Methods
}

// AppendNone appends a RESULT with None.
func AppendNone(dst []byte, a Answer) []byte {
	return appendAnswer(dst, Result, 0, a, appendNone([]byte(prologue(a.Serializer)), a.Serializer))
}

// AppendConnectOK appends a CONNECTOK, whose payload is what both libraries' daemons
// send: {"handshake": "hello", "meta": {"methods", "oneway", "attrs"}}. The three are
// sets there; lists are taken as well, and every serializer has them.
func AppendConnectOK(dst []byte, w Welcome) []byte {
	s := w.Serializer
	pickles := s == Pickle || s == Dill || s == Cloudpickle
	data := []byte(prologue(s))
	text := func(t string) { data = appendText(data, s, t) }
	list := func(items []string) {
		switch {
		case pickles:
			data = append(data, "]("...) // EMPTY_LIST, MARK
			for _, item := range items {
				text(item)
			}
			data = append(data, 'e') // APPENDS
		case s == Marshal:
			data = append(data, '[')
			data = binary.LittleEndian.AppendUint32(data, uint32(len(items)))
			for _, item := range items {
				text(item)
			}
		case s == Msgpack:
			data = append(data, 0xdd) // array 32
			data = binary.BigEndian.AppendUint32(data, uint32(len(items)))
			for _, item := range items {
				text(item)
			}
		default:
			data = append(data, '[')
			for i, item := range items {
				if i > 0 {
					data = append(data, ',')
				}
				text(item)
			}
			data = append(data, ']')
		}
	}
	form := dictForms[s]
	begin := func(items int) {
		data = append(data, form.begin...)
		if s == Msgpack {
			data = append(data, 0x80|byte(items)) // fixmap
		}
	}
	key := func(name string, first bool) {
		if !first {
			data = append(data, form.comma...)
		}
		text(name)
		data = append(data, form.colon...)
	}
	begin(2)
	key("handshake", true)
	text("hello")
	key("meta", false)
	begin(3)
	key("methods", true)
	list(w.Methods)
	key("oneway", false)
	list(w.Oneway)
	key("attrs", false)
	list(nil)
	data = append(data, form.end...)
	data = append(data, form.end...)
	data = append(data, epilogue(s)...)
	flags := uint16(0)
	if w.Dialect == V48 {
		flags = V48.Bit(MetaOnConnect)
	}
	return appendAnswer(dst, ConnectOK, flags, w.Answer, data)
}

// appendNone appends None as a whole payload, whose prologue is there.
func appendNone(dst []byte, s Serializer) []byte {
	switch s {
	case Serpent:
		return append(dst, "None"...)
	case JSON:
		return append(dst, "null"...)
	case Msgpack:
		return append(dst, 0xc0)
	case Pickle, Dill, Cloudpickle:
		return append(dst, "N."...) // NONE, STOP
	}
	return append(dst, 'N')
}

// appendAnswer appends a message of ours with the payload data.
func appendAnswer(dst []byte, t Type, flags uint16, a Answer, data []byte) []byte {
	h := Head{
		Dialect: a.Dialect, Type: t, SerializerID: a.Dialect.SerializerID(a.Serializer),
		Flags: flags, Seq: a.Seq, DataLen: uint32(len(data)),
	}
	var chunks []byte
	switch {
	case a.Correlation == [16]byte{}:
	case a.Dialect == V48:
		chunks = AppendChunk(nil, V48, Chunk{ID: ChunkCorrelation, Value: a.Correlation[:]})
	default:
		h.Flags |= V502.Bit(HasCorrelation)
		h.Correlation = a.Correlation
	}
	h.AnnotationsLen = uint32(len(chunks))
	dst = AppendHead(slices.Grow(dst, int(h.Len())), h)
	dst = append(dst, chunks...)
	return append(dst, data...)
}
