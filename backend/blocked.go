package backend

import "time"

// Blocked reports whether each endpoint that suits a is blocked, as judged by
// blocked: for an endpoint, whether it has room for a now, and how many calls may be
// at work there. It is called under the cluster's lock. Where no endpoint suits, none
// is blocked.
func (c *Cluster) Blocked(a *Attempt, blocked func(e *Endpoint, room bool, slots int) bool) bool {
	c.lock()
	defer c.unlock()
	if c.shut() {
		return false
	}
	now := time.Now()
	s := c.ask(a, now)
	// As in a search, those that are not well count only where there are no others.
	for s.unwell = c.panicking; ; s.unwell = true {
		some := false
		for _, e := range c.members {
			if a.home != nil && e != a.home || !s.suits(e) {
				continue
			}
			some = true
			if !blocked(e, c.room(e, a, now) != nowhere, c.slots(c.most(e), a.Nested)) {
				return false
			}
		}
		if some || s.unwell {
			return some
		}
	}
}
