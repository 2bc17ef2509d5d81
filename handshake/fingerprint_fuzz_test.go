package handshake

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// FuzzFingerprint feeds arbitrary data to every reader. What they read of it has to have the same print each time, and in zlib's
// format.
func FuzzFingerprint(f *testing.F) {
	for i, format := range formats {
		for _, s := range answers(f, format) {
			if !s.Compressed {
				f.Add(uint8(i), s.Payload)
			}
		}
		for _, s := range corpus(f, format) {
			if !s.Compressed && len(s.Payload) < 500 {
				f.Add(uint8(i), s.Payload)
			}
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, data []byte) {
		format := formats[int(i)%len(formats)]
		got, err := Fingerprint(format, false, data, Limits{Inflated: len(data) + 1})
		if err != nil && (got != (Print{}) || errors.Is(err, ErrMalformed) == errors.Is(err, ErrLimit)) {
			t.Fatalf("%s: got %x, %v", format, got, err)
		}
		again, againErr := Fingerprint(format, true, deflate(string(data)), Limits{Inflated: len(data) + 1})
		if got != again || (err == nil) != (againErr == nil) {
			t.Fatalf("%s: got %x, %v, and compressed %x, %v", format, got, err, again, againErr)
		}
	})
}

// FuzzFingerprintShuffled makes CONNECTOK payloads of arbitrary names. In whatever order and format they come, the print is
// the same; with one name more, or another in its place, it is not.
func FuzzFingerprintShuffled(f *testing.F) {
	f.Add("grab move stop", "stop", "serial", "x", uint64(1))
	f.Add("", "", "", "", uint64(2))
	f.Add("a a aa", "aa a", "'\\\" \n \u00e9 \U0001f600", "a", uint64(3))
	f.Fuzz(func(t *testing.T, methods, oneway, attrs, another string, seed uint64) {
		for _, s := range []string{methods, oneway, attrs, another} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || len(s) > 1<<12 {
				return // serpent has no zero bytes
			}
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		sets := [][]any{names(methods), names(oneway), names(attrs)}
		want := connectOKPrint(t, wire.JSON, sets)
		for _, format := range formats {
			for _, set := range sets {
				rng.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
			}
			if got := connectOKPrint(t, format, sets); got != want {
				t.Fatalf("%s: got %x, want %x", format, got, want)
			}
			for i, set := range sets {
				sets[i] = append(set[:len(set):len(set)], another)
				if got := connectOKPrint(t, format, sets); got == want {
					t.Fatalf("%s: got the same print with another name", format)
				}
				if sets[i] = set; len(set) == 0 {
					continue
				}
				if last := len(set) - 1; set[last] != another {
					sets[i] = append(set[:last:last], another)
					if got := connectOKPrint(t, format, sets); got == want {
						t.Fatalf("%s: got the same print with another name in place of one", format)
					}
					sets[i] = set
				}
			}
		}
	})
}

func names(s string) []any {
	var all []any
	for _, name := range strings.Split(s, " ") {
		all = append(all, name)
	}
	return all
}

func connectOKPrint(t *testing.T, f wire.Serializer, sets [][]any) Print {
	payload := pyrotest.Encode(f, pyrotest.Dict{
		{Key: "handshake", Value: "hello"},
		{Key: "meta", Value: pyrotest.Dict{{Key: "methods", Value: sets[0]}, {Key: "oneway", Value: sets[1]}, {Key: "attrs", Value: sets[2]}}},
	})
	p, err := Fingerprint(f, false, payload, Limits{})
	if err != nil {
		t.Fatalf("%s %q: %v", f, payload, err)
	}
	return p
}
