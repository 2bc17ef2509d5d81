package values

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// plain gives the dict that stands for a value that has a class (class_to_dict of both
// libraries' SerializerBase), and any other value as it is.
func (c Codec) plain(v Value) (Value, error) {
	lib := library(c.dialect)
	switch v := v.(type) {
	case int:
		return int64(v), nil
	case []Value:
		return List(v), nil
	case URI:
		return Dict{{"__class__", lib + "core.URI"}, {"state", v.state()}}, nil
	case Proxy:
		class := lib + "client.Proxy"
		if c.dialect == wire.V48 {
			class = lib + "core.Proxy"
		}
		return Dict{{"__class__", class}, {"state", v.state(c.dialect)}}, nil
	case Exception:
		return c.exception(&v), nil
	case *Exception:
		if v == nil {
			return nil, fmt.Errorf("%w: no exception", ErrUnsupported)
		}
		return c.exception(v), nil
	case Raised:
		class := lib + "core._ExceptionWrapper"
		if c.dialect == wire.V48 {
			class = lib + "futures._ExceptionWrapper"
		}
		return Dict{{"__class__", class}, {"exception", v.Exception}}, nil
	case Instance:
		return append(Dict{{"__class__", v.Class}}, v.Fields...), nil
	}
	return v, nil
}

func (c Codec) exception(e *Exception) Dict {
	return Dict{
		{"__class__", dialectClass(e.Class, c.dialect)},
		{"__exception__", true},
		{"args", Tuple(e.Args)},
		{"attributes", e.Attributes},
	}
}

// class makes what a dict stands for (dict_to_class of both libraries): whichever
// dialect's names it uses, they mean the same.
func (b *budget) class(d Dict) (Value, error) {
	if b.serpent {
		if data, ok := serpentBytes(d); ok {
			return data, nil
		}
	}
	named, ok := d.Get("__class__")
	if !ok {
		return d, nil
	}
	name, ok := Text(named)
	if !ok {
		return nil, fmt.Errorf("%w: a class without a name", ErrMalformed)
	}
	v, ok := b.instance(name, d)
	if !ok {
		// The name is the client's, so it is not in the message.
		return nil, fmt.Errorf("%w: the state of one of Pyro's classes", ErrMalformed)
	}
	return v, nil
}

// instance makes an instance of the class with that name. ok is false where it is one
// of those known here, and d is not its state.
func (b *budget) instance(name string, d Dict) (v Value, ok bool) {
	state, _ := d.Get("state")
	raised, _ := d.Get("__exception__")
	switch {
	case name == "Pyro4.core.URI" || name == "Pyro5.core.URI":
		return uriFromState(state)
	case name == "Pyro4.core.Proxy":
		return proxyFromState(state, wire.V48)
	case name == "Pyro5.client.Proxy":
		return proxyFromState(state, wire.V502)
	case name == "Pyro4.futures._ExceptionWrapper" || name == "Pyro5.core._ExceptionWrapper":
		wrapped, _ := d.Get("exception")
		e, ok := wrapped.(*Exception)
		return Raised{e}, ok
	case b.serpent && name == "float":
		value, _ := d.Get("value")
		return math.NaN(), value == "nan"
	case b.serpent && name == "complex":
		re, _ := d.Get("real")
		im, _ := d.Get("imag")
		r, ok1 := re.(float64)
		i, ok2 := im.(float64)
		return complex(r, i), ok1 && ok2
	case raised == true, strings.HasPrefix(name, "Pyro4.errors."), strings.HasPrefix(name, "Pyro5.errors."):
		return exceptionFrom(name, d)
	}
	fields := make(Dict, 0, len(d)-1)
	for _, p := range d {
		if key, ok := Text(p.Key); !ok || key != "__class__" {
			fields = append(fields, p)
		}
	}
	return Instance{Class: name, Fields: fields}, true
}

// exceptionFrom is make_exception.
func exceptionFrom(name string, d Dict) (Value, bool) {
	e := &Exception{Class: neutralClass(name)}
	args, _ := d.Get("args")
	items, ok := sequence(args)
	if !ok {
		return nil, false
	}
	e.Args = items
	if attributes, there := d.Get("attributes"); there {
		if e.Attributes, ok = attributes.(Dict); !ok {
			return nil, false
		}
	}
	return e, true
}

// serpentDict is the dict that serpent writes for bytes.
func serpentDict(data []byte) Dict {
	return Dict{{"data", base64.StdEncoding.EncodeToString(data)}, {"encoding", "base64"}}
}

// serpentBytes reads the dict that serpent writes for bytes. The library leaves it a
// dict, for serpent.tobytes to read.
func serpentBytes(d Dict) ([]byte, bool) {
	if len(d) != 2 {
		return nil, false
	}
	encoding, _ := d.Get("encoding")
	text, _ := d.Get("data")
	s, ok := text.(string)
	if encoding != "base64" || !ok || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	return data, err == nil
}
