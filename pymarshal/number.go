package pymarshal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
)

// integer reads what follows the code of an int.
func (r *Reader) integer(typ byte) (Value, error) {
	switch typ {
	case typeInt:
		b, err := r.take(4)
		if err != nil {
			return Value{}, err
		}
		return Value{Kind: Int, Int: int64(int32(binary.LittleEndian.Uint32(b)))}, nil
	case typeInt64:
		b, err := r.take(8)
		if err != nil {
			return Value{}, err
		}
		return Value{Kind: Int, Int: int64(binary.LittleEndian.Uint64(b))}, nil
	}
	return r.long()
}

// long reads a big integer: a count of 15-bit digits, negative for a negative number, and the digits. Like
// CPython it refuses digits above that and zeros in front.
func (r *Reader) long() (Value, error) {
	b, err := r.take(4)
	if err != nil {
		return Value{}, err
	}
	n := int64(int32(binary.LittleEndian.Uint32(b)))
	negative := n < 0
	if negative {
		n = -n
	}
	if 2*n > int64(len(r.data)-r.pos) {
		return Value{}, r.malformed("truncated")
	}
	digits, err := r.take(int(2 * n))
	if err != nil {
		return Value{}, err
	}
	var small uint64
	fits := n <= 5 // 75 bits, of which the last digit may use four
	for i := len(digits) - 2; i >= 0; i -= 2 {
		digit := binary.LittleEndian.Uint16(digits[i:])
		switch last := i == len(digits)-2; {
		case digit > 0x7fff:
			return Value{}, r.malformed("digit out of range")
		case last && digit == 0:
			return Value{}, r.malformed("long with zeros in front")
		case last && n == 5 && digit > 0xf:
			fits = false
		}
		small = small<<15 | uint64(digit)
	}
	switch {
	case fits && small <= math.MaxInt64 && !negative:
		return Value{Kind: Int, Int: int64(small)}, nil
	case fits && small <= 1<<63 && negative:
		return Value{Kind: Int, Int: -int64(small)}, nil
	}
	return Value{Kind: Int, Digits: digits, Negative: negative}, nil
}

// float reads what follows the code of a float or a complex number.
func (r *Reader) float(typ byte) (v Value, err error) {
	part := r.decimal
	if typ == typeBinaryFloat || typ == typeBinaryComplex {
		part = r.binary
	}
	v.Kind = Float
	if v.Float, err = part(); err != nil {
		return Value{}, err
	}
	if typ == typeComplex || typ == typeBinaryComplex {
		v.Kind = Complex
		if v.Imag, err = part(); err != nil {
			return Value{}, err
		}
	}
	return v, nil
}

func (r *Reader) binary() (float64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
}

// decimal reads a float in decimal text, as versions 0 and 1 have them: what PyOS_string_to_double takes.
func (r *Reader) decimal() (float64, error) {
	v, err := r.short(Bytes)
	if err != nil {
		return 0, err
	}
	// CPython looks at it as a C string. Go knows forms beyond Python's: hexadecimal, with its letters x and p.
	s, _, _ := bytes.Cut(v.Data, []byte{0})
	switch {
	case isSignedNaN(s):
		return math.NaN(), nil
	case bytes.ContainsAny(s, "xX_"):
		return 0, r.malformed("float that is no number")
	}
	f, err := strconv.ParseFloat(string(s), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // too large a one is infinite
		return 0, r.malformed("float that is no number")
	}
	return f, nil
}

// isSignedNaN: Python allows it a sign, Go does not.
func isSignedNaN(s []byte) bool {
	return len(s) == 4 && (s[0] == '-' || s[0] == '+') && bytes.EqualFold(s[1:], []byte("nan"))
}
