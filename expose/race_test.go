package expose

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// interposed is a store in which something happens just before a key is changed, once.
type interposed struct {
	store.Store
	name   string
	before func()
}

func (i *interposed) Put(ctx context.Context, name string, value []byte, expect uint64) (uint64, error) {
	i.now(name)
	return i.Store.Put(ctx, name, value, expect)
}

func (i *interposed) Delete(ctx context.Context, name string, expect uint64) error {
	i.now(name)
	return i.Store.Delete(ctx, name, expect)
}

func (i *interposed) now(name string) {
	if before := i.before; name == i.name && before != nil {
		i.before = nil
		before()
	}
}

// TestRaces: another dispatcher comes between, at the worst of times.
func TestRaces(t *testing.T) {
	c := newClock()
	const first = 20109 // of "lab.camera"
	put := func(t *testing.T, s store.Store, name string, value any) {
		t.Helper()
		if _, err := s.Put(t.Context(), name, encode(value), store.Any); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		at     string
		before func(t *testing.T, s store.Store, other *Ports)
		do     func(t *testing.T, p *Ports) // p knows "lab.camera" where it has a port
		given  bool                         // it has one
		want   map[string]string
	}{
		{
			name: "both allocate, the other claims the same port", at: keyName("lab.camera"),
			before: func(t *testing.T, s store.Store, other *Ports) { port(t, other, "lab.camera") },
			do:     func(t *testing.T, p *Ports) { port(t, p, "lab.camera") },
			want:   map[string]string{"key/lab.camera": "20109", "port/20109": "lab.camera"},
		},
		{
			name: "both allocate, the other has another port", at: keyName("lab.camera"),
			before: func(t *testing.T, s store.Store, other *Ports) {
				put(t, s, "port/20500", claim{Key: "lab.camera", At: c.now})
				put(t, s, "key/lab.camera", holding{Port: 20500, Since: c.now, Used: c.now})
			},
			do:   func(t *testing.T, p *Ports) { port(t, p, "lab.camera") },
			want: map[string]string{"key/lab.camera": "20500", "port/20500": "lab.camera"},
		},
		{
			name: "another key takes the port", at: portName(first),
			before: func(t *testing.T, s store.Store, other *Ports) {
				put(t, s, "port/20109", claim{Key: "x", At: c.now})
				put(t, s, "key/x", holding{Port: first, Since: c.now, Used: c.now})
			},
			do:   func(t *testing.T, p *Ports) { port(t, p, "lab.camera") },
			want: map[string]string{"key/x": "20109", "port/20109": "x", "key/lab.camera": "20110", "port/20110": "lab.camera"},
		},
		{
			name: "the other allocates while the port is being given up", at: portName(first), given: true,
			before: func(t *testing.T, s store.Store, other *Ports) { port(t, other, "lab.camera") },
			do: func(t *testing.T, p *Ports) {
				if err := p.Free(t.Context(), "lab.camera"); err != nil {
					t.Error(err)
				}
			},
			want: map[string]string{"key/lab.camera": "20109", "port/20109": "lab.camera"},
		},
		{
			name: "the other says that it is used while it is being pruned", at: keyName("lab.camera"), given: true,
			before: func(t *testing.T, s store.Store, other *Ports) {
				other.config.Now = func() time.Time { return c.now.Add(DefaultKeep - 1) }
				port(t, other, "lab.camera")
				if err := other.Prune(t.Context()); err != nil {
					t.Error(err)
				}
			},
			do: func(t *testing.T, p *Ports) {
				p.config.Now = func() time.Time { return c.now.Add(DefaultKeep) }
				if err := p.Prune(t.Context()); err != nil {
					t.Error(err)
				}
			},
			want: map[string]string{"key/lab.camera": "20109", "port/20109": "lab.camera"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := store.NewMemory()
			hooked := &interposed{Store: s, name: test.at}
			p, other := ports(t, hooked, 20999, c), ports(t, s, 20999, c)
			if test.given {
				port(t, p, "lab.camera")
			}
			called := false
			hooked.before = func() {
				called = true
				test.before(t, s, other)
			}
			test.do(t, p)
			if !called {
				t.Fatal("nothing came between")
			}
			if diff := cmp.Diff(test.want, stored(t, s)); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			for _, p := range []*Ports{p, other} {
				if got := fmt.Sprint(port(t, p, "lab.camera")); got != test.want["key/lab.camera"] {
					t.Errorf("the port is %s", got)
				}
			}
		})
	}
}
