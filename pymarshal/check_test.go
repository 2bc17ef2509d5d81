package pymarshal

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func check(data string, lim Limits) error {
	c := NewChecker([]byte(data), lim)
	v, err := c.Next()
	if err == nil {
		err = c.Skip(v)
	}
	if err == nil && c.Offset() != len(data) {
		err = errors.New("not all was read")
	}
	return err
}

func TestCheck(t *testing.T) {
	const ok = ""
	cases := []struct{ name, data, says string }{
		{"list as a key", "{[\x00\x00\x00\x00N0", "cannot be hashed"},
		{"list in a tuple as a key", "{)\x01[\x00\x00\x00\x00N0", "cannot be hashed"},
		{"dict in a set", "<\x01\x00\x00\x00{0", "cannot be hashed"},
		{"set in a set", "<\x01\x00\x00\x00<\x00\x00\x00\x00", "cannot be hashed"},
		{"frozenset in a set", "<\x01\x00\x00\x00>\x00\x00\x00\x00", ok},
		{"list as a value", "{N[\x00\x00\x00\x000", ok},
		{"slice as a key", "{:NNNN0", ok},
		{"slice with a list as a key", "{:NN[\x00\x00\x00\x00N0", "cannot be hashed"},
		{"list once more as a key", ")\x02\xdb\x00\x00\x00\x00{r\x00\x00\x00\x00N0", "cannot be hashed"},
		{"tuple once more as a key", ")\x02\xa9\x00{r\x00\x00\x00\x00N0", ok},
		{"string once more as a key", ")\x02\xfa\x01a{r\x00\x00\x00\x00N0", ok},
		{"list in itself", "\xdb\x01\x00\x00\x00r\x00\x00\x00\x00", ok},
		{"tuple in itself", "\xa9\x01r\x00\x00\x00\x00", ok},
		{"tuple in itself as a key", "{\xa9\x01r\x00\x00\x00\x00N0", "cannot be hashed"},
		{"tuple around its key", "\xa9\x01{r\x00\x00\x00\x00N0", "cannot be hashed"},
		{"frozenset in itself", "\xbe\x01\x00\x00\x00r\x00\x00\x00\x00", "not complete"},
		{"frozenset in a list in itself", "\xbe\x01\x00\x00\x00[\x01\x00\x00\x00r\x00\x00\x00\x00", "not complete"},
		{"slice in itself", "\xbar\x00\x00\x00\x00NN", "not complete"},
		{"surrogate", "u\x03\x00\x00\x00\xed\xa0\x80", ok},
		{"surrogates among letters", "u\x08\x00\x00\x00a\xed\xbf\xbf\xc3\xa9bb", ok},
		{"half a surrogate", "u\x02\x00\x00\x00\xed\xa0", "not UTF-8"},
		{"surrogate and half a letter", "u\x04\x00\x00\x00\xed\xa0\x80\xc3", "not UTF-8"},
		{"any bytes", "s\x01\x00\x00\x00\xff", ok},
		{"Python 2", "(\x02\x00\x00\x00t\x01\x00\x00\x00aR\x00\x00\x00\x00", ok},
		{"Python 2 with a flag", "(\x02\x00\x00\x00t\x01\x00\x00\x00a(\x02\x00\x00\x00R\x00\x00\x00\x00\xe9\x00\x00\x00\x00", "beside one of Python 3"},
		{"Python 2 with a short tuple", ")\x02t\x01\x00\x00\x00aR\x00\x00\x00\x00", "beside one of Python 3"},
		{"list as a key without a value", "{[\x00\x00\x00\x0000", "no value"},
		{"end in a tuple", ")\x010", "no value"},
	}
	for _, c := range cases {
		switch err := check(c.data, wide); {
		case c.says == ok && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.says != ok && (!errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

func TestCheckLimits(t *testing.T) {
	if err := check(")\x03NNN", Limits{Depth: 1, Items: 4}); err != nil {
		t.Error(err)
	}
	if err := check(")\x03NNN", Limits{Depth: 1, Items: 3}); !errors.Is(err, ErrLimit) {
		t.Errorf("four values of three: %v", err)
	}
	if err := check(")\x01)\x00", Limits{Depth: 1, Items: 4}); !errors.Is(err, ErrLimit) {
		t.Errorf("two deep of one: %v", err)
	}
	// Tuples of two of the one before, of which the last is a key: 2**depth steps to hash.
	for depth, want := range map[int]error{10: nil, 40: ErrLimit} {
		data := append([]byte("["), byte(depth+2), 0, 0, 0)
		data = append(data, "\xa9\x00"...)
		for n := range uint32(depth) {
			data = append(data, "\xa9\x02r"...)
			data = binary.LittleEndian.AppendUint32(data, n)
			data = append(data, 'r')
			data = binary.LittleEndian.AppendUint32(data, n)
		}
		data = append(data, "{r"...)
		data = binary.LittleEndian.AppendUint32(data, uint32(depth))
		data = append(data, "N0"...)
		if err := check(string(data), wide); !errors.Is(err, want) {
			t.Errorf("%d tuples: %v, want %v", depth, err, want)
		}
	}
}

// A reader that has gone back reads the same again, references included.
func TestFollow(t *testing.T) {
	// [("a", "b"), that tuple, "b"]
	r := NewReader([]byte("[\x03\x00\x00\x00\xa9\x02\xfa\x01a\xfa\x01br\x00\x00\x00\x00r\x02\x00\x00\x00"), wide)
	var values []Value
	for range 6 {
		v, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	if v, err := r.Follow(values[1]); err != nil || v.Ref {
		t.Fatalf("no reference: %+v, %v", v, err)
	}
	for range 2 {
		v, err := r.Follow(values[4])
		if err != nil || v.Kind != Tuple || v.Len != 2 || v.Ref {
			t.Fatalf("got %+v, %v", v, err)
		}
		for _, want := range []string{"a", "b"} {
			if v, err := r.Next(); err != nil || string(v.Data) != want {
				t.Fatalf("got %+v, %v, want %s", v, err, want)
			}
		}
	}
	if v, err := r.Next(); err != nil || v.Kind != Tuple || !v.Ref {
		t.Errorf("got %+v, %v", v, err)
	}
	if v, err := r.Next(); err != nil || string(v.Data) != "b" {
		t.Errorf("got %+v, %v", v, err)
	}
}
