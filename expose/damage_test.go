package expose

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// TestDamage: whatever the store has, nobody gets a port that is another's, and what
// was interrupted is finished.
func TestDamage(t *testing.T) {
	c := newClock()
	claimed := func(key string) string { return string(encode(claim{Key: key, At: c.now})) }
	held := func(port int) string { return string(encode(holding{Port: port, Since: c.now, Used: c.now})) }
	tests := []struct {
		name  string
		store map[string]string
		want  map[string]string
	}{
		{"nonsense", map[string]string{"key/a": "{", "port/20000": "[]", "port/x": "?", "port/020001": "?", "else": "?"},
			map[string]string{"key/a": "20001", "port/20001": "a", "port/20000": "", "port/x": "", "port/020001": "", "else": ""}},
		{"claim without holding", map[string]string{"port/20001": claimed("a")},
			map[string]string{"key/a": "20001", "port/20001": "a"}},
		{"holding without claim", map[string]string{"key/a": held(20001)},
			map[string]string{"key/a": "20001", "port/20001": "a"}},
		{"holding of another's port", map[string]string{"key/a": held(20001), "key/b": held(20001), "port/20001": claimed("b")},
			map[string]string{"key/a": "20000", "port/20000": "a", "key/b": "20001", "port/20001": "b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := store.NewMemory()
			for name, value := range test.store {
				if _, err := s.Put(t.Context(), name, []byte(value), 0); err != nil {
					t.Fatal(err)
				}
			}
			p := ports(t, s, 20001, c)
			n := port(t, p, "a")
			if diff := cmp.Diff(test.want, stored(t, s)); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			if again := port(t, p, "a"); again != n {
				t.Errorf("%d, and then %d", n, again)
			}
		})
	}
}

// TestInterrupted: a claim without a holding goes after an hour, not before.
func TestInterrupted(t *testing.T) {
	s, c := store.NewMemory(), newClock()
	p := ports(t, s, 20999, c)
	if _, err := s.Put(t.Context(), "port/20000", encode(claim{Key: "a", At: c.now}), 0); err != nil {
		t.Fatal(err)
	}
	for _, left := range []int{1, 0} {
		c.add(interrupted / 2)
		if err := p.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all := stored(t, s); len(all) != left {
			t.Errorf("the store has %v, want %d", all, left)
		}
	}
}

// breaking is a store that fails from the nth change on; a change whose answer is lost
// has happened.
type breaking struct {
	store.Store
	after int
	lost  bool
}

func (b *breaking) Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error) {
	if b.after--; b.after >= 0 {
		return b.Store.Put(ctx, key, value, expect)
	}
	if b.lost {
		if _, err := b.Store.Put(ctx, key, value, expect); err != nil {
			return 0, err
		}
	}
	return 0, store.ErrUnavailable
}

// TestUnavailable: a port that may not be stored is not given; when the store is back
// the key has one port.
func TestUnavailable(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for after := range 2 {
			s := store.NewMemory()
			p := ports(t, &breaking{s, after, lost}, 20999, newClock())
			if n, err := p.Port(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("after %d: port %d, %v", after, n, err)
			}
			n := port(t, ports(t, s, 20999, newClock()), "a")
			want := map[string]string{"key/a": fmt.Sprint(n), portName(n): "a"}
			if diff := cmp.Diff(want, stored(t, s)); diff != "" {
				t.Errorf("after %d, lost %v: stored (-want +got):\n%s", after, lost, diff)
			}
		}
	}
}
