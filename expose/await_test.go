package expose

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestAwait: who waits for a port is told when it is open, or why it is not.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &fakeHost{bound: map[string]bool{}, taken: map[string]error{"2": syscall.EADDRINUSE}}
		told := false
		l := NewListeners(ListenersConfig{Host: "::1", Listen: host.listen, Open: func(string, net.Listener) { told = true }})
		if err := l.Await(t.Context(), "a", 1); !errors.Is(err, ErrNotWanted) {
			t.Errorf("of a port that nobody wants: %v", err)
		}
		l.Sync(map[string]int{"a": 1, "b": 2})
		if err := l.Await(t.Context(), "a", 1); err != nil || !told {
			t.Errorf("of a port that can be opened: %v, Open was called: %t", err, told)
		}
		if err := l.Await(t.Context(), "b", 2); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("of a port that somebody else has: %v", err)
		}
		host.give("2", nil)
		time.Sleep(lastRetry)
		if err := l.Await(t.Context(), "b", 2); err != nil {
			t.Errorf("of a port that somebody else had: %v", err)
		}
		if err := l.Await(t.Context(), "a", 3); !errors.Is(err, ErrNotWanted) {
			t.Errorf("of a port that another one is wanted for: %v", err)
		}
		l.Sync(map[string]int{"a": 1})
		if err := l.Await(t.Context(), "b", 2); !errors.Is(err, ErrNotWanted) {
			t.Errorf("of a port that nobody wants any more: %v", err)
		}

		host.mu.Lock() // nothing gets on
		l.Sync(map[string]int{"c": 3})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Await(ctx, "c", 3); !errors.Is(err, context.Canceled) {
			t.Errorf("of who waits no longer: %v", err)
		}
		host.mu.Unlock()
		l.Close()
		if err := l.Await(t.Context(), "c", 4); !errors.Is(err, ErrNotWanted) {
			t.Errorf("when all is over: %v", err)
		}
	})
}
