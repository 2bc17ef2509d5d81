//go:build !race

// Under the race detector sync.Pool drops what it is given at random, so allocations cannot be counted there.

package handshake

import (
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// The id is what there is to allocate.
func TestAllocations(t *testing.T) {
	for _, c := range connects {
		payload := []byte(c.payload)
		got := testing.AllocsPerRun(100, func() {
			if _, err := Object(c.format, false, payload, Limits{}); err != nil {
				t.Fatal(c.name, err)
			}
		})
		if got > 1 {
			t.Errorf("%s: %v allocations, want 1", c.name, got)
		}
	}
}

// A print takes nothing but the table of references that marshal data may need.
func TestFingerprintAllocations(t *testing.T) {
	for _, f := range formats {
		want := 0.0
		if f == wire.Marshal {
			want = 1
		}
		for _, a := range answers(t, f) {
			if a.Compressed {
				continue
			}
			got := testing.AllocsPerRun(20, func() {
				if _, err := Fingerprint(f, false, a.Payload, Limits{}); err != nil {
					t.Fatal(a.Name, err)
				}
			})
			if got > want {
				t.Errorf("%s: %v allocations, want %v", a.Name, got, want)
			}
		}
	}
}
