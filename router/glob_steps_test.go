package router

import (
	"strings"
	"testing"
)

// TestGlobSteps: patterns that make backtracking matchers explode. The bound is
// on the steps taken, not on time.
func TestGlobSteps(t *testing.T) {
	for _, pattern := range []string{
		strings.Repeat("*a", 30) + "b",
		strings.Repeat("*", 1000) + "b",
		strings.Repeat("*?", 100) + "b",
		strings.Repeat("*[!b]", 100) + "b",
		"*" + strings.Repeat("a", 500) + "b",
		strings.Repeat("a*", 500) + "b",
	} {
		g, err := CompileGlob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{strings.Repeat("a", 2000), strings.Repeat("ä", 1000), strings.Repeat("\xff", 1000)} {
			ok, steps := g.match(id)
			if ok {
				t.Errorf("%.20q matches %.10q", pattern, id)
			}
			if bound := (len(id) + 1) * (len(g.toks) + 1); steps > bound {
				t.Errorf("%.20q took %d steps, the bound is %d", pattern, steps, bound)
			}
		}
	}
}
