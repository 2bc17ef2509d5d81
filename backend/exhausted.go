package backend

import "time"

// Exhausted reports whether a search for a would wait for itself: no endpoint that
// suits a has room, and what fills each of them is held by calls of a's own chain. held
// tells how many of those are at the endpoint with an address; it is called under the
// cluster's lock. The result is the address of one of the endpoints.
func (c *Cluster) Exhausted(a *Attempt, held func(address string) int) (at string, ok bool) {
	c.lock()
	defer c.unlock()
	if c.shut() {
		return "", false
	}
	now := time.Now()
	s := c.ask(a, now)
	s.unwell = true
	for _, e := range c.members {
		if a.home != nil && e != a.home || !s.suits(e) {
			continue
		}
		most := c.most(e)
		address := e.Address.String()
		if most == unlimited || c.room(e, a, now) != nowhere || held(address) < c.slots(most, a.Nested) {
			return "", false
		}
		at, ok = address, true
	}
	return at, ok
}
