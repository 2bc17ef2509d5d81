package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
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

	routes atomic.Pointer[map[string]*router.Route] // by object id

	mu       sync.Mutex
	known    []names.Registration          // what the directory has
	foreign  map[string]names.Registration // what an upstream name server told of
	places   map[string]place              // by name
	clusters map[string]*daemons           // by key
	ctx      context.Context               // of their Runs; nil before run
	running  sync.WaitGroup
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
		foreign: make(map[string]names.Registration), places: make(map[string]place), clusters: make(map[string]*daemons),
	}
	b.routes.Store(&map[string]*router.Route{})
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
	return (*b.routes.Load())[q.Object]
}

// changed takes notice of all registrations.
func (b *book) changed(all []names.Registration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known = all
	b.settle()
}

// count is how many names clients have registered, or asked an upstream name server for.
func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.foreign)
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

// settle makes clusters and routes of what is registered now. The lock is held: nothing
// here connects to anybody, or waits.
func (b *book) settle() {
	byObject := make(map[string][]names.Registration)
	note := func(r *names.Registration) {
		if b.callable(r) {
			byObject[r.URI.Object] = append(byObject[r.URI.Object], *r)
		}
	}
	for i := range b.known {
		note(&b.known[i])
	}
	for _, r := range b.foreign {
		note(&r)
	}
	before := b.places
	b.places = make(map[string]place)
	wanted := make(map[string][]backend.Member) // clusters
	routes := make(map[string]string)           // by object id, the key of the cluster
	ports := make(map[string]string)            // by their keys, likewise
	for object, all := range byObject {
		meanings := names.Meanings(object, all)
		taken := b.takenBy(object)
		shared := taken == "" && len(meanings) == 1
		for i := range meanings {
			m := &meanings[i]
			key := "names/" + m.Key
			if !shared && b.ports == nil {
				err := apart(object, taken, meanings)
				for _, name := range m.Names {
					b.places[name] = place{err: err}
				}
				continue
			}
			wanted[key] = membersAt(m.At)
			for _, name := range m.Names {
				p := place{shared: shared, port: m.PortKey(name)}
				// Who has been given a port keeps it as long as the name is there.
				p.own = b.ports != nil && (!shared || before[name].own && before[name].port == p.port)
				if b.places[name] = p; p.own {
					ports[p.port] = key
				}
			}
			if shared {
				routes[object] = key
			}
		}
	}
	b.keep(wanted)
	table := make(map[string]*router.Route, len(routes))
	for object, key := range routes {
		if d := b.clusters[key]; d != nil {
			table[object] = d.route
		}
	}
	b.routes.Store(&table)
	if b.ports != nil {
		byPort := make(map[string]*router.Route, len(ports))
		for port, key := range ports {
			if d := b.clusters[key]; d != nil {
				byPort[port] = d.route
			}
		}
		b.ports.want(byPort)
	}
}

// reconsider settles everything anew: other routes than before come before those of
// names.
func (b *book) reconsider() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle()
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
	ticker := time.NewTicker(lookAfter)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-ticker.C:
			b.review(ctx)
			b.forget(now)
		}
	}
	b.mu.Lock()
	b.ctx = nil // what is registered from now on runs nothing
	b.mu.Unlock()
	b.running.Wait()
	ports.Wait()
}

// review asks the upstream name server what has become of the names that it told of.
func (b *book) review(ctx context.Context) {
	b.mu.Lock()
	some := len(b.foreign) > 0
	b.mu.Unlock()
	if b.upstream == nil || !some {
		return
	}
	all, err := b.upstream(ctx)
	if err != nil {
		return // what it said last stands; the log has the reason
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	still := make(map[string]names.Registration, len(b.foreign))
	for _, r := range all {
		if _, asked := b.foreign[r.Name]; asked {
			still[r.Name] = r
		}
	}
	b.foreign = still
	b.settle()
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
		if before, ok := b.foreign[r.Name]; !ok || before.URI != r.URI || before.Group != r.Group {
			if !ok && len(b.foreign) >= b.fleet.cfg.NameServer.MaxNames {
				return place{}, fmt.Errorf("more than %d names have been asked for", len(b.foreign))
			}
			b.foreign[r.Name] = *r
			b.settle()
		}
	}
	p, ok := b.places[r.Name]
	if !ok {
		return place{}, fmt.Errorf("%s has just been removed", r.Name)
	}
	return p, p.err
}
