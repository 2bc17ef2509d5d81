package handshake

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sync"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Print is what Fingerprint makes of a payload, to be compared.
type Print [16]byte

// Fingerprint returns a print of the strings that payload holds in format f, each as often as it is there, in no
// order. The payload is that of a CONNECTOK: the daemon's reply to the handshake and the names of the
// object's methods and attributes. Those are Python sets, whose order differs from process to process, so two
// daemons of the same version do not answer with the same bytes, but with the same print.
//
// What counts, and what does not:
//   - Text and bytes of the same content are the same string. Keys are strings as any other.
//   - Sharing does not count. A value that marshal refers to or a pickle gets from its memo, and all inside it, is as
//     good as written out again: a name among both the methods and the oneway ones counts twice in every format.
//   - Numbers, booleans and None do not count: a counter or the time in a reply is no version. Where a format spells such
//     things in strings, as serpent does dates, they do count, and so does a text that is new in every reply.
//   - Where a string stands does not count. An object that offers a method in place of an attribute of the same name has
//     the print it had.
//   - What a pickle imports does not count, so the print does not depend on the protocol. What a call would make of its
//     arguments stays unknown; the arguments count.
//
// Payloads in different formats have the same print if their strings are the same, which those of Pyro's own
// metadata are. Nothing is decided by what does not belong to the value: data after it, or what a pickle drops.
// A print is no secret and no proof. It tells apart daemons that mean well, and need not be kept between processes.
func Fingerprint(f wire.Serializer, compressed bool, payload []byte, lim Limits) (Print, error) {
	lim = lim.orDefaults()
	var s sum
	var err error
	if compressed {
		s, err = inflated(payload, lim.Inflated, func(data []byte) (sum, error) { return sumOf(f, data, lim) })
	} else {
		s, err = sumOf(f, payload, lim)
	}
	if err != nil {
		return Print{}, fmt.Errorf("reading the %s payload of a CONNECTOK: %w", f, err)
	}
	return s.print(), nil
}

func sumOf(f wire.Serializer, payload []byte, lim Limits) (sum, error) {
	if len(payload) > math.MaxInt32 {
		return sum{}, ErrLimit // as in object
	}
	t := tallies.Get().(*tally)
	defer t.release()
	var err error
	switch f {
	case wire.Serpent:
		r := serpentReader{src: payload, strings: t}
		_, err = r.all(lim.Depth, nil)
	case wire.JSON:
		r := jsonReader{data: payload, strings: t}
		err = r.all(lim.Depth, nil)
	case wire.Marshal:
		return marshalSum(payload, t, lim)
	case wire.Pickle, wire.Dill, wire.Cloudpickle:
		return pickleSum(payload, t, lim)
	case wire.Msgpack:
		r := msgpackReader{data: payload, strings: t}
		err = r.all(lim.Depth, nil)
	default:
		err = fmt.Errorf("%w: no such format", ErrMalformed)
	}
	return t.total, err
}

// sum is the sum of the hashes of some strings, modulo 2^128: the order in which they are added does not show, how often
// each was added does. Strings made for the purpose could cancel out, but who makes them can as well repeat what another
// daemon says.
type sum struct{ high, low uint64 }

// stringSum is that of one string.
func stringSum(s []byte) sum {
	h := sha256.Sum256(s)
	return sum{binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])}
}

func (s *sum) add(other sum) {
	var carry uint64
	s.low, carry = bits.Add64(s.low, other.low, 0)
	s.high, _ = bits.Add64(s.high, other.high, carry)
}

// print hashes once more, so that no payload has the zero Print.
func (s sum) print() Print {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], s.high)
	binary.BigEndian.PutUint64(b[8:], s.low)
	h := sha256.Sum256(b[:])
	return Print(h[:len(b)])
}

// tally counts strings while a reader steps over them.
type tally struct {
	total   sum    // of all so far; not used where values can be shared
	sums    []sum  // of the values that can be shared, by their places, which begin at 1
	scratch []byte // a decoded string
}

var tallies = sync.Pool{New: func() any { return new(tally) }}

// release empties t and gives it back.
func (t *tally) release() {
	empty := tally{sums: t.sums[:0], scratch: t.scratch[:0]}
	if cap(t.sums) > keptValues || cap(t.scratch) > keptBuffer {
		empty = tally{}
	}
	*t = empty
	tallies.Put(t)
}

// string counts one that is not encoded.
func (t *tally) string(raw []byte) { t.total.add(stringSum(raw)) }

// json counts a checked string of JSON, without its quotes.
func (t *tally) json(raw []byte) {
	t.scratch = appendJSON(t.scratch[:0], raw)
	t.string(t.scratch)
}

// literals counts the string that the Python literals in raw spell.
func (t *tally) literals(raw []byte) error {
	if plain, ok := plainLiteral(raw); ok {
		t.string(plain)
		return nil
	}
	decoded, err := appendLiterals(t.scratch[:0], raw, math.MaxInt)
	if err != nil {
		return err
	}
	t.scratch = decoded
	t.string(decoded)
	return nil
}

// keep gives s the next place.
func (t *tally) keep(s sum) int {
	t.sums = append(t.sums, s)
	return len(t.sums)
}

// at returns the sum kept at a place, which is there.
func (t *tally) at(place int) *sum { return &t.sums[place-1] }
