// Package pymarshal reads Python's marshal format as a flat run of values, without building any Python
// object. It exists to look into the two marshalled places a dispatcher has to look into: the payload of a
// CONNECT, and the BLBI annotation of a blob call, marshal.dumps((info, objectId, method)).
//
// It reads versions 0 to 5: what CPython 2.7 (version 2) to 3.14 (version 5) write, references resolved. It is not a
// loader: code objects are refused, and nothing is executed. The facts come from r_object in CPython's
// Python/marshal.c.
//
// A Reader does work linear in its input, recurses at most Limits.Depth deep, and never allocates because a
// length field says so: only the table of references grows, by one entry for each value that was really there.
package pymarshal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Errors that Next and Skip wrap.
var (
	// ErrMalformed: the input is truncated, has a type code this package does not know, or refers to a value that was not there.
	ErrMalformed = errors.New("malformed marshal data")
	// ErrLimit: a bound of Limits was hit; the input may be well formed.
	ErrLimit = errors.New("marshal data exceeds a limit")
)

// Limits bounds a Reader.
type Limits struct {
	Depth int // containers inside each other that Skip enters
	Items int // values kept because the input may refer back to them
}

// Kind tells values apart as far as a dispatcher cares.
type Kind uint8

const (
	Invalid Kind = iota
	End          // TYPE_NULL, which stands where a dict's next key would be; it is no value
	Other        // Ellipsis, StopIteration
	None
	Bool    // Int is 0 or 1
	Int     // in Int or, where it does not fit, in Digits and Negative
	Float   // in Float
	Complex // in Float and Imag
	Text    // str; from Python 2 a unicode or an interned str
	Bytes   // bytes; from Python 2 a str
	Tuple   // Len values follow
	List    // Len values follow
	Set     // set or frozenset; Len values follow
	Slice   // three values follow (Len is 3)
	Dict    // keys and values follow by turns, until an End instead of a key
)

// container reports whether other values belong to one of this kind.
func (k Kind) container() bool { return k >= Tuple }

// Value is one value, or the head of one that contains others.
type Value struct {
	Kind Kind
	// Data is the content of a Text (UTF-8, in which Python also lets single surrogates through) or Bytes.
	// It aliases the reader's input.
	Data []byte
	// Int is the value of a Bool, and of an Int that has no Digits.
	Int int64
	// Digits are those of an Int that int64 cannot hold: its absolute value in base 1<<15, least digit first, each in
	// two bytes of which the first is the lower. There are an even number of bytes, and the last digit is not 0. It
	// aliases the reader's input.
	Digits []byte
	// Negative is the sign of an Int with Digits.
	Negative bool
	// Float is the value of a Float or the real part of a Complex, Imag the other part.
	Float, Imag float64
	// Len is the number of values that follow, for the kinds that say so above.
	Len int
	// Ref: this is a second mention of an earlier value. All is as there, but the items of a container do not follow again.
	Ref bool
	// Place tells the values apart that can be mentioned again. They are numbered as they come, from 1. A Ref has that of
	// what it mentions; 0 is for values that are mentioned once.
	Place int

	typ   byte // the code of its type, without the flag
	start int  // where it starts, behind the code; of a Ref, where what it mentions does
}

// Reader steps through one marshalled object. The zero Reader reads an empty input; make one with NewReader.
type Reader struct {
	data     []byte
	pos      int
	lim      Limits
	places   int   // given out so far
	refs     table // values marked FLAG_REF, addressed by 'r' (version 3 and later)
	interned table // values of type 't', addressed by 'R' (Python 2)
	again    bool  // it has gone back
	forms    forms // that were met
}

// NewReader returns a reader of data, which it keeps and never changes.
func NewReader(data []byte, lim Limits) Reader {
	return Reader{data: data, lim: lim}
}

// Offset is the number of bytes read so far. Like marshal.loads, a Reader does not care what follows the object.
func (r *Reader) Offset() int { return r.pos }

// Next reads one value. Of a container it reads the head only: the items are the next values, to be read with
// Next or passed over by giving the head to Skip.
func (r *Reader) Next() (Value, error) {
	if len(r.data) > math.MaxInt32 {
		return Value{}, fmt.Errorf("%w: %d bytes", ErrLimit, len(r.data)) // offsets are kept in 32 bits
	}
	code, err := r.take(1)
	if err != nil {
		return Value{}, err
	}
	typ := code[0] &^ flagRef
	r.forms |= formsOf(code[0])
	start := r.pos
	v, err := r.read(typ)
	if err != nil {
		return Value{}, err
	}
	if !v.Ref {
		v.typ, v.start = typ, start
	}
	if r.again {
		return v, nil
	}
	// A container takes its place in the table before its items do, so that an item can refer to it.
	flagged := code[0]&flagRef != 0 && takesRef(typ)
	if flagged || typ == typeInterned {
		r.places++
		v.Place = r.places
	}
	if flagged {
		if err := r.keep(&r.refs, v); err != nil {
			return Value{}, err
		}
	}
	if typ == typeInterned {
		if err := r.keep(&r.interned, v); err != nil {
			return Value{}, err
		}
	}
	return v, nil
}

