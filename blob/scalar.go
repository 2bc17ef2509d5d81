package blob

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/pyro-dispatch/pyro-dispatch/pymarshal"
)

// ScalarKind tells strings from numbers.
type ScalarKind uint8

// The kinds of a Scalar.
const (
	NoScalar ScalarKind = iota
	Text
	Number
)

// Scalar is a string or a number of an info, to compare with == and to use as the
// key of a map. As in Python, True is 1, a float that is whole is that int, and a
// complex number without an imaginary part is its real part. A bytes counts as the
// text it holds: Python 2's ordinary strings look like that.
type Scalar struct {
	Kind ScalarKind
	// Text is the content of a Text. Of a Number it is the hexadecimal form, if the
	// number is whole and int64 does not hold it.
	Text string

	whole    int64
	fraction float64 // not 0 if the number is not whole
}

// TextScalar makes a Scalar of a string.
func TextScalar(s string) Scalar { return Scalar{Kind: Text, Text: s} }

// IntScalar makes a Scalar of an int.
func IntScalar(n int64) Scalar { return Scalar{Kind: Number, whole: n} }

// BigScalar makes a Scalar of an int of any size, which it does not keep.
func BigScalar(n *big.Int) Scalar {
	if n.IsInt64() {
		return IntScalar(n.Int64())
	}
	return Scalar{Kind: Number, Text: n.Text(16)}
}

// FloatScalar makes a Scalar of a float. There is none for NaN, which does not
// equal itself.
func FloatScalar(f float64) (s Scalar, ok bool) {
	switch {
	case math.IsNaN(f):
		return Scalar{}, false
	case f != math.Trunc(f) || math.IsInf(f, 0):
		return Scalar{Kind: Number, fraction: f}, true
	case f >= -1<<63 && f < 1<<63:
		return IntScalar(int64(f)), true
	}
	n, _ := big.NewFloat(f).Int(nil)
	return BigScalar(n), true
}

// String is the text, or the number as Python's str gives it for an int or a
// float; a whole one in the form of an int, of whatever type it was.
func (s Scalar) String() string {
	switch {
	case s.Kind == Number && s.Text != "":
		if n, ok := s.big(); ok {
			return n.String()
		}
	case s.Kind == Number && s.fraction != 0:
		return formatFloat(s.fraction)
	case s.Kind == Number:
		return strconv.FormatInt(s.whole, 10)
	}
	return s.Text
}

// big is the number that Text holds.
func (s Scalar) big() (*big.Int, bool) { return new(big.Int).SetString(s.Text, 16) }

// formatFloat writes a float that is not whole as Python's repr does.
func formatFloat(f float64) string {
	switch size := math.Abs(f); {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case size < 1e-4:
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// scalarOf makes a Scalar of a value, whose memory the text shares.
func scalarOf(v pymarshal.Value) (s Scalar, ok bool) {
	switch v.Kind {
	case pymarshal.Text, pymarshal.Bytes:
		return TextScalar(unsafe.String(unsafe.SliceData(v.Data), len(v.Data))), true
	case pymarshal.Bool, pymarshal.Int:
		if v.Digits != nil {
			return BigScalar(bigInt(v.Digits, v.Negative)), true
		}
		return IntScalar(v.Int), true
	case pymarshal.Float:
		return FloatScalar(v.Float)
	case pymarshal.Complex:
		if v.Imag == 0 {
			return FloatScalar(v.Float)
		}
	}
	return Scalar{}, false
}

// bigInt makes a number of marshal's 15-bit digits, in linear time.
func bigInt(digits []byte, negative bool) *big.Int {
	words := make([]big.Word, 0, len(digits)/2*15/bits.UintSize+1)
	var word uint64 // of which `filled` bits are in use
	filled := 0
	for ; len(digits) >= 2; digits = digits[2:] {
		digit := uint64(binary.LittleEndian.Uint16(digits))
		word |= digit << filled
		if filled += 15; filled >= bits.UintSize {
			words = append(words, big.Word(word))
			filled -= bits.UintSize
			word = digit >> (15 - filled)
		}
	}
	words = append(words, big.Word(word))
	n := new(big.Int).SetBits(words)
	if negative {
		n.Neg(n)
	}
	return n
}

// appendScalar marshals s in forms that every Python reads.
func appendScalar(dst []byte, s Scalar) []byte {
	switch {
	case s.Kind == Text:
		return appendText(dst, s.Text)
	case s.Kind != Number:
		return append(dst, 'N')
	case s.Text != "":
		n, _ := s.big()
		return appendLong(dst, n)
	case s.fraction != 0:
		return binary.LittleEndian.AppendUint64(append(dst, 'g'), math.Float64bits(s.fraction))
	case s.whole == int64(int32(s.whole)):
		return binary.LittleEndian.AppendUint32(append(dst, 'i'), uint32(s.whole))
	}
	return appendLong(dst, big.NewInt(s.whole))
}

// appendText marshals a str, or a unicode for Python 2.
func appendText(dst []byte, s string) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, 'u'), uint32(len(s)))
	return append(dst, s...)
}

// appendLong marshals an int in 15-bit digits.
func appendLong(dst []byte, n *big.Int) []byte {
	count := int32((n.BitLen() + 14) / 15)
	signed := count
	if n.Sign() < 0 {
		signed = -count
	}
	dst = binary.LittleEndian.AppendUint32(append(dst, 'l'), uint32(signed))
	size := n.Bytes() // the highest byte first
	bit := func(i int) uint16 {
		if at := len(size) - 1 - i/8; at >= 0 {
			return uint16(size[at]>>(i%8)) & 1
		}
		return 0
	}
	for d := range int(count) {
		var digit uint16
		for i := range 15 {
			digit |= bit(15*d+i) << i
		}
		dst = binary.LittleEndian.AppendUint16(dst, digit)
	}
	return dst
}
