package pymarshal

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

var wide = Limits{Depth: 100, Items: 1000}

// read returns the next value and all inside it in a notation of these tests' own.
func read(r *Reader) (string, error) {
	v, err := r.Next()
	if err != nil {
		return "", err
	}
	names := [...]string{"invalid", "end", "other", "none", "bool", "int", "float", "complex", "text", "bytes", "tuple", "list", "set", "slice", "dict"}
	s := names[v.Kind]
	if v.Ref {
		s = "ref-" + s
	}
	switch {
	case v.Kind == Text || v.Kind == Bytes:
		return s + ":" + string(v.Data), nil
	case v.Kind == Bool || v.Kind == Int && v.Digits == nil:
		return fmt.Sprintf("%s:%d", s, v.Int), nil
	case v.Kind == Int:
		return fmt.Sprintf("%s:%t:%x", s, v.Negative, v.Digits), nil
	case v.Kind == Float:
		return fmt.Sprintf("%s:%v", s, v.Float), nil
	case v.Kind == Complex:
		return fmt.Sprintf("%s:%v", s, complex(v.Float, v.Imag)), nil
	case v.Ref || !v.Kind.container():
		return s, nil
	}
	var items []string
	for v.Kind == Dict || len(items) < v.Len {
		item, err := read(r)
		if err != nil {
			return "", err
		}
		if item == "end" {
			break
		}
		items = append(items, item)
	}
	return s + "(" + strings.Join(items, " ") + ")", nil
}

