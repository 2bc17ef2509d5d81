//go:build linux

package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are less than 1 % wide, up to about
// half a minute; longer ones count as that. Adding takes no lock and allocates
// nothing, so every connection has its own and they are merged at the end.
type histogram struct {
	counts [histogramSize]uint32
	total  uint64
}

const (
	// Each power of two is divided into 1<<subBits buckets.
	subBits = 7
	// topShift is the one that brings 2^35 ns, 34 s, to subBits+1 bits.
	topShift      = 36 - (subBits + 1)
	histogramSize = (topShift + 2) << subBits
)

func bucketOf(d time.Duration) int {
	ns := uint64(max(d, 0))
	shift := bits.Len64(ns) - (subBits + 1)
	if shift <= 0 {
		return int(ns)
	}
	if shift > topShift {
		return histogramSize - 1
	}
	return shift<<subBits + int(ns>>shift)
}

// bucketMiddle is the duration that stands for those in a bucket.
func bucketMiddle(i int) time.Duration {
	shift := i>>subBits - 1
	if shift <= 0 {
		return time.Duration(i)
	}
	low := uint64(i-shift<<subBits) << shift
	return time.Duration(low + 1<<shift/2)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile returns the duration that a share q of the calls did not exceed, or 0 without calls.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for i, n := range h.counts {
		seen += uint64(n)
		if seen > rank || seen == h.total && n > 0 {
			return bucketMiddle(i)
		}
	}
	return 0
}
