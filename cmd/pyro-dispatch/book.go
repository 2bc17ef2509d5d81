package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// book makes what is registered at the name server callable through us, by a cluster
// for each daemon, and a route for each object id. An id that is live at two addresses
// means different things under different names: each such name gets a port of its own.
type book struct {
	fleet *fleet
	log   *zap.Logger
	at    func(from control.Caller) (host string, port int) // our address for calls
	own   func(host string, port int) bool                  // is that one of ours?
	ports *namePorts                                        // nil: names get none
	// upstream lists the names of the name server behind us; nil: there is none.
	upstream func(context.Context) ([]names.Registration, error)

	routes sync.Map // by object id, a *router.Route

	mu       sync.Mutex
	known    []names.Registration // what the directory has, by name
	foreign  map[string]*foreign  // what an upstream name server told of
	objects  map[string]*standing // what is callable, by object id
	places   map[string]place     // by name
	clusters map[string]*daemons  // by key
	exposed  map[string]string    // the clusters' keys, by those of the ports that lead to them
	ctx      context.Context      // of their Runs; nil before run
	running  sync.WaitGroup

	// Of foreign:
	asked    int       // how many are
	told     uint64    // how often lookups told of one
	reviewed bool      // all have been asked for once
	empty    time.Time // since when there are none any more; zero: there are
	without  int       // for how many there was no room
}

// place is how a name is reached.
type place struct {
	shared bool // at the common port, by its object id
	err    error
	port   string // the key of the port of its own
	own    bool   // it has that port, or had to have it once
}

func newBook(f *fleet) *book {
	b := &book{
		fleet: f, log: f.log,
		foreign: make(map[string]*foreign), objects: make(map[string]*standing),
		places: make(map[string]place), clusters: make(map[string]*daemons), exposed: make(map[string]string),
	}
	named := &router.Route{Name: "names", Pick: b.pick}
	if l := f.cfg.NamesListener(); l != nil {
		named.Listeners = []string{l.Name}
	}
	f.parts.Lock()
	f.parts.named = named
	f.parts.Unlock()
	f.publish()
	return b
}

// pick is the route of clients that ask for a registered object.
func (b *book) pick(q *router.Request) *router.Route {
	if !q.ObjectKnown {
		return nil
	}
	if r, ok := b.routes.Load(q.Object); ok {
		return r.(*router.Route)
	}
	return nil
}

// changed takes notice of all registrations, which are sorted by name.
func (b *book) changed(all []names.Registration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	dirty := make(map[string]bool)
	before := b.known
	for i := range all {
		r := &all[i]
		for len(before) > 0 && before[0].Name < r.Name {
			b.strike(&before[0], dirty)
			before = before[1:]
		}
		if len(before) > 0 && before[0].Name == r.Name {
			if meansTheSame(&before[0], r) {
				before = before[1:]
				continue
			}
			b.strike(&before[0], dirty)
			before = before[1:]
		}
		b.enter(r, dirty)
	}
	for i := range before {
		b.strike(&before[i], dirty)
	}
	b.known = all
	b.settle(dirty)
}

// count is how many names clients have registered, or asked an upstream name server for.
func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.asked
	for i := range b.known {
		if b.known[i].Origin == names.Registered {
			n++
		}
	}
	return n
}

// callable reports whether r is of an object that somebody else's daemon has.
func (b *book) callable(r *names.Registration) bool {
	if r.Origin != names.Registered && r.Origin != names.Foreign {
		return false
	}
	at, ok := names.AddressOf(r.URI)
	return ok && (at.Network == "unix" || !b.own(r.URI.Host, r.URI.Port))
}

// reconsider settles everything anew: other routes than before come before those of
// names.
func (b *book) reconsider() {
	b.mu.Lock()
	defer b.mu.Unlock()
	dirty := make(map[string]bool)
	for object := range b.objects {
		dirty[object] = true
	}
	b.settle(dirty)
}

// takenBy is the name of the route before those of names that clients get who ask for
// object where names are reached, or some of them; "" where there is none.
func (b *book) takenBy(object string) string {
	through := b.fleet.cfg.NamesListener()
	for _, r := range b.fleet.beforeNames() {
		if r.Call == nil && (len(r.Listeners) == 0 || through != nil && slices.Contains(r.Listeners, through.Name)) &&
			(len(r.Objects) == 0 || slices.ContainsFunc(r.Objects, func(g router.Glob) bool { return g.Match(object) })) {
			return r.Name
		}
	}
	return ""
}

// run serves the clusters until ctx ends.
func (b *book) run(ctx context.Context) {
	b.mu.Lock()
	b.ctx = ctx
	for _, d := range b.clusters {
		b.serve(d)
	}
	b.mu.Unlock()
	var ports sync.WaitGroup
	if b.ports != nil {
		ports.Go(func() { b.ports.run(ctx) })
	}
	var upstream sync.WaitGroup
	if b.upstream != nil {
		upstream.Go(func() { b.keepUp(ctx) })
	}
	ticker := time.NewTicker(lookAfter)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-ticker.C:
			b.forget(now)
		}
	}
	upstream.Wait()
	b.mu.Lock()
	b.ctx = nil // what is registered from now on runs nothing
	b.mu.Unlock()
	b.running.Wait()
	ports.Wait()
}

// Expose is names.Exposer's.
func (b *book) Expose(ctx context.Context, r names.Registration, from control.Caller) (values.URI, error) {
	if r.URI.Protocol != "PYRO" || r.Origin == names.Own {
		return r.URI, nil
	}
	host, port := b.at(from)
	ours := values.URI{Protocol: "PYRO", Object: r.URI.Object, Host: host, Port: port}
	if r.Origin == names.Discovered {
		return ours, nil
	}
	if !b.callable(&r) {
		return r.URI, nil // it is ours already, or nothing that can be called
	}
	p, err := b.placeOf(&r)
	switch {
	case err != nil:
		return values.URI{}, err
	case p.shared:
		return ours, nil
	}
	ours.Port, err = b.ports.port(ctx, p.port)
	return ours, err
}

// placeOf finds out how a registration is reached.
func (b *book) placeOf(r *names.Registration) (place, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Origin == names.Foreign {
		if err := b.asks(r); err != nil {
			return place{}, err
		}
	}
	p, ok := b.places[r.Name]
	if !ok {
		return place{}, fmt.Errorf("%s has just been removed", r.Name)
	}
	return p, p.err
}
