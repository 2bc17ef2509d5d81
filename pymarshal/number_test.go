package pymarshal

import (
	"errors"
	"math"
	"testing"
)

// The integers are what CPython 2.7.18 and 3.11 write for them.
func TestIntegers(t *testing.T) {
	cases := []struct {
		data     string
		want     int64
		digits   string
		negative bool
	}{
		{data: "i\xff\xff\xff\x7f", want: math.MaxInt32},
		{data: "i\x00\x00\x00\x80", want: math.MinInt32},
		{data: "I\x00\x00\x00\x00\x00\x00\x00\x80", want: math.MinInt64},
		{data: "l\x00\x00\x00\x00", want: 0},
		{data: "l\x03\x00\x00\x00\x00\x00\x00\x00\x02\x00", want: 1 << 31},
		{data: "l\x05\x00\x00\x00\xff\x7f\xff\x7f\xff\x7f\xff\x7f\x07\x00", want: math.MaxInt64},
		{data: "l\xfb\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00", want: math.MinInt64},
		{data: "l\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00", digits: "\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00"},
		{data: "l\xfb\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00\x08\x00", digits: "\x01\x00\x00\x00\x00\x00\x00\x00\x08\x00", negative: true},
		{data: "l\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00", digits: "\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00"},
		{data: "l\xfa\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00", digits: "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00", negative: true},
	}
	for _, c := range cases {
		r := NewReader([]byte(c.data), wide)
		v, err := r.Next()
		if err != nil || v.Kind != Int || v.Int != c.want || string(v.Digits) != c.digits || v.Negative != c.negative {
			t.Errorf("%q: got %+v, %v", c.data, v, err)
		}
	}
}

func TestFloats(t *testing.T) {
	cases := []struct {
		data string
		want float64
	}{
		{"g\x00\x00\x00\x00\x00\x00\xf8?", 1.5},
		{"g\x00\x00\x00\x00\x00\x00\x00\x80", math.Copysign(0, -1)},
		{"g\x00\x00\x00\x00\x00\x00\xf0\x7f", math.Inf(1)},
		{"f\x18-1.2345678901234567e-300", -1.2345678901234567e-300},
		{"f\x031.5", 1.5},
		{"f\x02.5", .5},
		{"f\x021.", 1},
		{"f\x051e999", math.Inf(1)},
		{"f\x04-inf", math.Inf(-1)},
		{"f\x08Infinity", math.Inf(1)},
		{"f\x03nan", math.NaN()},
		{"f\x04+NaN", math.NaN()},
		{"f\x061.5\x00ab", 1.5}, // CPython reads a C string
	}
	for _, c := range cases {
		r := NewReader([]byte(c.data), wide)
		v, err := r.Next()
		same := math.Float64bits(v.Float) == math.Float64bits(c.want) || math.IsNaN(v.Float) && math.IsNaN(c.want)
		if err != nil || v.Kind != Float || !same || r.Offset() != len(c.data) {
			t.Errorf("%q: got %+v, %v", c.data, v, err)
		}
	}
}

// A reference to a number has the number's value.
func TestReferredNumbers(t *testing.T) {
	r := NewReader([]byte(")\x04\xe9\x07\x00\x00\x00\xf9\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x00@r\x00\x00\x00\x00r\x01\x00\x00\x00"), wide)
	var got []Value
	for range 5 {
		v, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	for i := range 2 {
		first, again := got[1+i], got[3+i]
		if first.Int != again.Int || first.Float != again.Float || first.Imag != again.Imag || first.Kind != again.Kind || !again.Ref {
			t.Errorf("first %+v, again %+v", first, again)
		}
	}
	if got[3].Int != 7 || got[4].Imag != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestRefuseNumbers(t *testing.T) {
	for _, data := range []string{
		"l\x01\x00\x00\x00\x00\x00", "l\x02\x00\x00\x00\x01\x00\x00\x00", "l\x01\x00\x00\x00\x00\x80", "l\xff\xff\xff\xff\xff\xff",
		"f\x00", "f\x01x", "f\x02 1", "f\x021 ", "f\x031_0", "f\x040x1p", "f\x060x1p+1", "f\x021e", "f\x01.", "f\x05-+nan", "f\x02\x001",
		"x\x011\x00", "x\x00",
	} {
		r := NewReader([]byte(data), wide)
		if v, err := r.Next(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: got %+v, %v", data, v, err)
		}
	}
}
