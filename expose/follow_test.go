package expose

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// TestFollow: who follows knows what the others do, and prunes.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		p, err := New(Config{Store: s, First: 20000, Last: 20999, Keep: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.Follow(ctx)
		}()
		defer func() {
			cancel()
			<-ended
		}()
		other, err := New(Config{Store: s, First: 20000, Last: 20999})
		if err != nil {
			t.Fatal(err)
		}
		knows := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if all := p.Mapping(); len(all) != want {
				t.Errorf("%s: %+v, want %d", when, all, want)
			}
		}
		knows("at first", 0)
		port(t, other, "a")
		port(t, other, "b")
		knows("others'", 2)
		if err := other.Free(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		knows("freed", 1)
		time.Sleep(23*time.Hour + time.Minute)
		knows("kept", 1)
		p.Used("b")
		time.Sleep(23 * time.Hour)
		knows("used", 1)
		time.Sleep(2 * time.Hour)
		knows("unused", 0)
	})
}

// TestLateLook: a look at the store from before a port was freed does not bring it back.
func TestLateLook(t *testing.T) {
	s := store.NewMemory()
	p := ports(t, s, 20999, newClock())
	port(t, p, "a")
	before, err := s.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Free(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	p.take(before)
	port(t, p, "a")
	if all := stored(t, s); len(all) != 2 {
		t.Errorf("a port was given that is not stored: %v", all)
	}
}
