package backend

import "time"

// choice is a search for an endpoint under the cluster's lock. It lives in the
// cluster, and usable is made once, so that a search allocates nothing.
type choice struct {
	cluster *Cluster
	usable  func(i int) bool
	a       *Attempt
	group   answerID
	now     time.Time
	unwell  bool // take also those that are not well
	stale   bool // and those that spoke the other dialect long ago
}

// choose finds an endpoint for a. Where it finds none, later says whether
// waiting may help: endpoints that suit a have no room now.
func (c *Cluster) choose(a *Attempt, now time.Time) (e *Endpoint, later bool) {
	if c.paused || !c.known && len(c.members) == 0 {
		return nil, true
	}
	s := &c.asked
	s.a, s.now, s.group = a, now, groupOf(a)
	defer func() { s.a = nil }()
	if s.usable == nil {
		s.usable = s.use
	}
	if e := a.home; e != nil {
		if e.gone || e.drained || a.tried[e] || !e.well(now) {
			a.home = nil // the stream is lost with it; other calls are not
		} else {
			if c.room(e, a, now) {
				return e, false
			}
			return nil, true
		}
	}
	if e, later := s.search(); e != nil || later {
		return e, later
	}
	if s.group != (answerID{}) && !c.remains(s.group, a) {
		// The version that the client knows has gone altogether. Its call has a
		// good chance with another one, and none without.
		s.group = answerID{}
		if e, later := s.search(); e != nil || later {
			a.group = answerID{}
			return e, later
		}
	}
	return nil, false
}

// search tries the endpoints that are well before the others, and those whose
// learnt dialect is the other one last.
func (s *choice) search() (e *Endpoint, later bool) {
	c := s.cluster
	for _, s.stale = range [...]bool{false, true} {
		for _, s.unwell = range [...]bool{c.panicking, true} {
			if i := c.picker(s.a.Dialect).Pick(s.a.HashKey, s.usable); i >= 0 {
				return c.members[i], false
			}
			for _, e := range c.members {
				if s.suits(e) {
					return nil, true
				}
			}
		}
	}
	return nil, false
}

func (s *choice) use(i int) bool {
	e := s.cluster.members[i]
	return s.suits(e) && s.cluster.room(e, s.a, s.now)
}

// suits reports whether e may serve the client, if it has room.
func (s *choice) suits(e *Endpoint) bool {
	if e.drained || s.a.tried[e] || !s.unwell && !e.well(s.now) {
		return false
	}
	if s.group != (answerID{}) {
		if known, ok := e.answers[s.a.Handshake]; ok && known != s.group {
			return false
		}
	}
	switch e.match(s.a.Dialect, s.now) {
	case fits:
		return true
	case lastResort:
		return s.stale
	}
	return false
}

// remains reports whether any endpoint is left that may be of the group.
func (c *Cluster) remains(group answerID, a *Attempt) bool {
	for _, e := range c.members {
		if known, ok := e.answers[a.Handshake]; (!ok || known == group) && !e.drained && !a.tried[e] {
			return true
		}
	}
	return false
}

// room reports whether e can take a call or session of a now: there is a slot,
// and a connection for it is idle, may be opened, or may take the place of
// another.
func (c *Cluster) room(e *Endpoint, a *Attempt, now time.Time) bool {
	most, full := c.most(e, now)
	if most == unlimited {
		return true
	}
	if e.busy() >= c.slots(most, a.Nested) {
		return false
	}
	if e.conns < most {
		return true
	}
	// All connections that there may be are there, and some are idle. A daemon
	// that has just been full gets no new one in the place of an old one: it may
	// not have noticed yet that the old one is gone.
	return !full && len(e.idle) > 0 || e.hasIdle(a)
}

const unlimited = -1

// most is how many connections e may have. full: because it said so itself.
func (c *Cluster) most(e *Endpoint, now time.Time) (most int, full bool) {
	most = c.cfg.MaxConnections
	if most == 0 {
		most = unlimited
	}
	if now.Before(e.full.until) && (most == unlimited || e.full.ceiling < most) {
		return e.full.ceiling, true
	}
	return most, false
}

// slots is how many of the connections may be at work. What is kept for nested
// calls is not for others, which may be waiting for just those.
func (c *Cluster) slots(most int, nested bool) int {
	if nested || most <= 1 {
		return most
	}
	return max(1, most-c.cfg.NestedReserve)
}
