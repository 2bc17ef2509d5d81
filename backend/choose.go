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

// ask begins a search for a.
func (c *Cluster) ask(a *Attempt, now time.Time) *choice {
	s := &c.asked
	s.a, s.now, s.group = a, now, groupOf(a)
	s.unwell, s.stale = c.panicking, false
	if s.usable == nil {
		s.usable = s.use
	}
	return s
}

// shut reports whether nobody gets an endpoint for the time being.
func (c *Cluster) shut() bool { return c.paused || !c.known && len(c.members) == 0 }

// choose finds an endpoint for a. Where it finds none, later says whether
// waiting may help: endpoints that suit a have no room now.
func (c *Cluster) choose(a *Attempt, now time.Time) (e *Endpoint, later bool) {
	if c.shut() {
		return nil, true
	}
	s := c.ask(a, now)
	if a.Only != (Address{}) {
		e := c.byAddress[a.Only]
		s.unwell, s.stale = true, true
		if e == nil || !s.suits(e) {
			return nil, false
		}
		if c.room(e, a, now) == nowhere {
			return nil, true
		}
		return e, false
	}
	if e := a.home; e != nil {
		if s.homely(e) {
			if c.room(e, a, now) != nowhere {
				return e, false
			}
			return nil, true
		}
		a.home = nil // the stream is lost with it; other calls are not
	}
	if e := a.due; e != nil {
		a.due = nil
		if !e.gone && s.suits(e) && c.room(e, a, now) != nowhere {
			return e, false
		}
	}
	if e, later := s.search(); e != nil || later {
		return e, later
	}
	if s.group != (answerID{}) {
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

// homely reports whether a client whose stream lives at e can stay there.
func (s *choice) homely(e *Endpoint) bool {
	return !e.gone && !e.drained && !s.a.tried[e] && (s.unwell || e.well(s.now)) && s.akin(e)
}

// akin reports whether e may be of the version that the client knows.
func (s *choice) akin(e *Endpoint) bool {
	if s.group == (answerID{}) {
		return true
	}
	v := s.a.Handshake.versionOf(e)
	return v == nil || v.id == s.group
}

// search tries the endpoints that are well before the others, and those whose
// learnt dialect is the other one last.
func (s *choice) search() (e *Endpoint, later bool) {
	c := s.cluster
	for _, s.stale = range [...]bool{false, true} {
		for s.unwell = c.panicking; ; s.unwell = true {
			if i := c.picker(s.a.Dialect).Pick(s.a.HashKey, s.usable); i >= 0 {
				return c.members[i], false
			}
			for _, e := range c.members {
				if s.suits(e) {
					return nil, true
				}
			}
			if s.unwell {
				break
			}
		}
	}
	return nil, false
}

func (s *choice) use(i int) bool {
	e := s.cluster.members[i]
	return s.suits(e) && s.cluster.room(e, s.a, s.now) != nowhere
}

// suits reports whether e, a member, may serve the client, if it has room.
func (s *choice) suits(e *Endpoint) bool {
	if e.drained || s.a.tried[e] || !s.unwell && !e.well(s.now) || !s.akin(e) {
		return false
	}
	switch e.match(s.a.Dialect, s.now) {
	case fits:
		return true
	case lastResort:
		return s.stale
	}
	return false
}
