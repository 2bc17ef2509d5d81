package wire

import "strings"

// Failure is an exception of ours, in the place of a result.
type Failure struct {
	Dialect     Dialect
	Serializer  Serializer // the request's
	Seq         uint16     // the request's
	Correlation [16]byte   // the request's; the zero value means it had none
	Class       Class
	Text        string // characters outside printable ASCII, but arrows (→), are replaced
	// Python2: the client runs on Python 2, as far as can be told. It has no builtin
	// TimeoutError, and gets a PyroError and ASCII instead.
	Python2 bool
}

// Class is what a Failure is raised as. It decides what the client's proxy does:
// on a communication error it drops its connection (Pyro4/core.py and
// Pyro5/client.py, _pyroInvoke).
type Class uint8

// The classes.
const (
	CommunicationError Class = iota // the proxy drops its connection, and does not try again
	PyroError                       // the proxy keeps its connection
	// TimeoutError is Pyro's, a communication error: the proxy drops its connection,
	// and tries again as often as the client's MAX_RETRIES says.
	TimeoutError
	// BuiltinTimeoutError is Python's own: the proxy keeps its connection.
	BuiltinTimeoutError
)

var classNames = [...]string{
	CommunicationError: "CommunicationError", PyroError: "PyroError",
	TimeoutError: "TimeoutError", BuiltinTimeoutError: "TimeoutError",
}

// Drops reports whether a proxy that raises the class drops its connection.
func (c Class) Drops() bool { return c == CommunicationError || c == TimeoutError }

// AppendFailure appends a RESULT with the exception to dst.
func AppendFailure(dst []byte, f Failure) []byte {
	h := Head{
		Dialect:      f.Dialect,
		Type:         Result,
		SerializerID: f.Dialect.SerializerID(f.Serializer),
		Flags:        f.Dialect.Bit(Exception),
		Seq:          f.Seq,
	}
	var chunks []byte
	if f.Correlation != [16]byte{} {
		if f.Dialect == V48 {
			chunks = AppendChunk(nil, V48, Chunk{ID: ChunkCorrelation, Value: f.Correlation[:]})
		} else {
			h.Flags |= f.Dialect.Bit(HasCorrelation)
			h.Correlation = f.Correlation
		}
	}
	data := appendException(nil, f)
	h.AnnotationsLen = uint32(len(chunks))
	h.DataLen = uint32(len(data))
	dst = AppendHead(dst, h)
	dst = append(dst, chunks...)
	return append(dst, data...)
}

// appendException appends the exception itself: in the dict serializers the dict
// that both libraries make of exceptions (SerializerBase.class_to_dict), in the
// pickle family an instance. Serpent knows lists and tuples, JSON and msgpack
// lists only, which the libraries take as well.
func appendException(dst []byte, f Failure) []byte {
	if f.Python2 {
		f.Text = strings.ReplaceAll(f.Text, arrow, "->")
		if f.Class == BuiltinTimeoutError {
			f.Class = PyroError
		}
	}
	module := "Pyro5.errors"
	switch {
	case f.Class == BuiltinTimeoutError:
		// Without its module it would be taken for Pyro's (dict_to_class).
		module = "builtins"
	case f.Dialect == V48:
		module = "Pyro4.errors"
	}
	name := classNames[f.Class]
	s := f.Serializer
	text := func(t string) []byte { return appendText(nil, s, t) }
	switch s {
	case Pickle, Dill, Cloudpickle:
		dst = append(dst, prologue(s)...)
		dst = append(dst, "c"+module+"\n"+name+"\n"...) // GLOBAL
		dst = appendText(dst, s, f.Text)
		return append(dst, "\x85R."...) // TUPLE1, REDUCE, STOP
	case Serpent, JSON:
		true_, open, close_ := "True", "(", ",)"
		if s == JSON {
			true_, open, close_ = "true", "[", "]"
		}
		dst = append(dst, prologue(s)...)
		dst = append(append(append(append(dst, '{'), text("__class__")...), ':'), text(module+"."+name)...)
		dst = append(append(append(append(dst, ','), text("__exception__")...), ':'), true_...)
		dst = append(append(append(append(dst, ','), text("args")...), ':'), open...)
		dst = append(append(dst, text(f.Text)...), close_...)
		dst = append(append(append(dst, ','), text("attributes")...), ":{}}"...)
		return dst
	case Msgpack:
		dst = append(dst, 0x84) // fixmap of 4
		dst = append(append(dst, text("__class__")...), text(module+"."+name)...)
		dst = append(append(dst, text("__exception__")...), 0xc3)                 // true
		dst = append(append(append(dst, text("args")...), 0x91), text(f.Text)...) // fixarray of 1
		return append(append(dst, text("attributes")...), 0x80)                   // fixmap of 0
	default:
		dst = append(dst, '{')
		dst = append(append(dst, text("__class__")...), text(module+"."+name)...)
		dst = append(append(dst, text("__exception__")...), 'T')
		dst = append(append(append(dst, text("args")...), "(\x01\x00\x00\x00"...), text(f.Text)...)
		return append(append(dst, text("attributes")...), "{00"...)
	}
}
