package wire

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCorpora: fuzz targets are only as good as their seeds, so the folders of
// committed ones must not vanish unnoticed.
func TestCorpora(t *testing.T) {
	for _, target := range []string{"FuzzHead", "FuzzAnnotations"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(seeds) == 0 {
			t.Errorf("%s has no seeds", target)
		}
		for _, seed := range seeds {
			b, err := os.ReadFile(seed)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(b, []byte("go test fuzz v1\n")) {
				t.Errorf("%s is not a seed", seed)
			}
		}
	}
}

// FuzzHead: whatever parses re-encodes identically, whatever does not gives
// one of the errors that ParseHead names, and only the header's bytes count.
func FuzzHead(f *testing.F) {
	for _, g := range loadGolden(f) {
		f.Add([]byte(g.Message))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHead(b)
		if err != nil {
			checkHeadError(t, b, err)
			return
		}
		n := h.Dialect.HeadLen()
		if again := AppendHead(nil, h); !bytes.Equal(again, b[:n]) {
			t.Fatalf("read  %x\nwrote %x", b[:n], again)
		}
		if h.Len() < int64(n) || h.BodyLen() < 0 {
			t.Fatalf("lengths %d, %d", h.Len(), h.BodyLen())
		}
		if alone, err := ParseHead(b[:n]); err != nil || alone != h {
			t.Fatalf("without the rest: %+v, %v", alone, err)
		}
		_ = h.Serializer()
		for flag := range numFlags {
			_ = h.Has(flag)
		}
	})
}

func checkHeadError(t *testing.T, b []byte, err error) {
	if errors.Is(err, ErrShort) {
		if len(b) >= MaxHeadLen {
			t.Fatalf("%d bytes are called short", len(b))
		}
		return
	}
	var he *HeadError
	if !errors.As(err, &he) {
		t.Fatalf("error %T: %v", err, err)
	}
	// What cannot become a header cannot become one with more bytes either.
	if _, more := ParseHead(append(bytes.Clone(b), make([]byte, MaxHeadLen)...)); !errors.Is(more, he.Err) {
		t.Fatalf("%v, but with more bytes %v", err, more)
	}
}

// FuzzAnnotations: whatever walks completely re-encodes identically, and
// Correlation agrees with the walk about what is whole.
func FuzzAnnotations(f *testing.F) {
	for _, g := range loadGolden(f) {
		h, err := ParseHead(g.Message)
		if err != nil {
			f.Fatal(err)
		}
		n := h.Dialect.HeadLen()
		f.Add(h.Dialect == V48, []byte(g.Message[n:n+int(h.AnnotationsLen)]))
	}
	f.Fuzz(func(t *testing.T, v48 bool, b []byte) {
		d := V502
		if v48 {
			d = V48
		}
		var again []byte
		var err error
		for rest := b; len(rest) > 0 && err == nil; {
			var c Chunk
			before := len(rest)
			c, rest, err = NextChunk(d, rest)
			if err == nil && len(rest) >= before {
				t.Fatal("the walk does not advance")
			}
			if err == nil {
				again = AppendChunk(again, d, c)
			}
		}
		if err == nil && !bytes.Equal(again, b) {
			t.Fatalf("read  %x\nwrote %x", b, again)
		}
		if err != nil && !errors.Is(err, ErrAnnotations) {
			t.Fatalf("error %v", err)
		}
		if _, _, cerr := Correlation(&Head{Dialect: d}, b); cerr != err {
			t.Fatalf("Correlation: %v, the walk: %v", cerr, err)
		}
	})
}
