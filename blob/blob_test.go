package blob

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	tests := []struct{ name, annotation, object, method string }{
		{"3.11", "\xa9\x03\xfa\x04objxr\x01\x00\x00\x00\xfa\x04meth", "objx", "meth"},
		{"2.7", "(\x03\x00\x00\x00t\x06\x00\x00\x00cameraR\x00\x00\x00\x00t\x04\x00\x00\x00move", "camera", "move"},
		{"2.7, str", "(\x03\x00\x00\x00Ns\x06\x00\x00\x00cameras\x04\x00\x00\x00move", "camera", "move"},
		{"rubbish behind", ")\x03Nz\x01oz\x01m\xff\xff", "o", "m"},
		{"other letters", ")\x03Nu\x02\x00\x00\x00\xc3\xa9z\x00", "é", ""},
	}
	for _, test := range tests {
		call, err := Parse([]byte(test.annotation))
		if err != nil || call.Object != test.object || call.Method != test.method {
			t.Errorf("%s: %q, %q, %v", test.name, call.Object, call.Method, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, annotation, says string
		err                    error
	}{
		{"empty", "", "in the tuple", ErrMalformed},
		{"two items", ")\x02z\x01oz\x01m", "not a tuple of info", ErrMalformed},
		{"a list", "[\x03\x00\x00\x00Nz\x01oz\x01m", "not a tuple of info", ErrMalformed},
		{"object is a number", ")\x03NTz\x01m", "the object is not text", ErrMalformed},
		{"method is the tuple", "\xa9\x03Nz\x01or\x00\x00\x00\x00", "the method is not text", ErrMalformed},
		{"cut", ")\x03Nz\x01oz\x02m", "in the method", ErrMalformed},
		{"code", ")\x03c\x00\x00\x00\x00z\x01oz\x01m", "in the info", ErrMalformed},
		{"key without a hash", ")\x03{[\x00\x00\x00\x00N0z\x01oz\x01m", "cannot be hashed", ErrMalformed},
		{"tuple in its own hash", ")\x03{\xa9\x01r\x00\x00\x00\x00N0z\x01oz\x01m", "cannot be hashed", ErrMalformed},
		{"frozenset in itself", ")\x03\xbe\x01\x00\x00\x00r\x00\x00\x00\x00z\x01oz\x01m", "not complete", ErrMalformed},
		{"not UTF-8", ")\x03u\x01\x00\x00\x00\xffz\x01oz\x01m", "not UTF-8", ErrMalformed},
		{"zeros in front", ")\x03l\x01\x00\x00\x00\x00\x00z\x01oz\x01m", "zeros", ErrMalformed},
		{"of two Pythons", ")\x03t\x01\x00\x00\x00aR\x00\x00\x00\x00z\x01m", "beside one of Python 3", ErrMalformed},
		{"too large", ")\x03Nz\x01oz\x01m" + strings.Repeat("x", MaxBytes), "65544 bytes", ErrLimit},
		{"too deep", ")\x03" + strings.Repeat("[\x01\x00\x00\x00", 101) + "Nz\x01oz\x01m", "nested too deep", ErrLimit},
		{"too many", ")\x03(\x10\x27\x00\x00" + strings.Repeat("N", 10_000) + "z\x01oz\x01m", "too many values", ErrLimit},
		{"takes years to hash", hashBomb(), "too much to hash", ErrLimit},
	}
	for _, test := range tests {
		_, err := Parse([]byte(test.annotation))
		if !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %v with %q", test.name, err, test.err, test.says)
		}
		if errors.Is(err, ErrLimit) && errors.Is(err, ErrMalformed) {
			t.Errorf("%s: both kinds of error: %v", test.name, err)
		}
	}
	if _, err := ParseLimit([]byte(")\x03Nz\x01oz\x01m"), 8); !errors.Is(err, ErrLimit) {
		t.Errorf("9 bytes with a limit of 8: %v", err)
	}
}

// hashBomb has a tuple of two tuples of two tuples and so on as a key. CPython keeps
// no hash of a tuple, so that it would do 2**29 steps.
func hashBomb() string {
	b := []byte(")\x03[\x1f\x00\x00\x00\xa9\x00") // a list of 31: reference 0, then 1 to 29, and the dict
	for n := range byte(29) {
		b = append(b, "\xa9\x02r"...)
		b = append(b, n, 0, 0, 0, 'r', n, 0, 0, 0)
	}
	b = append(b, "{r\x1d\x00\x00\x00N0z\x01oz\x01m"...)
	return string(b)
}

