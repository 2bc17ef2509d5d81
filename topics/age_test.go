package topics

import (
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

func args(v ...values.Value) []values.Value { return v }

func dead(Listener) bool { return true }

func alive(Listener) bool { return false }

// Those that are confirmed: that which is registered, and others.
var (
	first     = Listener{Object: "x", Network: "tcp", Address: "10.0.0.7:1"}
	other     = Listener{Object: "x", Network: "tcp", Address: "10.0.0.9:1"}
	neighbour = Listener{Object: "y", Network: "tcp", Address: "10.0.0.7:1"}
)

func TestListenersThatAreGoneAgeOut(t *testing.T) {
	const uri = "PYRO:x@10.0.0.7:1"
	type dispatchers struct {
		a, b *Registry // with one store; Age is called on a
		pass func(time.Duration)
		now  func() time.Time
		s    store.Store
	}
	tell := func(t *testing.T, d dispatchers) {
		d.a.follow(t.Context(), all(t, d.s))
		d.b.follow(t.Context(), all(t, d.s))
	}
	for _, c := range []struct {
		name   string
		maxAge time.Duration
		run    func(t *testing.T, d dispatchers)
		stays  bool
	}{
		{"for too long", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(time.Hour)
			d.a.Age(t.Context(), dead)
		}, false},
		{"for too long, nobody is asked", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(time.Hour)
			d.a.Age(t.Context(), nil)
		}, false},
		{"not long enough", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(time.Hour - 1)
			d.a.Age(t.Context(), dead)
		}, true},
		{"never", 0, func(t *testing.T, d dispatchers) {
			d.pass(1000 * time.Hour)
			d.a.Age(t.Context(), dead)
		}, true},
		{"but alive", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(1000 * time.Hour)
			d.a.Age(t.Context(), alive)
		}, true},
		{"after it was confirmed", time.Hour, func(t *testing.T, d dispatchers) {
			d.a.Confirm(first, d.now().Add(time.Minute))
			d.a.Confirm(first, d.now())
			d.a.Confirm(other, d.now())
			d.pass(time.Hour)
			d.a.Age(t.Context(), dead)
		}, true},
		{"after another one was confirmed", time.Hour, func(t *testing.T, d dispatchers) {
			d.a.Confirm(other, d.now().Add(time.Minute))
			d.pass(time.Hour)
			d.a.Age(t.Context(), dead)
		}, false},
		{"after another object was confirmed at its daemon", time.Hour, func(t *testing.T, d dispatchers) {
			d.a.Confirm(neighbour, d.now().Add(time.Minute))
			d.pass(time.Hour)
			d.a.Age(t.Context(), dead)
		}, false},
		{"here, but confirmed elsewhere", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(30 * time.Minute)
			d.b.Confirm(first, d.now())
			d.b.Age(t.Context(), dead)
			tell(t, d)
			d.pass(30 * time.Minute)
			d.a.Age(t.Context(), dead)
		}, true},
		{"here, but confirmed elsewhere a moment ago", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(time.Hour)
			d.b.Confirm(first, d.now())
			d.b.Age(t.Context(), dead) // of which a has not heard
			d.a.Age(t.Context(), dead)
		}, true},
		{"but registers again", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(time.Hour)
			register(t, d.a, "t", uri)
			d.a.Age(t.Context(), dead)
		}, true},
		{"but registers again elsewhere", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(time.Hour)
			d.a.Age(t.Context(), func(Listener) bool { // while it is looked at
				register(t, d.b, "t", uri)
				return true
			})
		}, true},
		{"when nobody could look", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(10 * time.Hour)
			late := New(Config{Store: d.s, MaxAge: time.Hour, Now: d.now})
			late.follow(t.Context(), all(t, d.s))
			d.pass(time.Hour - 1)
			late.Age(t.Context(), dead)
		}, true},
		{"by a clock that is ahead", time.Hour, func(t *testing.T, d dispatchers) {
			d.pass(-10 * time.Hour)
			d.a.Age(t.Context(), dead)
			d.pass(11 * time.Hour)
			d.a.Age(t.Context(), dead)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := time.Unix(1_700_000_000, 0)
			d := dispatchers{s: store.NewMemory(), pass: func(p time.Duration) { at = at.Add(p) }, now: func() time.Time { return at }}
			config := Config{Store: d.s, MaxAge: c.maxAge, Now: d.now}
			d.a, d.b = New(config), New(config)
			register(t, d.a, "t", uri)
			before := d.a.All()[0]
			tell(t, d)
			c.run(t, d)
			tell(t, d)
			left := d.b.All()
			if (len(left) == 1) != c.stays || (len(d.a.All()) == 1) != c.stays {
				t.Fatalf("left are %s and %s", describe(d.a.All()), describe(left))
			}
			if c.stays && left[0] != before {
				t.Errorf("%+v became %+v", before, left[0])
			}
		})
	}
}

func TestConfirmingWritesSeldom(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	s := store.NewMemory()
	r := New(Config{Store: s, MaxAge: time.Hour, Now: func() time.Time { return at }})
	register(t, r, "t", "PYRO:x@10.0.0.7:1")
	key, generation := r.All()[0].key(), r.Generation()
	before := all(t, s)[key].Version
	for range 600 {
		at = at.Add(time.Minute)
		r.Confirm(first, at)
		r.Age(t.Context(), dead)
	}
	if n := all(t, s)[key].Version - before; n != 40 {
		t.Errorf("%d writings in 10 hours", n)
	}
	if r.Generation() != generation {
		t.Error("listeners are said to have changed")
	}
	if allocs := testing.AllocsPerRun(100, func() { r.Confirm(first, at) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
