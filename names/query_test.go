package names

import (
	"context"
	"slices"
	"testing"
)

func TestSearchingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := query{kind: byRegex, arg: "a", maxPattern: 9}.filter(ctx, []Registration{reg("a")})
	if described(err) != "errors.NamingError: too slow: the names could not be searched in time" {
		t.Error(err)
	}
}

func TestSubsets(t *testing.T) {
	sets := [][]string{{}, {"a"}, {"b"}, {"a", "b"}, {"a", "c"}, {"a", "b", "c"}, {"d"}}
	for _, have := range sets {
		for _, want := range sets {
			all, any := true, false
			for _, w := range want {
				all = all && slices.Contains(have, w)
				any = any || slices.Contains(have, w)
			}
			if hasAll(have, want) != all || hasAny(have, want) != any {
				t.Errorf("%q of %q: all %v, any %v", want, have, hasAll(have, want), hasAny(have, want))
			}
		}
	}
}