// The inputs are what CPython's marshal.dumps wrote for the values in the names: 2.7.18 and 3.11.7 in their versions.
// The slice is as version 5 has it, after CPython 3.14's marshal.c.
func TestRead(t *testing.T) {
	const (
		nums2 = "tuple(none bool:1 bool:0 other int:1 int:-1 int:1099511627776 int:true:00000000000000000004 float:1.5 complex:(1+2i))"
		cont  = "tuple(list(int:1 list()) dict(%s %s) set(%s) set(int:2) other)"
	)
	cases := []struct {
		name, data, want string
	}{
		{"py2 v0 (o, o, m)", "(\x03\x00\x00\x00s\x04\x00\x00\x00objxs\x04\x00\x00\x00objxs\x04\x00\x00\x00meth", "tuple(bytes:objx bytes:objx bytes:meth)"},
		{"py2 v2 (u, interned, m)", "(\x03\x00\x00\x00u\x05\x00\x00\x00caf\xc3\xa9t\x02\x00\x00\x00bys\x04\x00\x00\x00meth", "tuple(text:café text:by bytes:meth)"},
		{"py2 v2 (interned, same)", "(\x02\x00\x00\x00t\x02\x00\x00\x00byR\x00\x00\x00\x00", "tuple(text:by ref-text:by)"},
		{"py2 v1 numbers", "(\x0a\x00\x00\x00NTF.i\x01\x00\x00\x00i\xff\xff\xff\xffI\x00\x00\x00\x00\x00\x01\x00\x00l\xfb\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04f\x031.5x\x011\x012", nums2},
		{"py2 v2 containers", "(\x05\x00\x00\x00[\x02\x00\x00\x00i\x01\x00\x00\x00[\x00\x00\x00\x00{t\x01\x00\x00\x00ai\x01\x00\x00\x000<\x01\x00\x00\x00i\x01\x00\x00\x00>\x01\x00\x00\x00i\x02\x00\x00\x00S", fmt.Sprintf(cont, "text:a", "int:1", "int:1")},
		{"py3 v2 (o, o, m)", "(\x03\x00\x00\x00u\x04\x00\x00\x00objxu\x04\x00\x00\x00objxu\x04\x00\x00\x00meth", "tuple(text:objx text:objx text:meth)"},
		{"py3 v3 (o, o, m)", "\xa8\x03\x00\x00\x00\xf5\x04\x00\x00\x00objxr\x01\x00\x00\x00\xf5\x04\x00\x00\x00meth", "tuple(text:objx ref-text:objx text:meth)"},
		{"py3 v4 (o, o, m)", "\xa9\x03\xfa\x04objxr\x01\x00\x00\x00\xfa\x04meth", "tuple(text:objx ref-text:objx text:meth)"},
		{"py3 v4 (u, b, m)", "\xa9\x03\xf5\x05\x00\x00\x00caf\xc3\xa9\xf3\x02\x00\x00\x00by\xfa\x04meth", "tuple(text:café bytes:by text:meth)"},
		{"py3 v4 numbers", "\xa9\x0aNTF.\xe9\x01\x00\x00\x00\xe9\xff\xff\xff\xff\xec\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04l\xfb\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\xe7\x00\x00\x00\x00\x00\x00\xf8?\xf9\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x00@", nums2},
		{"py3 v4 containers", "\xa9\x05[\x02\x00\x00\x00\xe9\x01\x00\x00\x00[\x00\x00\x00\x00{\xda\x01ar\x01\x00\x00\x000<\x01\x00\x00\x00r\x01\x00\x00\x00>\x01\x00\x00\x00\xe9\x02\x00\x00\x00S", fmt.Sprintf(cont, "text:a", "ref-int:1", "ref-int:1")},
		{"long ASCII", "a\x02\x00\x00\x00ab", "text:ab"},
		{"v5 slice", ":N\xe9\x05\x00\x00\x00N", "slice(none int:5 none)"},
		{"slice counts before its items", "\xa9\x03\xbaN\xfa\x01aN\xfa\x01br\x03\x00\x00\x00", "tuple(slice(none text:a none) text:b ref-text:b)"},
		{"list in itself", "\xdb\x01\x00\x00\x00r\x00\x00\x00\x00", "list(ref-list)"},
		{"flag on a singleton", "\xa9\x03\xce\xfa\x01ar\x01\x00\x00\x00", "tuple(none text:a ref-text:a)"},
		{"many references", ")\x02)\x0a\xfa\x010\xfa\x011\xfa\x012\xfa\x013\xfa\x014\xfa\x015\xfa\x016\xfa\x017\xfa\x018\xfa\x019)\x02r\x07\x00\x00\x00r\x09\x00\x00\x00",
			"tuple(tuple(text:0 text:1 text:2 text:3 text:4 text:5 text:6 text:7 text:8 text:9) tuple(ref-text:7 ref-text:9))"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			data := []byte(c.data)
			r := NewReader(append(data, "rubbish"...), wide)
			if got, err := read(&r); err != nil || got != c.want || r.Offset() != len(data) {
				t.Errorf("got %s, %v at %d, want %s at %d", got, err, r.Offset(), c.want, len(data))
			}

			r = NewReader(data, wide)
			v, err := r.Next()
			if err == nil {
				err = r.Skip(v)
			}
			if err != nil || r.Offset() != len(data) {
				t.Errorf("Skip: %v at %d, want %d", err, r.Offset(), len(data))
			}

			for n := range data {
				r := NewReader(data[:n], wide)
				if got, err := read(&r); !errors.Is(err, ErrMalformed) {
					t.Errorf("the first %d bytes: got %s, %v, want ErrMalformed", n, got, err)
				}
			}
		})
	}
}

// Places number the values of both tables together, and a reference has that of its value.
func TestPlaces(t *testing.T) {
	data := "(\x0b\x00\x00\x00" + "z\x01a" + "t\x01\x00\x00\x00b" + "\xda\x01c" + "\xce" + "\xf4\x01\x00\x00\x00d" + "\xdb\x00\x00\x00\x00" +
		"R\x00\x00\x00\x00" + "R\x01\x00\x00\x00" + "r\x00\x00\x00\x00" + "r\x01\x00\x00\x00" + "r\x02\x00\x00\x00"
	want := []int{0, 0, 1, 2, 0, 3, 4, 1, 3, 2, 3, 4}
	r := NewReader([]byte(data), wide)
	for i, place := range want {
		if v, err := r.Next(); err != nil || v.Place != place || v.Ref != (i > 6) {
			t.Errorf("value %d: got place %d, ref %t, %v, want %d, %t", i, v.Place, v.Ref, err, place, i > 6)
		}
	}
	if r.Offset() != len(data) {
		t.Errorf("read %d bytes of %d", r.Offset(), len(data))
	}
}

