package pyrotest

import (
	"maps"
	"sync"
	"testing"
	"time"
)

// Ledger counts how often each call ran, by CallID. Several daemons can share
// one. The zero value is empty and ready.
type Ledger struct {
	mu    sync.Mutex
	times map[string]int
}

// Add counts one run of the call; an empty id is not counted.
func (l *Ledger) Add(id string) {
	if id == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times == nil {
		l.times = make(map[string]int)
	}
	l.times[id]++
}

// Times is how often the call ran.
func (l *Ledger) Times(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times[id]
}

// All is a copy of all counts.
func (l *Ledger) All() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.times)
}

// patience bounds WaitFor; only failing tests take so long.
const patience = 20 * time.Second

// WaitFor polls until the condition holds, and fails the test after 20 s.
// Where an event can be awaited instead, or inside a synctest bubble
// synctest.Wait, do that.
func WaitFor(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// WaitZero is WaitFor the value, such as a gauge's, to become 0.
func WaitZero(tb testing.TB, what string, value func() float64) {
	tb.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		v := value()
		if v == 0 {
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("%s is %v after %v, not 0", what, v, patience)
		}
	}
}
