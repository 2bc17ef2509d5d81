package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
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
	port   string // the key of the port of its own, where it is not shared
}

// daemons is a cluster that names lead to.
type daemons struct {
	cluster *backend.Cluster
	stop    context.CancelFunc
	members []backend.Member
	route   map[string]*router.Route // by object id; "": any, for ports of their own
	unused  time.Time                // since when no name leads there; zero: one does
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

// callable reports whether r is of an object that somebody else's daemon has.
func (b *book) callable(r *names.Registration) bool {
	return (r.Origin == names.Registered || r.Origin == names.Foreign) && r.URI.Protocol == "PYRO" &&
		(r.URI.Sockname != "" || r.URI.Host != "" && r.URI.Port > 0 && r.URI.Port < 1<<16 && !b.own(r.URI.Host, r.URI.Port))
}

// settle makes clusters and routes of what is registered now. The lock is held.
func (b *book) settle() {
	byObject := make(map[string][]*names.Registration)
	note := func(r *names.Registration) {
		if b.callable(r) {
			byObject[r.URI.Object] = append(byObject[r.URI.Object], r)
		}
	}
	for i := range b.known {
		note(&b.known[i])
	}
	for _, r := range b.foreign {
		note(&r)
	}
	places := make(map[string]place)
	wanted := make(map[string][]backend.Member) // clusters
	routes := make(map[string]string)           // by object id, the key of the cluster
	ports := make(map[string]string)            // by their keys, likewise
	for object, all := range byObject {
		meanings := meaningsOf(object, all)
		taken := b.takenBy(object)
		switch {
		case taken == "" && len(meanings) == 1:
			m := meanings[0]
			wanted[m.key] = membersAt(m.addresses)
			routes[object] = m.key
			for _, r := range all {
				places[r.Name] = place{shared: true}
			}
		case b.ports == nil:
			err := fmt.Errorf("object %s is that of route %s: without ports for names they cannot be told apart", object, taken)
			if taken == "" {
				err = fmt.Errorf("object %s is registered at %s and at %s: without ports for names, or a group, they cannot be told apart",
					object, meanings[0].addresses[0], meanings[1].addresses[0])
			}
			for _, r := range all {
				places[r.Name] = place{err: err}
			}
		default:
			for _, m := range meanings {
				wanted[m.key] = membersAt(m.addresses)
				for _, r := range m.names {
					port := "name/" + r.Name
					if m.group {
						port = "group/" + r.Group + "/" + object
					}
					places[r.Name] = place{port: port}
					ports[port] = m.key
				}
			}
		}
	}
	b.keep(wanted)
	table := make(map[string]*router.Route, len(routes))
	for object, key := range routes {
		if route := b.clusters[key].to(b, key, object); route != nil {
			table[object] = route
		}
	}
	b.routes.Store(&table)
	b.places = places
	if b.ports != nil {
		byPort := make(map[string]*router.Route, len(ports))
		for port, key := range ports {
			byPort[port] = b.clusters[key].to(b, key, "")
		}
		b.ports.want(byPort)
	}
}

// takenBy is the name of the configured route that clients get who ask for object,
// and which names cannot have for that reason; "" where there is none.
func (b *book) takenBy(object string) string {
	for _, r := range b.fleet.configured {
		if r.Call == nil && len(r.Objects) > 0 && slices.ContainsFunc(r.Objects, func(g router.Glob) bool { return g.Match(object) }) {
			return r.Name
		}
	}
	if board := b.fleet.board; board != nil && object == board.object {
		return ownCluster
	}
	return ""
}

func addressOf(r *names.Registration) backend.Address {
	if r.URI.Sockname != "" {
		return backend.Address{Network: "unix", Addr: r.URI.Sockname}
	}
	return backend.Address{Network: "tcp", Addr: net.JoinHostPort(r.URI.Host, strconv.Itoa(r.URI.Port))}
}

// meaning is what an object id stands for: one daemon's object, or those of a group.
type meaning struct {
	key       string // of its cluster
	group     bool
	addresses []backend.Address
	names     []*names.Registration
}

// meaningsOf finds out what an object id stands for under the names of all.
func meaningsOf(object string, all []*names.Registration) (found []*meaning) {
	byKey := make(map[string]*meaning)
	for _, r := range all {
		key := "names/" + addressOf(r).String()
		if r.Group != "" {
			key = "names/" + r.Group + "/" + object
		}
		m := byKey[key]
		if m == nil {
			m = &meaning{key: key, group: r.Group != ""}
			byKey[key] = m
			found = append(found, m)
		}
		m.names = append(m.names, r)
	}
	for _, m := range found {
		m.addresses = addressesOf(m.names)
	}
	slices.SortFunc(found, func(a, b *meaning) int { return strings.Compare(a.key, b.key) })
	return found
}

// addressesOf gives the addresses of all, each once and in order.
func addressesOf(all []*names.Registration) (found []backend.Address) {
	for _, r := range all {
		if a := addressOf(r); !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b backend.Address) int { return strings.Compare(a.String(), b.String()) })
	return found
}

