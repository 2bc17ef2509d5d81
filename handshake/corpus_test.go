package handshake

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// sample is one payload made by a real Python, as testdata/generate.py writes it.
type sample struct {
	Name       string
	Payload    []byte
	Compressed bool
	ID         *string // nil: there is none to find
}

var formats = []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Pickle, wire.Dill, wire.Msgpack, wire.Cloudpickle}

// corpus reads the samples of one format. None at all is a failure: tests that loop over nothing pass for ever.
func corpus(tb testing.TB, f wire.Serializer) []sample {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "corpus", f.String(), "*.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	var samples []sample
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		before := len(samples)
		lines := bufio.NewScanner(bytes.NewReader(content))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var s sample
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				tb.Fatalf("%s: %v", name, err)
			}
			s.Name = filepath.Base(name) + "/" + s.Name
			samples = append(samples, s)
		}
		if lines.Err() != nil || len(samples) == before {
			tb.Fatalf("%s: no samples (%v)", name, lines.Err())
		}
	}
	if len(samples) == 0 {
		tb.Fatalf("no corpus for %s: run testdata/generate.py", f)
	}
	return samples
}

func TestCorpus(t *testing.T) {
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			for _, s := range corpus(t, f) {
				got, err := Object(f, s.Compressed, s.Payload, Limits{})
				switch {
				case s.ID == nil && !errors.Is(err, ErrNoObject):
					t.Errorf("%s: got %q, %v, want ErrNoObject", s.Name, got, err)
				case s.ID != nil && (err != nil || got != *s.ID):
					t.Errorf("%s: got %q, %v, want %q", s.Name, got, err, *s.ID)
				}
			}
		})
	}
}

// Each sample cut short at every place is refused: no prefix of a payload has an id of its own.
func TestCorpusTruncated(t *testing.T) {
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			for _, s := range corpus(t, f) {
				if len(s.Payload) > 400 {
					continue // the short ones have every construct; this is quadratic
				}
				for n := range s.Payload {
					got, err := Object(f, s.Compressed, s.Payload[:n], Limits{})
					if !errors.Is(err, ErrMalformed) {
						t.Fatalf("%s: the first %d of %d bytes: got %q, %v, want ErrMalformed", s.Name, n, len(s.Payload), got, err)
					}
				}
			}
		})
	}
}
