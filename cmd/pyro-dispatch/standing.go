package main

import (
	"maps"
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// What a change in the book brings about. It concerns only the object ids that the names
// had and have which have changed: with thousands of names, all others stay untouched.

// standing is an object id's in the book.
type standing struct {
	names    map[string]names.Registration // those of the object that are callable
	placed   []string                      // the names that have a place because of it
	clusters map[string][]backend.Member   // that it wants, by key
	ports    map[string]string             // likewise, by the keys of ports
}

// meansTheSame reports whether two registrations of one name are the same to the book.
func meansTheSame(a, b *names.Registration) bool {
	return a.URI == b.URI && a.Group == b.Group && a.Origin == b.Origin
}

// enter notes a registration; the object that it is of is dirty then. The lock is held.
func (b *book) enter(r *names.Registration, dirty map[string]bool) {
	if !b.callable(r) {
		return
	}
	o := b.objects[r.URI.Object]
	if o == nil {
		o = &standing{names: make(map[string]names.Registration)}
		b.objects[r.URI.Object] = o
	}
	o.names[r.Name] = *r
	dirty[r.URI.Object] = true
}

// strike takes one out.
func (b *book) strike(r *names.Registration, dirty map[string]bool) {
	if o := b.objects[r.URI.Object]; o != nil {
		if _, ok := o.names[r.Name]; ok {
			delete(o.names, r.Name)
			dirty[r.URI.Object] = true
		}
	}
}

// settle makes clusters, routes and ports of what is registered for the dirty objects. The
// lock is held: nothing here connects to anybody, or waits.
func (b *book) settle(dirty map[string]bool) {
	if len(dirty) == 0 {
		return
	}
	// First all that was, then all that is: names move from one object to another.
	before, exposed := make(map[string]place), maps.Clone(b.exposed)
	left := make(map[string]bool) // clusters, by key
	for object := range dirty {
		o := b.objects[object]
		for _, name := range o.placed {
			before[name] = b.places[name]
			delete(b.places, name)
		}
		for port := range o.ports {
			delete(b.exposed, port)
		}
		for key := range o.clusters {
			left[key] = true
			if d := b.clusters[key]; d != nil {
				delete(d.users, object)
			}
		}
	}
	for object := range dirty {
		b.settleObject(object, before)
	}
	b.abandon(left)
	if b.ports != nil && !maps.Equal(exposed, b.exposed) {
		byPort := make(map[string]*router.Route, len(b.exposed))
		for port, key := range b.exposed {
			if d := b.clusters[key]; d != nil {
				byPort[port] = d.route
			}
		}
		b.ports.want(byPort)
	}
}

// settleObject does so for one of them. before are the places that the names had.
func (b *book) settleObject(object string, before map[string]place) {
	o := b.objects[object]
	o.placed, o.clusters, o.ports = nil, make(map[string][]backend.Member), make(map[string]string)
	meanings := names.Meanings(object, slices.Collect(maps.Values(o.names)))
	taken := b.takenBy(object)
	shared := taken == "" && len(meanings) == 1
	route := ""
	for i := range meanings {
		m := &meanings[i]
		key := "names/" + m.Key
		o.placed = append(o.placed, m.Names...)
		if !shared && b.ports == nil {
			err := apart(object, taken, meanings)
			for _, name := range m.Names {
				b.places[name] = place{err: err}
			}
			continue
		}
		o.clusters[key] = membersAt(m.At)
		for _, name := range m.Names {
			p := place{shared: shared, port: m.PortKey(name)}
			// Who has been given a port keeps it as long as the name is there.
			p.own = b.ports != nil && (!shared || before[name].own && before[name].port == p.port)
			if b.places[name] = p; p.own {
				o.ports[p.port] = key
			}
		}
		if shared {
			route = key
		}
	}
	for key, members := range o.clusters {
		b.use(object, key, members)
	}
	maps.Copy(b.exposed, o.ports)
	if d := b.clusters[route]; d != nil {
		b.routes.Store(object, d.route)
	} else {
		b.routes.Delete(object)
	}
	if len(o.names) == 0 {
		delete(b.objects, object)
	}
}
