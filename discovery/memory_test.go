package discovery

import (
	"strings"
	"testing"
	"time"
)

// TestDoubt: while answers are doubtful, each thing is held from when it is
// missing, for the grace.
func TestDoubt(t *testing.T) {
	m := memory[string]{key: func(s string) string { return s }, grace: time.Minute}
	start := time.Now()
	steps := []struct {
		at    time.Duration
		fresh string
		all   string
		left  time.Duration
	}{
		{0, "a b c", "a b c", 0},
		{10 * time.Second, "b c", "b c a", time.Minute},
		{20 * time.Second, "c", "c b a", 50 * time.Second},
		{30 * time.Second, "c a", "c a b", 50 * time.Second},
		{79 * time.Second, "c", "c a b", time.Second},
		{80 * time.Second, "c", "c a", 59 * time.Second},
		{139 * time.Second, "c", "c", 0},
	}
	for _, s := range steps {
		m.doubt()
		all, _, _ := m.answer(start.Add(s.at), strings.Fields(s.fresh))
		if got := strings.Join(all, " "); got != s.all {
			t.Errorf("at %v: %q in force, want %q", s.at, got, s.all)
		}
		if left := m.left(start.Add(s.at)); left != s.left {
			t.Errorf("at %v: %v left, want %v", s.at, left, s.left)
		}
	}
}