// Return goes back to offset, where a value starts. Whatever is read from then on was read before: it is not kept
// again, and its Place is 0. References mean what they meant, if all that they can refer to has been read.
func (r *Reader) Return(offset int) { r.pos, r.again = offset, true }

// Follow goes back, as Return does, to what v mentions if it is a Ref, and returns the head of that; its items are
// the next values. If v is no Ref, nothing is left to do.
func (r *Reader) Follow(v Value) (Value, error) {
	if !v.Ref {
		return v, nil
	}
	r.Return(v.start - 1)
	return r.Next()
}

// Skip passes over what Next left unread of v: the items of a container, to any depth within the limit.
func (r *Reader) Skip(v Value) error { return r.skip(v, r.lim.Depth) }

func (r *Reader) skip(v Value, depth int) error {
	if v.Ref {
		return nil
	}
	switch v.Kind {
	case Other, None, Bool, Int, Float, Complex, Text, Bytes:
		return nil
	case Tuple, List, Set, Slice, Dict:
		if depth <= 0 {
			return fmt.Errorf("%w: nested too deep at byte %d", ErrLimit, r.pos)
		}
	default:
		return r.malformed("no value where one is due")
	}
	for n := 0; v.Kind == Dict || n < v.Len; n++ {
		item, err := r.Next()
		if err != nil {
			return err
		}
		if v.Kind == Dict && item.Kind == End && n%2 == 0 {
			return nil
		}
		if err := r.skip(item, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// read reads what follows the type code.
func (r *Reader) read(typ byte) (Value, error) {
	switch typ {
	case typeNull:
		return Value{Kind: End}, nil
	case typeNone:
		return Value{Kind: None}, nil
	case typeFalse:
		return Value{Kind: Bool}, nil
	case typeTrue:
		return Value{Kind: Bool, Int: 1}, nil
	case typeStopIter, typeEllipsis:
		return Value{Kind: Other}, nil
	case typeInt, typeInt64, typeLong:
		return r.integer(typ)
	case typeFloat, typeComplex, typeBinaryFloat, typeBinaryComplex:
		return r.float(typ)
	case typeString:
		return r.sized(Bytes)
	case typeUnicode, typeInterned:
		return r.sized(Text)
	case typeASCII, typeASCIIInterned:
		return r.ascii(r.sized(Text))
	case typeShortASCII, typeShortASCIIInterned:
		return r.ascii(r.short(Text))
	case typeTuple:
		return r.counted(Tuple)
	case typeSmallTuple:
		n, err := r.take(1)
		if err != nil {
			return Value{}, err
		}
		return Value{Kind: Tuple, Len: int(n[0])}, nil
	case typeList:
		return r.counted(List)
	case typeSet, typeFrozenSet:
		return r.counted(Set)
	case typeSlice:
		return Value{Kind: Slice, Len: 3}, nil
	case typeDict:
		return Value{Kind: Dict}, nil
	case typeRef:
		return r.recall(&r.refs)
	case typeStringRef:
		return r.recall(&r.interned)
	}
	return Value{}, r.malformed("unknown or refused type code")
}

// recall reads an index into t and returns the value kept there.
func (r *Reader) recall(t *table) (Value, error) {
	b, err := r.take(4)
	if err != nil {
		return Value{}, err
	}
	e, ok := t.at(binary.LittleEndian.Uint32(b))
	if !ok {
		return Value{}, r.malformed("reference to nothing")
	}
	v := Value{Kind: e.kind}
	if !e.kind.container() {
		// What was readable then is readable again.
		here := r.pos
		r.pos = int(e.start)
		v, err = r.read(e.typ)
		r.pos = here
	}
	v.Ref, v.Place, v.typ, v.start = true, int(e.place), e.typ, int(e.start)
	return v, err
}

// keep enters v into t.
func (r *Reader) keep(t *table, v Value) error {
	if t.n >= r.lim.Items {
		return fmt.Errorf("%w: too many values at byte %d", ErrLimit, r.pos)
	}
	t.add(entry{kind: v.Kind, typ: v.typ, place: uint32(v.Place), start: uint32(v.start)})
	return nil
}
