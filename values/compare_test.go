package values

import (
	"bytes"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// comparison compares what was read with what was meant.
type comparison struct {
	serializer wire.Serializer
	// loose: tuples and sets may have become lists, and keys texts, where the serializer
	// makes them so; dicts are in any order.
	loose bool
	// keyless: proxies may have lost their keys.
	keyless bool
	// python2 makes bytes of strings, and tuples of sets.
	python2 bool
}

func (c comparison) same(want, got Value) bool {
	flat := c.loose && (c.serializer == wire.JSON || c.serializer == wire.Msgpack)
	switch want := want.(type) {
	case nil:
		return got == nil
	case *big.Int:
		got, ok := got.(*big.Int)
		return ok && want.Cmp(got) == 0
	case float64:
		got, ok := got.(float64)
		return ok && (want == got || math.IsNaN(want) && math.IsNaN(got))
	case complex128:
		got, ok := got.(complex128)
		return ok && c.same(real(want), real(got)) && c.same(imag(want), imag(got))
	case string:
		if text, ok := Text(got); ok && c.python2 {
			return text == want
		}
		return want == got
	case []byte:
		got, ok := got.([]byte)
		return ok && bytes.Equal(want, got)
	case Tuple:
		items, ok := got.(Tuple)
		if flat {
			items, ok = nil, false
			if list, isList := got.(List); isList {
				items, ok = Tuple(list), true
			}
		}
		return ok && slices.EqualFunc(want, items, c.same)
	case List:
		got, ok := got.(List)
		return ok && slices.EqualFunc(want, got, c.same)
	case Set:
		return c.sameSet(want, got, flat)
	case Dict:
		got, ok := got.(Dict)
		return ok && c.sameDict(want, got)
	case Proxy:
		got, ok := got.(Proxy)
		key := c.keyless || bytes.Equal(want.HMACKey, got.HMACKey)
		return ok && want.URI == got.URI && slices.Equal(want.Methods, got.Methods) && slices.Equal(want.Oneway, got.Oneway) &&
			slices.Equal(want.Attrs, got.Attrs) && c.same(want.Handshake, got.Handshake) && want.Serializer == got.Serializer && key
	case *Exception:
		got, ok := got.(*Exception)
		return ok && want.Class == got.Class && slices.EqualFunc(want.Args, got.Args, c.same) && c.sameDict(want.Attributes, got.Attributes)
	case Raised:
		got, ok := got.(Raised)
		return ok && c.same(want.Exception, got.Exception)
	case Instance:
		got, ok := got.(Instance)
		return ok && want.Class == got.Class && c.sameDict(want.Fields, got.Fields)
	}
	return want == got // bool, int64, URI
}

func (c comparison) sameSet(want Set, v Value, flat bool) bool {
	got, ok := v.(Set)
	if list, isList := v.(List); flat && isList {
		got, ok = Set(list), true
	}
	empty := len(want) == 0 && c.serializer == wire.Serpent
	if tuple, isTuple := v.(Tuple); isTuple && c.loose && (empty || c.python2) {
		got, ok = Set(tuple), true
	}
	return ok && len(want) == len(got) && !slices.ContainsFunc(want, func(w Value) bool {
		return !slices.ContainsFunc(got, func(g Value) bool { return c.same(w, g) })
	})
}

func (c comparison) sameDict(want, got Dict) bool {
	if !c.loose {
		return slices.EqualFunc(want, got, func(w, g Pair) bool { return c.same(w.Key, g.Key) && c.same(w.Value, g.Value) })
	}
	return len(want) == len(got) && !slices.ContainsFunc(want, func(w Pair) bool {
		return !slices.ContainsFunc(got, func(g Pair) bool {
			return (c.same(w.Key, g.Key) || c.serializer == wire.JSON && c.keyText(w.Key) == g.Key) && c.same(w.Value, g.Value)
		})
	})
}

// keyText is what JSON makes of a key.
func (c comparison) keyText(key Value) string {
	codec, _ := For(wire.V502, wire.JSON)
	text, err := codec.Append(nil, key)
	if err != nil {
		panic(err)
	}
	return strings.Trim(string(text), `"`)
}
