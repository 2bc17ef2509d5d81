// Package handshake reads the payloads of a connection's first two messages, as far as a dispatcher has to. In
// a CONNECT, Object finds the object id, which is what it routes by. Pyro sends serializer.dumps({"handshake": <any object of the user's>, "object": "<id>"}); the
// readers here step over the user's object, whatever it is, and give back the string under "object". Of the
// CONNECTOK that answers it, Fingerprint tells whether two daemons said the same.
//
// It is not a deserializer: nothing is built, nothing is decoded but strings, and a pickle's opcodes are
// followed on an abstract stack, never executed. Nor is it a validator: a reader may let pass what a daemon
// refuses (the payload goes to the daemon as it came, so the daemon decides). What it promises is that where a
// daemon's own loader would read an id, it returns that id or an error, never another id.
//
// Every reader works in time linear in the payload and within Limits, and its errors never quote the payload.
package handshake

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Limits bounds what reading one payload may cost. A field that is not positive means its default.
// The size of the payload itself is the caller's to bound.
type Limits struct {
	Inflated int // bytes a compressed payload may grow to
	Depth    int // containers inside each other
	Items    int // values in a table (a pickle's stack and memo, marshal's references, what either's values hold), of up to 16 bytes each
}

// DefaultLimits takes any handshake a person would write. Depth is the one CPython's marshal stops at; its other
// loaders stop earlier.
func DefaultLimits() Limits {
	return Limits{Inflated: 1 << 20, Depth: 2000, Items: 1 << 17}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	if l.Inflated > 0 {
		d.Inflated = l.Inflated
	}
	if l.Depth > 0 {
		d.Depth = l.Depth
	}
	if l.Items > 0 {
		d.Items = l.Items
	}
	return d
}

// Errors that Object and Fingerprint wrap.
var (
	// ErrNoObject: the payload is readable, but it is no dict, or has no "object", or that is no string of valid
	// Unicode. Pyro4 with METADATA off sends no "object". Only Object says so.
	ErrNoObject = errors.New("no object id")
	// ErrMalformed: the payload cannot be read (truncated, nonsense, something after it that the real loader refuses,
	// an unknown format), or Python versions would read different ids from it.
	ErrMalformed = errors.New("malformed")
	// ErrLimit: a bound of Limits was hit. The payload may be good.
	ErrLimit = errors.New("over the limit")
)

// Object returns the value of the key "object" of the dict that payload holds in format f; of a repeated key the last
// counts, as in Python. With compressed, payload is a zlib stream of that. A byte string is taken as well as
// a text string, if it is valid UTF-8: Pyro4 on Python 2 sends those. The payload is neither kept nor changed.
func Object(f wire.Serializer, compressed bool, payload []byte, lim Limits) (string, error) {
	lim = lim.orDefaults()
	var id string
	var err error
	if compressed {
		id, err = inflated(payload, lim.Inflated, func(data []byte) (string, error) { return object(f, data, lim) })
	} else {
		id, err = object(f, payload, lim)
	}
	if err != nil {
		return "", fmt.Errorf("reading the %s payload of a CONNECT: %w", f, err)
	}
	return id, nil
}

func object(f wire.Serializer, payload []byte, lim Limits) (string, error) {
	if len(payload) > math.MaxInt32 {
		return "", ErrLimit // the readers keep offsets in 32 bits; Pyro4's format ends there too
	}
	switch f {
	case wire.Serpent:
		return serpentObject(payload, lim)
	case wire.JSON:
		return jsonObject(payload, lim)
	case wire.Marshal:
		return marshalObject(payload, lim)
	case wire.Pickle, wire.Dill, wire.Cloudpickle:
		return pickleObject(payload, lim)
	case wire.Msgpack:
		return msgpackObject(payload, lim)
	}
	return "", fmt.Errorf("%w: no such format", ErrMalformed)
}

// objectKey is the key whose value is the object id.
const objectKey = "object"

// kind tells values apart as far as the id needs it.
type kind uint8

const (
	other  kind = iota // anything that is neither of the next and cannot equal a string
	text               // str, or Python 2's unicode
	octets             // bytes, or Python 2's str
	dict               // told apart by the serpent reader only
)

// token is one value of a payload, unread: raw is its source, still encoded the way its format does.
type token struct {
	kind kind
	raw  []byte
}

// binding is what the top-level dict has said of the key "object" so far.
type binding struct {
	value        token
	text, octets bool // which kinds of string the key was written as
}

// bind records one more item whose key is "object".
func (b *binding) bind(key kind, value token) {
	b.text = b.text || key == text
	b.octets = b.octets || key == octets
	b.value = value
}

// bound returns the value in effect, which is a string of either kind.
func (b *binding) bound() (token, error) {
	switch {
	case b.text && b.octets:
		// Python 2 takes u"object" and b"object" for one key, Python 3 does not.
		return token{}, fmt.Errorf("%w: both a text and a bytes key %q", ErrMalformed, objectKey)
	case b.value.kind != text && b.value.kind != octets:
		return token{}, ErrNoObject
	}
	return b.value, nil
}

// id copies b, which has to be UTF-8. Python's strings can hold single surrogates, which UTF-8 cannot.
func id(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", fmt.Errorf("%w: not valid Unicode", ErrNoObject)
	}
	return string(b), nil
}

func malformed(what string, pos int) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMalformed, what, pos)
}

func tooDeep(pos int) error {
	return fmt.Errorf("%w: nested too deep at byte %d", ErrLimit, pos)
}
