package discovery

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listener notes what a source sets, what it counts, and what it logs.
type listener struct {
	mu        sync.Mutex
	sets      []string
	failures  map[Reason]int
	answers   int
	skipped   int
	conflicts int
	members   int
	log       *zap.Logger
	logged    *observer.ObservedLogs
}

func newListener() *listener {
	core, logged := observer.New(zapcore.InfoLevel)
	return &listener{failures: make(map[Reason]int), members: -1, log: zap.New(core), logged: logged}
}

func (l *listener) events() Events {
	count := func(n *int) func() {
		return func() { l.mu.Lock(); *n++; l.mu.Unlock() }
	}
	return Events{
		Answered: count(&l.answers),
		Skipped:  count(&l.skipped),
		Conflict: count(&l.conflicts),
		Updated:  func(n int) { l.mu.Lock(); l.members = n; l.mu.Unlock() },
		Failed:   func(r Reason) { l.mu.Lock(); l.failures[r]++; l.mu.Unlock() },
	}
}

func (l *listener) set(members []backend.Member) { l.add(describe(members)) }

func (l *listener) add(set string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sets = append(l.sets, set)
}

// describe writes members as "addr addr*weight addr(dialect)"; 192.0.2.1 is left
// out.
func describe(members []backend.Member) string {
	var all []string
	for _, m := range members {
		text := strings.TrimPrefix(m.Address.String(), "192.0.2.1")
		if m.Weight != 1 {
			text += "*" + strconv.Itoa(m.Weight)
		}
		if m.Dialect != 0 {
			text += "(" + m.Dialect.String() + ")"
		}
		if m.Object != "" {
			text = m.Object + "@" + text
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// take returns what was set since the last time.
func (l *listener) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	sets := l.sets
	l.sets = nil
	return sets
}

func (l *listener) failed() map[Reason]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	failures := make(map[Reason]int)
	for r, n := range l.failures {
		failures[r] = n
	}
	return failures
}

// messages returns how often each message was logged.
func (l *listener) messages() map[string]int {
	n := make(map[string]int)
	for _, e := range l.logged.All() {
		n[e.Message]++
	}
	return n
}

// run runs a source until the test ends.
func run(t *testing.T, source backend.Source, set func([]backend.Member)) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		source.Run(ctx, set)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}
