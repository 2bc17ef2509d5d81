package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync"
)

// Bounds of a store that this process holds.
const (
	maxEntries = 100_000
	maxBytes   = 64 << 20 // of keys and values
)

// op is a change that somebody asks for, and then what came of it.
type op struct {
	key    string
	value  []byte
	delete bool
	expect uint64

	version uint64
	err     error
}

// state is the content of a store. It is never changed once it is published.
type state struct {
	entries map[string]Entry
	version uint64 // the last that was given
	bytes   int
}

// limits bounds a state.
type limits struct{ entries, bytes int }

// apply gives the state after ops, in their order, and notes in each what came of
// it. The result is s itself if nothing changed.
func (s *state) apply(ops []*op, l limits) *state {
	next := s
	for _, o := range ops {
		have := next.entries[o.key]
		if o.delete && have.Version == 0 {
			continue
		}
		if o.expect != Any && o.expect != have.Version {
			o.err = fmt.Errorf("%q: %w", o.key, ErrConflict)
			continue
		}
		if !o.delete && have.Version != 0 && bytes.Equal(have.Value, o.value) {
			o.version = have.Version
			continue
		}
		size := next.bytes
		if have.Version != 0 {
			size -= len(o.key) + len(have.Value)
		}
		if !o.delete {
			size += len(o.key) + len(o.value)
			if size > l.bytes || have.Version == 0 && len(next.entries) >= l.entries {
				o.err = fmt.Errorf("%w: %d entries of %d bytes", ErrFull, len(next.entries), next.bytes)
				continue
			}
		}
		if next == s {
			next = &state{entries: maps.Clone(s.entries), version: s.version}
		}
		next.bytes = size
		if o.delete {
			delete(next.entries, o.key)
			continue
		}
		next.version++
		o.version = next.version
		next.entries[o.key] = Entry{Value: bytes.Clone(o.value), Version: o.version}
	}
	return next
}

// shelf shows a state to those who read and watch.
type shelf struct {
	mu      sync.Mutex
	now     *state
	changed chan struct{} // closed when now is replaced
}

func newShelf(s *state) *shelf { return &shelf{now: s, changed: make(chan struct{})} }

func (s *shelf) current() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *shelf) publish(next *state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next == s.now {
		return
	}
	s.now = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// All is Store's.
func (s *shelf) All(ctx context.Context) (map[string]Entry, error) {
	return maps.Clone(s.current().entries), ctx.Err()
}

// Get is Store's.
func (s *shelf) Get(ctx context.Context, key string) (Entry, error) {
	return s.current().entries[key], ctx.Err()
}

// Watch is Store's.
func (s *shelf) Watch(ctx context.Context, changed func(map[string]Entry)) {
	for {
		s.mu.Lock()
		now, next := s.now, s.changed
		s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		changed(now.entries)
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}
