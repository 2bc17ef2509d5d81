package topics

import (
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

func TestAWatchThatIsLateTakesNothingBack(t *testing.T) {
	s := store.NewMemory()
	r, other := New(Config{Store: s}), New(Config{Store: s})
	const uri = "PYRO:x@10.0.0.7:1"
	have := func(want string) {
		t.Helper()
		if got := describe(r.All()); got != want {
			t.Errorf("there is %q, want %q", got, want)
		}
	}
	before := all(t, s)
	register(t, r, "t", uri)
	registered := all(t, s)
	r.follow(t.Context(), before)
	have(`"t"=x@10.0.0.7:1`)
	r.follow(t.Context(), registered)
	have(`"t"=x@10.0.0.7:1`)

	unregister(t, r, "t", uri)
	r.follow(t.Context(), registered)
	have("")
	r.follow(t.Context(), all(t, s))
	have("")

	// What others did since counts, even if the watch does not tell of it yet.
	register(t, r, "t", uri)
	unregister(t, other, "t", uri)
	r.follow(t.Context(), before)
	have("")
	register(t, r, "t", uri)
	unregister(t, r, "t", uri)
	register(t, other, "t", uri)
	r.follow(t.Context(), registered)
	have(`"t"=x@10.0.0.7:1`)
	r.follow(t.Context(), all(t, s))
	if len(r.pending) != 0 {
		t.Errorf("%v wait to be told", r.pending)
	}
}

func TestACallWhileAWatchIsHeard(t *testing.T) {
	s := &breaking{Store: store.NewMemory()}
	r := New(Config{Store: s})
	before := all(t, s)
	register(t, r, "t", "PYRO:x@10.0.0.7:1")
	s.got = func() { unregister(t, r, "t", "PYRO:x@10.0.0.7:1") }
	registered := all(t, s)
	r.follow(t.Context(), before) // which looks for the registration
	if got := describe(r.All()); got != "" {
		t.Errorf("what was unregistered meanwhile is there again: %s", got)
	}
	s.got = nil
	r.follow(t.Context(), all(t, s))
	for range 2 {
		register(t, r, "t", "PYRO:x@10.0.0.7:1")
	}
	s.got = func() { unregister(t, r, "t", "PYRO:x@10.0.0.7:1") }
	r.follow(t.Context(), registered) // which looks for the second
	if got := describe(r.All()); got != "" {
		t.Errorf("what was unregistered meanwhile is there again: %s", got)
	}
	s.got = nil
	r.follow(t.Context(), all(t, s))
	register(t, r, "t", "PYRO:x@10.0.0.7:1")
	s.got = func() { unregister(t, r, "t", "PYRO:x@10.0.0.7:1") }
	r.settle(t.Context())
	if got := describe(r.All()); got != "" {
		t.Errorf("what was unregistered meanwhile is there again: %s", got)
	}
}

// The watch may tell of what others did next before a call of ours has noted its own.
func TestAWatchThatIsEarly(t *testing.T) {
	s := store.NewMemory()
	r, other := New(Config{Store: s}), New(Config{Store: s})
	register(t, r, "t", "PYRO:x@10.0.0.7:1")
	key := r.All()[0].key()
	mine := r.known[key]
	other.follow(t.Context(), all(t, s))
	register(t, other, "t", "PYRO:x@10.0.0.7:1")
	r.follow(t.Context(), all(t, s))
	r.did(key, mine.version, &mine)
	if now := r.known[key].version; now != other.known[key].version || len(r.pending) != 0 {
		t.Errorf("version %d counts, %v is to be told", now, r.pending)
	}
}

// It may also tell that a listener is gone before the call that removed it has noted that.
func TestAWatchThatIsEarlyWithARemoval(t *testing.T) {
	s := store.NewMemory()
	r := New(Config{Store: s})
	register(t, r, "t", "PYRO:x@10.0.0.7:1")
	r.follow(t.Context(), all(t, s))
	key := r.All()[0].key()
	mine := r.known[key]
	if err := s.Delete(t.Context(), key, mine.version); err != nil {
		t.Fatal(err)
	}
	r.follow(t.Context(), all(t, s))
	r.did(key, mine.version, nil)
	if len(r.pending) != 0 || len(r.All()) != 0 {
		t.Errorf("%v is to be told, there is %s", r.pending, describe(r.All()))
	}
}
