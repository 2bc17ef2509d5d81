package backend

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Calls that name their own target go to objects at endpoints: to one of several, or
// to each of them.

// Target is an object at an endpoint.
type Target struct {
	Endpoint *Endpoint
	Object   string // "": whichever the call names
	Load     int    // calls at work at the endpoint, relative to its weight
}

// Place is where an object is said to be.
type Place struct {
	Address Address
	Object  string
}

// Targets appends to dst what may be called in dialect d, in the order of the
// members: the objects that they name at each, or the one without a name. Endpoints
// that are not well are left out where there are others.
func (c *Cluster) Targets(dst []Target, d wire.Dialect) []Target {
	c.lock()
	defer c.unlock()
	return c.wellFirst(dst, func(dst []Target, use func(*Endpoint) bool) []Target {
		for _, e := range c.members {
			if !use(e) {
				continue
			}
			if len(e.objects) == 0 {
				dst = append(dst, Target{Endpoint: e, Load: e.load()})
			}
			for _, o := range e.objects {
				dst = append(dst, Target{Endpoint: e, Object: o, Load: e.load()})
			}
		}
		return dst
	}, d)
}

// NamesObjects reports whether any member names an object.
func (c *Cluster) NamesObjects() bool {
	c.lock()
	defer c.unlock()
	for _, e := range c.members {
		if len(e.objects) > 0 {
			return true
		}
	}
	return false
}

// Locate appends to dst those of places that are the cluster's, and may be called in
// dialect d, in their order. Endpoints that are not well are left out where there are
// others.
func (c *Cluster) Locate(dst []Target, places []Place, d wire.Dialect) []Target {
	c.lock()
	defer c.unlock()
	return c.wellFirst(dst, func(dst []Target, use func(*Endpoint) bool) []Target {
		for _, p := range places {
			if e := c.byAddress[p.Address]; e != nil && use(e) {
				dst = append(dst, Target{Endpoint: e, Object: p.Object, Load: e.load()})
			}
		}
		return dst
	}, d)
}

// wellFirst has list append what can be used: first of the endpoints that are well, and
// of all where that is nothing.
func (c *Cluster) wellFirst(dst []Target, list func([]Target, func(*Endpoint) bool) []Target, d wire.Dialect) []Target {
	now, before := time.Now(), len(dst)
	for unwell := c.panicking; ; unwell = true {
		dst = list(dst, func(e *Endpoint) bool {
			return !e.drained && (unwell || e.well(now)) && e.match(d, now) != never
		})
		if len(dst) > before || unwell {
			return dst
		}
	}
}

// load is how much there is to do at e for its weight.
func (e *Endpoint) load() int { return e.busy() * 1000 / e.weight }

// Down reports whether the endpoint at an address has been found down, or ejected,
// or is not a member at all.
func (c *Cluster) Down(a Address) bool {
	c.lock()
	defer c.unlock()
	e := c.byAddress[a]
	return e == nil || !e.well(time.Now())
}

// Introduce gives the Handshake of connections that we open ourselves, with a CONNECT
// of ours. Leave gives it back.
func (c *Cluster) Introduce(g wire.Greeting) *Handshake {
	message := c.cfg.Key.AppendSigned(nil, wire.AppendConnect(nil, g))
	h, err := wire.ParseHead(message)
	if err != nil {
		panic("backend: a CONNECT of ours is none: " + err.Error())
	}
	return c.Join(&h, message)
}
