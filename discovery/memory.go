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

	last  []T       // what is in force
	held  []T       // of it, what was not seen since the outage
	until time.Time // when that is dropped; zero until the first answer
}

// outage says that Consul may have forgotten.
func (m *memory[T]) outage() {
	m.held, m.until = slices.Clone(m.last), time.Time{}
}

// doubt says that the answer that follows may lack something. It begins an
// outage, but does not prolong one.
func (m *memory[T]) doubt() {
	if len(m.held) == 0 {
		m.outage()
	}
}

// answer takes what Consul has now, and returns what is in force from now on.
// kept is how much of it is held from before, told once for an outage, and
// dropped how much no longer is.
func (m *memory[T]) answer(now time.Time, fresh []T) (all []T, kept, dropped int) {
	seen := make(map[string]bool, len(fresh))
	for _, item := range fresh {
		seen[m.key(item)] = true
	}
	m.held = slices.DeleteFunc(m.held, func(item T) bool { return seen[m.key(item)] })
	switch {
	case len(m.held) == 0:
	case m.until.IsZero():
		m.until, kept = now.Add(m.grace), len(m.held)
	case !now.Before(m.until):
		dropped, m.held = len(m.held), nil
	}
	m.last = append(slices.Clip(fresh), m.held...)
	return m.last, kept, dropped
}

// left is the time until something may be dropped, 0 if nothing is held.
func (m *memory[T]) left(now time.Time) time.Duration {
	if len(m.held) == 0 || m.until.IsZero() {
		return 0
	}
	return max(m.until.Sub(now), 0)
}