var benchmarks = []struct{ name, annotation string }{
	{"text", ")\x03\xda\x06room-7\xda\x0flistener.room-7\xda\x0cprocess_blob"},
	{"reference", "\xa9\x03\xfa\x04objxr\x01\x00\x00\x00\xfa\x04meth"},
	{"dict", ")\x03{\xda\x06tenant\xda\x04acme\xda\x04name\xda\x05front\xda\x04size)\x02\xe9\x01\x00\x00\x00\xe9\x02\x00\x00\x000\xda\x06camera\xda\x04move"},
	{"python2", "(\x03\x00\x00\x00s\x06\x00\x00\x00room-7t\x06\x00\x00\x00camerat\x04\x00\x00\x00move"},
}

// TestAllocations: nothing is allocated for ordinary annotations.
func TestAllocations(t *testing.T) {
	path, err := ParsePath("info.tenant")
	if err != nil {
		t.Fatal(err)
	}
	template, err := ParseTemplate("listener.{info}")
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 0, 1024)
	for _, test := range benchmarks {
		annotation := []byte(test.annotation)
		if n := testing.AllocsPerRun(100, func() {
			call, err := Parse(annotation)
			if err != nil {
				t.Fatal(err)
			}
			call.Info.Scalar()
			call.Info.At(path)
			template.Append(buffer, call)
			if _, err := call.AppendRetargeted(buffer, "other", ""); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	var paths []Path
	for _, text := range oraclePaths {
		p, err := ParsePath(text)
		if err != nil {
			f.Fatal(err)
		}
		paths = append(paths, p)
	}
	f.Fuzz(func(t *testing.T, annotation []byte) {
		sent := bytes.Clone(annotation)
		call, err := Parse(annotation)
		if err != nil {
			if errors.Is(err, ErrMalformed) == errors.Is(err, ErrLimit) {
				t.Fatalf("of no kind: %v", err)
			}
			return
		}
		other, err := call.AppendRetargeted(nil, "another", "way")
		if errors.Is(err, ErrLimit) {
			return
		}
		if err != nil || !bytes.Equal(annotation, sent) {
			t.Fatalf("%v; the annotation was %q", err, sent)
		}
		again, err := Parse(other)
		if err != nil || again.Object != "another" || again.Method != "way" {
			t.Fatalf("retargeted to %q: %q.%q, %v", other, again.Object, again.Method, err)
		}
		if a, b := call.Info, again.Info; !bytes.Equal(a.annotation[:a.end], b.annotation[:b.end]) {
			t.Fatalf("the info changed from %q to %q", a.annotation[:a.end], b.annotation[:b.end])
		}
		for i, p := range paths {
			a, okA := call.Info.At(p)
			b, okB := again.Info.At(p)
			if (a != b || okA != okB) && !mayHoldTuple(annotation) {
				t.Fatalf("%s was %v and is %v", oraclePaths[i], a, b)
			}
		}
	})
}

// mayHoldTuple reports whether there may be a reference to the tuple in the info,
// which then changes with the target.
func mayHoldTuple(annotation []byte) bool {
	return bytes.Contains(annotation, []byte("r\x00\x00\x00\x00")) || bytes.Contains(annotation, []byte("\xf2\x00\x00\x00\x00"))
}

func BenchmarkParse(b *testing.B) {
	for _, bench := range benchmarks {
		b.Run(bench.name, func(b *testing.B) {
			annotation := []byte(bench.annotation)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(annotation); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAt(b *testing.B) {
	call, err := Parse([]byte(benchmarks[2].annotation))
	if err != nil {
		b.Fatal(err)
	}
	path, err := ParsePath("info.size.1")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if s, ok := call.Info.At(path); !ok || s != IntScalar(2) {
			b.Fatal(s, ok)
		}
	}
}

func BenchmarkRetarget(b *testing.B) {
	annotation := []byte(benchmarks[0].annotation)
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buffer, err = AppendRetargeted(buffer[:0], annotation, "obj_6e5f3d7f6f0e4c11a5a0a8b6a3b6a6d8", ""); err != nil {
			b.Fatal(err)
		}
	}
}