func membersAt(addresses []backend.Address) (members []backend.Member) {
	for _, a := range addresses {
		members = append(members, backend.Member{Address: a})
	}
	return members
}

// keep makes the clusters that are wanted, and notes those that are not any more.
func (b *book) keep(wanted map[string][]backend.Member) {
	for key, members := range wanted {
		d := b.clusters[key]
		if d == nil {
			d = b.start(key)
		}
		d.unused = time.Time{}
		if !slices.Equal(d.members, members) {
			d.members = members
			d.cluster.SetMembers(0, members)
		}
	}
	for key, d := range b.clusters {
		if _, there := wanted[key]; !there && d.unused.IsZero() {
			d.unused, d.members = time.Now(), nil
			d.cluster.SetMembers(0, nil)
		}
	}
}

// start makes a cluster, and runs it where the book does.
func (b *book) start(key string) *daemons {
	cc := config.DefaultCluster()
	cc.Name = key
	d := &daemons{
		cluster: backend.NewCluster(b.fleet.clusterConfig(&cc, cc.Bounds(false), nil)),
		route:   make(map[string]*router.Route),
	}
	b.clusters[key] = d
	b.fleet.add(d.cluster)
	if b.ctx != nil {
		b.serve(d)
	}
	return d
}

func (b *book) serve(d *daemons) {
	var ctx context.Context
	ctx, d.stop = context.WithCancel(b.ctx)
	b.running.Go(func() { d.cluster.Run(ctx) })
}

// to gives the route to an object at the cluster.
func (d *daemons) to(b *book, key, object string) *router.Route {
	if r := d.route[object]; r != nil {
		return r
	}
	rc, cc := config.DefaultRoute(), config.DefaultCluster()
	rc.Name, cc.Name = "names", key
	r, err := b.fleet.newRoute(&rc, &cc, d.cluster)
	if err != nil {
		b.log.Error("no route to what is registered", zap.String("object", object), zap.Error(err))
		return nil
	}
	r.Prepare()
	d.route[object] = r
	return r
}

// run serves the clusters until ctx ends.
func (b *book) run(ctx context.Context) {
	b.mu.Lock()
	b.ctx = ctx
	for _, d := range b.clusters {
		b.serve(d)
	}
	b.mu.Unlock()
	if b.ports != nil {
		b.running.Go(func() { b.ports.run(ctx) })
	}
	ticker := time.NewTicker(lookAfter)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			b.running.Wait()
			return
		case now := <-ticker.C:
			b.forget(now)
		}
	}
}

// forget ends clusters that no name has led to for long, and that nobody uses.
func (b *book) forget(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, d := range maps.Clone(b.clusters) {
		if d.unused.IsZero() || now.Sub(d.unused) < forgetAfter || len(d.cluster.Status().Endpoints) > 0 {
			continue
		}
		d.stop()
		b.fleet.remove(d.cluster)
		delete(b.clusters, key)
		b.fleet.set.Forget(key)
	}
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

// ourAddress makes book.at of the configuration and the listener that names are reached
// through, which is open at the address.
func ourAddress(cfg *config.Config, opened net.Addr) func(control.Caller) (string, int) {
	l := cfg.NamesListener()
	tcp, _ := opened.(*net.TCPAddr)
	return func(from control.Caller) (string, int) {
		var a names.Advertise
		local := netip.AddrPort{}
		if tcp != nil {
			local = tcp.AddrPort()
		}
		if local.Addr().IsUnspecified() || !local.IsValid() {
			local = netip.AddrPortFrom(from.Local.Addr(), local.Port())
		}
		if l != nil {
			a = names.Advertise{Host: l.Advertise.Host, Port: l.Advertise.Port}
		}
		for i := range cfg.NameServer.Listeners {
			if nl := &cfg.NameServer.Listeners[i]; nl.Name == from.Listener && nl.Advertise.Host != "" {
				a.Host = nl.Advertise.Host // who finds the name server there finds us there
			}
		}
		return a.For(local)
	}
}
