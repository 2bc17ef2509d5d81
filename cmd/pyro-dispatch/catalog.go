package main

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/discovery"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// catalog makes clusters and routes of the services that Consul has with a tag.
// Their routes come behind the configured ones.
type catalog struct {
	fleet     *fleet
	tag       string
	taken     map[string]bool // names of clusters and routes in the configuration
	conflicts func()

	known   map[string]*discovered // by the service's name
	running sync.WaitGroup
}

// discovered is a cluster that a service was made into. It outlives the service
// for a while: who is connected by then finds it again when the service comes
// back.
type discovered struct {
	cluster *backend.Cluster
	stop    context.CancelFunc
	gone    time.Time // when the service vanished; zero: it is there
}

// forgetAfter is how long a service must be gone before its cluster goes too.
const forgetAfter = 10 * time.Minute

func newCatalog(f *fleet, cfg *config.Config) *catalog {
	c := &catalog{
		fleet: f, tag: cfg.Consul.Discover.Tag,
		taken: make(map[string]bool), known: make(map[string]*discovered),
		conflicts: f.set.Source("", metrics.SourceCatalog).Conflicts.Inc,
	}
	for i := range cfg.Clusters {
		c.taken[cfg.Clusters[i].Name] = true
	}
	for i := range cfg.Routes {
		c.taken[cfg.Routes[i].Name] = true
	}
	return c
}

// run follows the catalogue until ctx ends.
func (c *catalog) run(ctx context.Context) {
	f := c.fleet
	source := discovery.NewCatalog(f.consul, discovery.CatalogConfig{
		Tag:          c.tag,
		CheckPattern: func(p string) error { _, err := router.CompileGlob(p); return err },
		Log:          f.log, Events: f.events("", metrics.SourceCatalog),
	})
	source.Run(ctx, func(services []discovery.Service) { c.found(ctx, services) })
	c.running.Wait()
}

// found makes the routes anew. Whoever has a route already keeps it.
func (c *catalog) found(ctx context.Context, services []discovery.Service) {
	routes := append([]*router.Route(nil), c.fleet.configured...)
	there := make(map[string]bool)
	for i := range services {
		s := &services[i]
		if c.taken[s.Name] {
			c.conflicts()
			c.fleet.log.Warn("service left out: the configuration has a cluster or route of its name", zap.String("service", s.Name))
			continue
		}
		route, err := c.route(ctx, s)
		if err != nil {
			c.conflicts()
			c.fleet.log.Warn("service left out", zap.String("service", s.Name), zap.Error(err))
			continue
		}
		there[s.Name] = true
		routes = append(routes, route)
	}
	c.fleet.table.Store(router.NewTable(routes))
	c.retire(there, time.Now())
}

// route makes the route of a service, and its cluster where it has none yet.
func (c *catalog) route(ctx context.Context, s *discovery.Service) (*router.Route, error) {
	r, cc := config.DefaultRoute(), config.DefaultCluster()
	cc.Name, r.Name, r.Cluster = s.Name, s.Name, s.Name
	cc.Consul.Service, cc.Consul.Tags = []string{s.Name}, []string{c.tag}
	cc.MaxConnections = s.MaxConnections
	cc.Dialect = config.Dialect(s.Dialect)
	if s.Mode == string(config.ModeCall) {
		r.Mode = config.ModeCall
	}
	if s.Balance != "" {
		if err := cc.Balance.UnmarshalText([]byte(s.Balance)); err != nil {
			return nil, err
		}
	}
	for _, o := range s.Objects {
		r.Match.Object = append(r.Match.Object, config.Pattern(o))
	}
	bounds := cc.Bounds(r.Mode == config.ModeCall)
	d := c.known[s.Name]
	if d == nil {
		sources, err := c.fleet.sources(&cc)
		if err != nil {
			return nil, err
		}
		d = &discovered{cluster: backend.NewCluster(c.fleet.clusterConfig(&cc, bounds, sources))}
		var running context.Context
		running, d.stop = context.WithCancel(ctx)
		c.running.Go(func() { d.cluster.Run(running) })
		c.known[s.Name] = d
		c.fleet.add(d.cluster)
		c.fleet.log.Info("service discovered", zap.String("service", s.Name), zap.Strings("objects", s.Objects), zap.String("mode", string(r.Mode)))
	} else {
		d.cluster.Reconfigure(balanceOf(cc.Balance), bounds.MaxConnections, bounds.NestedReserve, bounds.MaxPinned)
	}
	d.gone = time.Time{}
	return newRoute(&r, &cc, d.cluster, c.fleet.set)
}

// retire stops the clusters of services that have been gone for long.
func (c *catalog) retire(there map[string]bool, now time.Time) {
	for name, d := range c.known {
		switch {
		case there[name]:
		case d.gone.IsZero():
			d.gone = now
			c.fleet.log.Info("service gone: it gets no new clients", zap.String("service", name))
		case now.Sub(d.gone) > forgetAfter:
			d.stop()
			c.fleet.remove(d.cluster)
			delete(c.known, name)
		}
	}
}