func TestRefuse(t *testing.T) {
	cases := []struct {
		name, data string
		err        error
	}{
		{"empty", "", ErrMalformed},
		{"unknown type", "?", ErrMalformed},
		{"code object", "c\x00\x00\x00\x00", ErrMalformed},
		{"negative length", "s\xff\xff\xff\xff", ErrMalformed},
		{"list of 2 Gi items", "[\xff\xff\xff\x7f", ErrMalformed},
		{"long of 2 Gi digits", "l\x00\x00\x00\x80", ErrMalformed},
		{"ASCII that is not", "z\x01\xe9", ErrMalformed},
		{"reference to nothing", "r\x00\x00\x00\x00", ErrMalformed},
		{"reference with the top bit", ")\x02\xfa\x01ar\x00\x00\x00\x80", ErrMalformed},
		{"interned reference to a flagged one", ")\x02\xfa\x01aR\x00\x00\x00\x00", ErrMalformed},
		{"end in a tuple", ")\x010", ErrMalformed},
		{"end for a dict's value", "{N00", ErrMalformed},
		{"end alone", "0", ErrMalformed},
		{"too deep", strings.Repeat(")\x01", 101) + "N", ErrLimit},
		{"too many references", "(\xe9\x03\x00\x00" + strings.Repeat("\xfa\x00", 1001), ErrLimit},
		{"too many interned", "(\xe9\x03\x00\x00" + strings.Repeat("t\x00\x00\x00\x00", 1001), ErrLimit},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := NewReader([]byte(c.data), wide)
			v, err := r.Next()
			if err == nil {
				err = r.Skip(v)
			}
			if !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v", err, c.err)
			}
		})
	}
}

func FuzzSkip(f *testing.F) {
	f.Add([]byte("\xa9\x03\xfa\x04objxr\x01\x00\x00\x00\xfa\x04meth"))
	f.Add([]byte("(\x02\x00\x00\x00t\x02\x00\x00\x00byR\x00\x00\x00\x00"))
	f.Add([]byte("{\xda\x01a[\x01\x00\x00\x00\xe9\x01\x00\x00\x000"))
	f.Add([]byte(")\x04l\xfb\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04f\x031.5x\x011\x012:NNN"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(data, wide)
		v, err := r.Next()
		if err == nil {
			err = r.Skip(v)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			return
		}
		// What was skipped is all it takes: the same bytes alone read to the same end, and no fewer do.
		end := r.Offset()
		r = NewReader(data[:end], wide)
		if _, err := read(&r); err != nil || r.Offset() != end {
			t.Fatalf("read ended at %d with %v, Skip at %d", r.Offset(), err, end)
		}
		r = NewReader(data[:end-1], wide)
		if s, err := read(&r); err == nil {
			t.Fatalf("one byte less still reads: %s", s)
		}
	})
}

// A blob annotation is marshal.dumps((info, objectId, method)). Info may be any value; here it is the object id itself,
// which makes the second element a reference to the first.
func ExampleReader() {
	annotation := []byte("\xa9\x03\xfa\x04objxr\x01\x00\x00\x00\xfa\x04meth")

	r := NewReader(annotation, Limits{Depth: 100, Items: 1000})
	tuple, err := r.Next()
	if err != nil || tuple.Kind != Tuple || tuple.Len != 3 {
		return
	}
	info, err := r.Next()
	if err != nil || r.Skip(info) != nil {
		return
	}
	object, err := r.Next()
	if err != nil || object.Kind != Text {
		return
	}
	method, err := r.Next()
	if err != nil || method.Kind != Text {
		return
	}
	fmt.Printf("%s.%s\n", object.Data, method.Data)
	// Output: objx.meth
}
