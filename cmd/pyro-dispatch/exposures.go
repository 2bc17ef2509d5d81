package main

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/admin"
	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/expose"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// exposure gives each endpoint of a cluster a port of its own, which stays the same.
type exposure struct {
	cfg     *config.Cluster
	cluster *backend.Cluster
	ports   *namePorts
	host    string // for the daemons to publish
	routeTo func(backend.Address) (*router.Route, error)
	routes  map[string]*router.Route // by endpoint
}

// newExposures makes those that the configuration asks for. listeners are the ones that
// clients are accepted at otherwise.
func newExposures(f *fleet, kept store.Store, server *relay.Server, listeners []relay.ListenerConfig) (all []*exposure, err error) {
	for i := range f.cfg.Clusters {
		c := &f.cfg.Clusters[i]
		if c.Expose != config.ExposePerEndpoint {
			continue
		}
		at := slices.IndexFunc(f.clusters, func(cluster *backend.Cluster) bool { return cluster.Name() == c.Name })
		through := f.cfg.ExposeThrough(c)
		like, err := listenerLike(listeners, through, "expose:"+c.Name, f)
		if err != nil {
			return all, err
		}
		ports, err := expose.New(expose.Config{
			Store: store.Prefixed(kept, "endpoints/"+c.Name+"/"), First: c.Ports.First, Last: c.Ports.Last, Log: f.log,
		})
		if err != nil {
			return all, err
		}
		size := c.Ports.Last - c.Ports.First + 1
		f.set.Ports(c.Name, size, func() int { return len(ports.Mapping()) })
		host := f.cfg.ExposeHost(c)
		e := &exposure{
			cfg: c, cluster: f.clusters[at], host: publicHost(through, host), routes: make(map[string]*router.Route),
			ports: newNamePorts(ports, size, host, server, like, f.log),
		}
		e.routeTo = func(a backend.Address) (*router.Route, error) {
			r := config.DefaultRoute()
			r.Name, r.Cluster = "expose:"+c.Name, c.Name
			route, err := f.newRoute(&r, c, e.cluster)
			if err == nil {
				route.Only = a
			}
			return route, err
		}
		e.begin()
		all = append(all, e)
	}
	return all, nil
}

// beginTime bounds how long the start may wait for the ports of endpoints that are known
// from the beginning.
const beginTime = 5 * time.Second

// begin opens the ports of the endpoints that the configuration names: whoever asks for
// them at once is to find them.
func (e *exposure) begin() {
	ctx, cancel := context.WithTimeout(context.Background(), beginTime)
	defer cancel()
	endpoints := e.endpoints()
	e.want(endpoints)
	for _, endpoint := range endpoints {
		if _, err := e.ports.allot(ctx, endpoint); err != nil {
			return // run tries again, and says so
		}
	}
	for _, endpoint := range endpoints {
		if _, err := e.ports.port(ctx, endpoint); err != nil && ctx.Err() != nil {
			return
		}
	}
}

// endpoints are the addresses of those that there are.
func (e *exposure) endpoints() (now []string) {
	for _, s := range e.cluster.Status().Endpoints {
		if s.State != "removed" {
			now = append(now, s.Address)
		}
	}
	return now
}

// listenerLike is how a port of its own is listened at: as at the listener through, whose
// limits of sessions it shares, under another name.
func listenerLike(listeners []relay.ListenerConfig, through *config.Listener, name string, f *fleet) (relay.ListenerConfig, error) {
	like := listeners[0]
	for _, l := range listeners {
		if through != nil && l.Env.Listener == through.Name {
			like = l
		}
	}
	like.With = like.Net
	like.Env.Listener = name
	like.Env.Metrics = f.set.Listener(name)
	return like, nil
}

// publicHost is what daemons publish: the advertised host, the one that is listened at,
// or an address of this machine.
func publicHost(l *config.Listener, host string) string {
	if l != nil && l.Advertise.Host != "" {
		return l.Advertise.Host
	}
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		return host
	}
	for _, a := range ownAddresses() {
		if !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			return a.String()
		}
	}
	return "127.0.0.1"
}

// lookForEndpoints is how often a cluster is asked for its endpoints.
const lookForEndpoints = time.Second

// run keeps the ports until ctx ends.
func (e *exposure) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { e.ports.run(ctx) })
	defer running.Wait()
	ticker := time.NewTicker(lookForEndpoints)
	defer ticker.Stop()
	var last []string
	for {
		now := e.endpoints()
		if !slices.Equal(now, last) {
			last = now
			e.want(now)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// want has ports opened for the endpoints.
func (e *exposure) want(endpoints []string) {
	routes := make(map[string]*router.Route, len(endpoints))
	for _, endpoint := range endpoints {
		r := e.routes[endpoint]
		if r == nil {
			a := backend.Address{Network: "tcp", Addr: endpoint}
			if path, ok := strings.CutPrefix(endpoint, "unix:"); ok {
				a = backend.Address{Network: "unix", Addr: path}
			}
			var err error
			if r, err = e.routeTo(a); err != nil {
				continue // the cluster's own routes were made of the same
			}
		}
		routes[endpoint] = r
	}
	e.routes = routes
	e.ports.want(routes)
}

// list tells the endpoints and their ports.
func (e *exposure) list() (all []admin.Exposed) {
	for endpoint, port := range e.ports.all() {
		host := e.host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		all = append(all, admin.Exposed{
			Cluster: e.cfg.Name, Endpoint: endpoint, NATHost: host, NATPort: port,
			Set: expose.Advice(e.host, expose.Mapped{Key: endpoint, Port: port}),
		})
	}
	slices.SortFunc(all, func(a, b admin.Exposed) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return all
}
