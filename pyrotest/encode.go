package pyrotest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Tuple is a Python tuple.
type Tuple []any

// Dict is a Python dict with string keys, in the order of its entries.
type Dict []Entry

// Entry is a key and its value.
type Entry struct {
	Key   string
	Value any
}

// Encode serializes v, made of nil, bool, string, []any, Tuple and Dict, in a
// form that every Python reads: marshal and the pickle family in version 2 of
// their formats. It panics for other types, and for serializers it lacks.
func Encode(s wire.Serializer, v any) []byte {
	switch s {
	case wire.Serpent:
		return appendPython([]byte("# serpent utf-8 python3.2\n"), v)
	case wire.JSON:
		return appendJSON(nil, v)
	case wire.Marshal:
		return appendMarshal(nil, v)
	case wire.Msgpack:
		return appendMsgpack(nil, v)
	case wire.Pickle, wire.Dill, wire.Cloudpickle:
		b := appendPickle([]byte{0x80, 2}, v) // PROTO
		return append(b, '.')                 // STOP
	}
	panic(fmt.Sprintf("pyrotest: no encoder for %v", s))
}

func badType(v any) string { return fmt.Sprintf("pyrotest: cannot encode a %T", v) }

// appendPython appends a Python literal.
func appendPython(b []byte, v any) []byte {
	list := func(open, end string, items []any) {
		b = append(b, open...)
		for _, item := range items {
			b = append(appendPython(b, item), ',') // a trailing comma is right in all of them
		}
		b = append(b, end...)
	}
	switch v := v.(type) {
	case nil:
		return append(b, "None"...)
	case bool:
		if v {
			return append(b, "True"...)
		}
		return append(b, "False"...)
	case string:
		b = append(b, '\'')
		for _, c := range []byte(v) {
			switch {
			case c == '\'' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ' || c == 0x7f:
				b = fmt.Appendf(b, `\x%02x`, c)
			default:
				b = append(b, c)
			}
		}
		return append(b, '\'')
	case []any:
		list("[", "]", v)
	case Tuple:
		if len(v) == 0 {
			return append(b, "()"...)
		}
		list("(", ")", v)
	case Dict:
		b = append(b, '{')
		for _, e := range v {
			b = append(appendPython(b, e.Key), ':')
			b = append(appendPython(b, e.Value), ',')
		}
		b = append(b, '}')
	default:
		panic(badType(v))
	}
	return b
}

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil, bool, string:
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false) // as Python
		if err := e.Encode(v); err != nil {
			panic(err)
		}
		return append(b, strings.TrimSuffix(text.String(), "\n")...)
	case Tuple:
		return appendJSON(b, []any(v))
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendJSON(b, item)
		}
		return append(b, ']')
	case Dict:
		b = append(b, '{')
		for i, e := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(appendJSON(b, e.Key), ": "...)
			b = appendJSON(b, e.Value)
		}
		return append(b, '}')
	}
	panic(badType(v))
}

func appendMarshal(b []byte, v any) []byte {
	head := func(kind byte, n int) { b = binary.LittleEndian.AppendUint32(append(b, kind), uint32(n)) }
	list := func(kind byte, items []any) {
		head(kind, len(items))
		for _, item := range items {
			b = appendMarshal(b, item)
		}
	}
	switch v := v.(type) {
	case nil:
		return append(b, 'N')
	case bool:
		if v {
			return append(b, 'T')
		}
		return append(b, 'F')
	case string:
		head('u', len(v))
		return append(b, v...)
	case []any:
		list('[', v)
	case Tuple:
		list('(', v)
	case Dict:
		b = append(b, '{')
		for _, e := range v {
			b = appendMarshal(appendMarshal(b, e.Key), e.Value)
		}
		b = append(b, '0')
	default:
		panic(badType(v))
	}
	return b
}

func appendMsgpack(b []byte, v any) []byte {
	head := func(kind byte, n int) { b = binary.BigEndian.AppendUint32(append(b, kind), uint32(n)) }
	switch v := v.(type) {
	case nil:
		return append(b, 0xc0)
	case bool:
		if v {
			return append(b, 0xc3)
		}
		return append(b, 0xc2)
	case string:
		head(0xdb, len(v)) // str 32
		return append(b, v...)
	case Tuple:
		return appendMsgpack(b, []any(v))
	case []any:
		head(0xdd, len(v)) // array 32
		for _, item := range v {
			b = appendMsgpack(b, item)
		}
	case Dict:
		head(0xdf, len(v)) // map 32
		for _, e := range v {
			b = appendMsgpack(appendMsgpack(b, e.Key), e.Value)
		}
	default:
		panic(badType(v))
	}
	return b
}

// appendPickle appends opcodes of protocol 2 that leave v on the stack.
func appendPickle(b []byte, v any) []byte {
	list := func(items []any) {
		b = append(b, '(') // MARK
		for _, item := range items {
			b = appendPickle(b, item)
		}
	}
	switch v := v.(type) {
	case nil:
		return append(b, 'N')
	case bool:
		if v {
			return append(b, 0x88) // NEWTRUE
		}
		return append(b, 0x89) // NEWFALSE
	case string:
		b = binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(v))) // BINUNICODE
		return append(b, v...)
	case []any:
		b = append(b, ']') // EMPTY_LIST
		list(v)
		return append(b, 'e') // APPENDS
	case Tuple:
		list(v)
		return append(b, 't') // TUPLE
	case Dict:
		b = append(b, '}', '(') // EMPTY_DICT, MARK
		for _, e := range v {
			b = appendPickle(appendPickle(b, e.Key), e.Value)
		}
		return append(b, 'u') // SETITEMS
	case pickledError:
		b = append(b, "cexceptions\nValueError\n"...) // GLOBAL, a name that Python 3 translates
		b = appendPickle(b, Tuple{string(v)})
		return append(b, 'R') // REDUCE
	}
	panic(badType(v))
}

// pickledError is a ValueError, which the pickle family carries as such.
type pickledError string

// ExceptionData serializes a ValueError with that text, as both libraries'
// daemons do with what a method raised.
func ExceptionData(s wire.Serializer, text string) []byte {
	switch s {
	case wire.Pickle, wire.Dill, wire.Cloudpickle:
		return Encode(s, pickledError(text))
	}
	return Encode(s, Dict{
		{"__class__", "builtins.ValueError"},
		{"__exception__", true},
		{"args", Tuple{text}},
		{"attributes", Dict{}},
	})
}

// ConnectMessage is the CONNECT of a proxy for the object, with seq 0. In V48
// an empty object gives the form of METADATA off, which names none.
func ConnectMessage(d wire.Dialect, s wire.Serializer, object string, handshake any) Message {
	m := Message{Head: wire.Head{Dialect: d, Type: wire.Connect, SerializerID: d.SerializerID(s)}}
	data := Dict{{"handshake", handshake}}
	if d != wire.V48 || object != "" {
		data = append(data, Entry{"object", object})
		m.Head.Flags = d.Bit(wire.MetaOnConnect)
	}
	m.Data = Encode(s, data)
	return m
}
