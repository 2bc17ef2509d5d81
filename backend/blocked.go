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
	now, some := time.Now(), false
	s := c.ask(a, now)
	s.unwell = true
	for _, e := range c.members {
		if a.home != nil && e != a.home || !s.suits(e) {
			continue
		}
		some = true
		if !blocked(e, c.room(e, a, now) != nowhere, c.slots(c.most(e), a.Nested)) {
			return false
		}
	}
	return some
}
