package discovery

import (
	"slices"
	"time"
)

// DefaultGrace is how long what is missing after an outage is kept.
const DefaultGrace = 5 * time.Minute

// memory decides what of an answer to believe after an outage.
//
// A Consul that is started anew, or whose servers were, may know less than it
// did: nothing at all at first, then a part, until every agent has registered
// its services again, which they do within a minute or several (the larger the
// cluster, the slower their anti-entropy), and their checks have passed, which
// begin as critical. None of these answers is wrong, and none of them means
// that a daemon has gone. An index that is lower than before is a sign of it, but
// not one to rely upon: a small catalogue soon has as high an index as before.
//
// Hence the rule. After an outage (a failed query of any kind, an index that went
// backwards) what an answer has counts at once, but what it lacks is kept until
// answers have lacked it for the grace. What was seen once since the outage is
// Consul's knowledge again, and is dropped as soon as Consul drops it. Keeping
// what is gone is cheap: health checks find out, and with no other member left
// a client could not have been served anyway. Dropping what is there fails
// every call.
type memory[T any] struct {
	key   func(T) string
	grace time.Duration

	last []T                // what is in force
	held map[string]held[T] // of it, what was not seen since the outage
}

type held[T any] struct {
	item  T
	until time.Time // when it is dropped; zero until the first answer
}

// outage says that Consul may have forgotten.
func (m *memory[T]) outage() {
	m.held = make(map[string]held[T], len(m.last))
	m.doubt()
}

// doubt says that the answer that follows may lack something. What it lacks is
// held as after an outage, and what was held already, not for longer.
func (m *memory[T]) doubt() {
	if m.held == nil {
		m.held = make(map[string]held[T], len(m.last))
	}
	for _, item := range m.last {
		if key := m.key(item); m.held[key].until.IsZero() {
			m.held[key] = held[T]{item: item}
		}
	}
}

// answer takes what Consul has now, and returns what is in force from now on.
// kept is how much of it is held for the first time, and dropped how much no
// longer is.
func (m *memory[T]) answer(now time.Time, fresh []T) (all []T, kept, dropped int) {
	for _, item := range fresh {
		delete(m.held, m.key(item))
	}
	all = slices.Clone(fresh)
	for _, item := range m.last { // in its order
		key := m.key(item)
		h, ok := m.held[key]
		switch {
		case !ok:
			continue
		case h.until.IsZero():
			kept++
			h.until = now.Add(m.grace)
			m.held[key] = h
		case !now.Before(h.until):
			dropped++
			delete(m.held, key)
			continue
		}
		all = append(all, item)
	}
	m.last = all
	return all, kept, dropped
}

// left is the time until something may be dropped, 0 if nothing is held.
func (m *memory[T]) left(now time.Time) time.Duration {
	var soonest time.Duration
	for _, h := range m.held {
		if left := max(h.until.Sub(now), 0); soonest == 0 || left < soonest {
			soonest = left
		}
	}
	return soonest
}
