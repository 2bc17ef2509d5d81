// Package values converts between Python values and the four safe serializers
// (serpent, json, marshal and msgpack): for calls addressed to the dispatcher's own
// objects, and for replies to calls that it made itself.
//
// It never reads the payload of anybody else's call, it does not know pickle, and
// it makes no class of what it reads but those of Pyro's own that a control object
// needs: URI, Proxy and exceptions. All reading is bounded by Limits.
package values

import "errors"

// Value is a Python value: nil (None), bool, int64, *big.Int (what int64 cannot
// hold), float64, complex128, string, []byte, Tuple, List, Set, Dict, URI, Proxy,
// *Exception, Raised, or Instance for the serialized form of any other class.
type Value any

// The containers. A Dict keeps the order of its keys; a serializer without a form
// for a kind writes what its library writes for it, as documented at Codec.Append.
type (
	Tuple []Value
	List  []Value
	Set   []Value
	Dict  []Pair
)

// Pair is a key of a Dict and its value.
type Pair struct{ Key, Value Value }

// Instance is an object of a class that has no form of its own here: a dict with
// "__class__".
type Instance struct {
	Class  string
	Fields Dict // without "__class__"
}

// Errors that the readers wrap.
var (
	// ErrMalformed: the bytes are not what the serializer writes.
	ErrMalformed = errors.New("malformed serialized data")
	// ErrLimit: a bound of Limits was hit; the bytes may be well formed.
	ErrLimit = errors.New("serialized data exceeds a limit")
	// ErrUnsupported: the value has no form in the serializer.
	ErrUnsupported = errors.New("value cannot be serialized")
)

// Limits bounds what is read.
type Limits struct {
	Depth int // containers inside each other
	Items int // values in all
	Bytes int // of the payload, after decompression
}

// DefaultLimits is enough for any call of a control object.
func DefaultLimits() Limits { return Limits{Depth: 32, Items: 100_000, Bytes: 8 << 20} }
