package expose

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// clock is a time that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// ports makes Ports for 20000 to last.
func ports(t *testing.T, s store.Store, last int, c *clock) *Ports {
	t.Helper()
	p, err := New(Config{Store: s, First: 20000, Last: last, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func port(t *testing.T, p *Ports, key string) int {
	t.Helper()
	n, err := p.Port(t.Context(), key)
	if err != nil {
		t.Fatalf("the port of %q: %v", key, err)
	}
	return n
}

// stored writes what the store has, as "key/a=20001 port/20001=a".
func stored(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	all, err := s.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	short := make(map[string]string)
	for name, e := range all {
		if strings.HasPrefix(name, keyPrefix) {
			short[name] = fmt.Sprint(readHolding(e).Port)
		} else {
			short[name] = readClaim(e).Key
		}
	}
	return short
}

// TestFirstChoice: what a key gets without rivals is written down here, as it must
// never change.
func TestFirstChoice(t *testing.T) {
	for key, want := range map[string]int{"192.0.2.1:5555": 20866, "unix:/run/a.sock": 20565, "lab.camera": 20109} {
		if got := port(t, ports(t, store.NewMemory(), 20999, newClock()), key); got != want {
			t.Errorf("%q got %d, want %d", key, got, want)
		}
	}
}

// TestStable: every key has a port of its own, which is the same whoever is asked, and
// in whatever order.
func TestStable(t *testing.T) {
	s, c := store.NewMemory(), newClock()
	p := ports(t, s, 20099, c)
	has, taken := make(map[string]int), make(map[int]string)
	for i := range 100 {
		key := fmt.Sprintf("10.0.0.%d:5555", i)
		n := port(t, p, key)
		if n < 20000 || n > 20099 || taken[n] != "" {
			t.Fatalf("%q got %d, which is %q's", key, n, taken[n])
		}
		has[key], taken[n] = n, key
	}
	if _, err := p.Port(t.Context(), "one more"); !errors.Is(err, ErrRangeFull) {
		t.Errorf("in a full range: %v", err)
	}
	again, other := ports(t, s, 20099, c), ports(t, s, 20099, c)
	for key, want := range has {
		for _, p := range []*Ports{p, again, other} {
			if got := port(t, p, key); got != want {
				t.Errorf("%q has %d, and then %d", key, want, got)
			}
		}
	}
	mapping := again.Mapping()
	for i, m := range mapping {
		if m.Port != 20000+i || m.Key != taken[m.Port] || !m.Since.Equal(c.Now()) {
			t.Errorf("mapping %d is %+v", i, m)
		}
	}
	if len(mapping) != 100 {
		t.Errorf("%d mappings, want 100", len(mapping))
	}
}

// TestTogether: dispatchers that share a store and begin at the same time agree.
func TestTogether(t *testing.T) {
	s, c := store.NewMemory(), newClock()
	const dispatchers, keys = 4, 50
	got := make([]map[string]int, dispatchers)
	var wg sync.WaitGroup
	for d := range dispatchers {
		got[d] = make(map[string]int)
		p := ports(t, s, 20000+keys-1, c) // so tight that all of them probe
		wg.Go(func() {
			for i := range keys {
				key := fmt.Sprint("key ", i)
				n, err := p.Port(t.Context(), key)
				if err != nil {
					t.Errorf("dispatcher %d: %v", d, err)
				}
				got[d][key] = n
			}
		})
	}
	wg.Wait()
	taken := make(map[int]string)
	for key, n := range got[0] {
		if taken[n] != "" {
			t.Errorf("%q and %q have %d", key, taken[n], n)
		}
		taken[n] = key
	}
	for d := range got {
		if diff := cmp.Diff(got[0], got[d]); diff != "" {
			t.Errorf("dispatchers 0 and %d differ:\n%s", d, diff)
		}
	}
	if n := len(stored(t, s)); n != 2*keys {
		t.Errorf("the store has %d entries, want %d", n, 2*keys)
	}
}

// TestKeep: a port is kept for a key that is used now and then, and given up after 30
// days without.
func TestKeep(t *testing.T) {
	s, c := store.NewMemory(), newClock()
	here, there := ports(t, s, 20001, c), ports(t, s, 20001, c)
	a, b := port(t, here, "a"), port(t, here, "b")
	for range 10 {
		c.add(10 * 24 * time.Hour)
		there.Used("b") // not known there yet
		here.Used("a")
		if err := here.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := there.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		there.Used("b")
	}
	want := []Mapped{{"a", a, newClock().now}, {"b", b, newClock().now}}
	if a > b {
		want[0], want[1] = want[1], want[0]
	}
	if diff := cmp.Diff(want, there.Mapping()); diff != "" {
		t.Errorf("used (-want +got):\n%s", diff)
	}
	c.add(DefaultKeep)
	here.Used("a")
	n := port(t, there, "c") // the range is full: it looks for ports to give up
	if err := there.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := here.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{
		keyName("c"): fmt.Sprint(n), portName(n): "c",
	}, stored(t, s)); diff != "" {
		t.Errorf("a was pruned there before it was used here (-want +got):\n%s", diff)
	}
}

// TestFree: who has lost its port gets one again, which may be another's first.
func TestFree(t *testing.T) {
	s, c := store.NewMemory(), newClock()
	p, other := ports(t, s, 20000, c), ports(t, s, 20000, c)
	port(t, p, "a")
	if err := other.Free(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := other.Free(t.Context(), "nothing"); err != nil {
		t.Error(err)
	}
	port(t, other, "b")
	if err := p.Free(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if all := stored(t, s); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
	if all := p.Mapping(); len(all) != 0 {
		t.Errorf("mapped: %v", all)
	}
}

// TestAnotherRange: a port out of the range is replaced.
func TestAnotherRange(t *testing.T) {
	s, c := store.NewMemory(), newClock()
	port(t, ports(t, s, 20000, c), "a")
	p, err := New(Config{Store: s, First: 30000, Last: 30000, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	if n := port(t, p, "a"); n != 30000 {
		t.Errorf("got %d", n)
	}
	if diff := cmp.Diff(map[string]string{"key/a": "30000", "port/30000": "a"}, stored(t, s)); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func TestNewAndKeys(t *testing.T) {
	s := store.NewMemory()
	for _, c := range []Config{{}, {First: 1, Last: 2}, {Store: s, First: 0, Last: 5}, {Store: s, First: 6, Last: 5}, {Store: s, First: 1, Last: 65536}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is no error", c)
		}
	}
	p := ports(t, s, 20999, newClock())
	for _, key := range []string{"", strings.Repeat("k", MaxKey+1)} {
		if _, err := p.Port(t.Context(), key); !errors.Is(err, ErrKey) {
			t.Errorf("a key of %d bytes: %v", len(key), err)
		}
	}
	port(t, p, strings.Repeat("\xff", MaxKey))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Port(ctx, "new"); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: %v", err)
	}
}

func TestAdvice(t *testing.T) {
	for host, want := range map[string]string{
		"pyro.example.org": "PYRO_NATHOST=pyro.example.org PYRO_NATPORT=20017",
		"192.0.2.1":        "PYRO_NATHOST=192.0.2.1 PYRO_NATPORT=20017",
		"2001:db8::1":      "PYRO_NATHOST=[2001:db8::1] PYRO_NATPORT=20017",
		"[2001:db8::1]":    "PYRO_NATHOST=[2001:db8::1] PYRO_NATPORT=20017",
	} {
		if got := Advice(host, Mapped{Port: 20017}); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
