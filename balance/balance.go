// Package balance chooses one of several endpoints: the algorithms alone. It
// knows endpoints by their index only, has no clock, no locks and no goroutines,
// and allocates nothing while choosing.
//
// It does not know which endpoints are well or full: its callers say so at each
// choice. It must not be used by two goroutines at once.
package balance

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// Picker chooses one of n endpoints, by index.
type Picker interface {
	// Pick returns the index chosen among those for which usable is true, -1
	// where none is. Only NewHash's picker looks at key. usable must not change
	// its mind about an index during one Pick.
	Pick(key uint64, usable func(i int) bool) int
}

// Key hashes what equal calls have in common to a key for Pick. It is the same
// in every process and on every machine.
func Key(b []byte) uint64 { return xxhash.Sum64(b) }

// KeyString is Key of the string's bytes.
func KeyString(s string) uint64 { return xxhash.Sum64String(s) }

// weight is how w counts: 0 and less as 1, and never so much that sums overflow.
func weight(w int) int { return min(max(w, 1), math.MaxInt32) }

// minRamp is the least that a ramp may be: one of 0 would keep an endpoint out,
// which is for usable to say.
const minRamp = 0.001

// factor is ramp(i) within its bounds, 1 where there is no ramp.
func factor(ramp func(i int) float64, i int) float64 {
	if ramp == nil {
		return 1
	}
	r := ramp(i)
	if r >= minRamp && r <= 1 {
		return r
	}
	if r > 1 {
		return 1
	}
	return minRamp // NaN, too
}
