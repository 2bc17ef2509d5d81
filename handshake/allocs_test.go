//go:build !race

// Under the race detector sync.Pool drops what it is given at random, so allocations cannot be counted there.

package handshake

import "testing"

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
