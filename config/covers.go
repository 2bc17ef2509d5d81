package config

import (
	"net/netip"
	"slices"
)

// covers reports whether m is sure to match whatever other matches. It is
// sound, not complete: it compares values, and does not work out that one
// pattern includes another or that two networks add up to a third. Matches for single
// calls and for CONNECTs are asked at different times, and do not cover each other.
func (m *Match) covers(other *Match) bool {
	return m.PerCall() == other.PerCall() &&
		m.Blob.cover(other.Blob) &&
		m.Annotation.cover(other.Annotation) &&
		coversList(m.Listener, other.Listener, slices.Contains) &&
		coversList(m.Object, other.Object, coversPattern) &&
		coversList(m.Dialect, other.Dialect, slices.Contains) &&
		coversList(m.Serializer, other.Serializer, slices.Contains) &&
		coversList(m.Source, other.Source, coversPrefix)
}

// coversList compares one key of two matches, where no values mean that any is
// good, also one that cannot be known.
func coversList[T any](wide, narrow []T, covers func([]T, T) bool) bool {
	if len(wide) == 0 || len(narrow) == 0 {
		return len(wide) == 0
	}
	for _, n := range narrow {
		if !covers(wide, n) {
			return false
		}
	}
	return true
}

func coversPattern(wide []Pattern, narrow Pattern) bool {
	for _, w := range wide {
		if w == narrow || w == "*" {
			return true
		}
	}
	return false
}

func coversPrefix(wide []netip.Prefix, narrow netip.Prefix) bool {
	for _, w := range wide {
		if w.Bits() <= narrow.Bits() && w.Contains(narrow.Addr()) {
			return true
		}
	}
	return false
}

// cover reports whether what meets other is sure to meet c.
func (c Conditions) cover(other Conditions) bool {
	for _, wide := range c {
		narrow := slices.IndexFunc(other, func(o Condition) bool { return o.Key == wide.Key })
		if narrow < 0 || !coversList(wide.Any, other[narrow].Any, coversValue) {
			return false
		}
	}
	return true
}

func coversValue(wide []Value, narrow Value) bool {
	for _, w := range wide {
		if w == narrow || !w.Number && !narrow.Number && w.Text == "*" {
			return true
		}
	}
	return false
}
