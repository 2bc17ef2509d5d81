package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/discovery"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// fleet is all clusters and the routes to them: those of the configuration, and
// those that Consul's catalogue tells of.
type fleet struct {
	cfg    *config.Config
	set    *metrics.Set
	log    *zap.Logger
	hops   *backend.Hops
	limit  int64             // of a daemon's answer to CONNECT
	consul *discovery.Client // nil where nothing uses Consul
	keys   keys

	configured []*router.Route
	table      atomic.Pointer[router.Table]
	catalog    *catalog                        // nil: no zero config
	board      *board                          // nil: no topics
	services   func(objects map[string]string) // is told of those with an exact object, by name; nil: nobody is
	reconsider func()                          // is called when the catalog's routes have changed; nil: nobody is
	closers    []io.Closer

	// What the table is made of besides.
	parts struct {
		sync.Mutex
		named   *router.Route   // of names; nil: none
		catalog []*router.Route // of what Consul's catalogue tells of
	}

	mu       sync.Mutex
	clusters []*backend.Cluster
}

// newFleet makes what the configuration describes. Nothing runs before run.
func newFleet(cfg *config.Config, set *metrics.Set, log *zap.Logger) (made *fleet, err error) {
	f := &fleet{cfg: cfg, set: set, log: log, hops: &backend.Hops{}, limit: int64(cfg.Limits.MaxHandshake)}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.keys, err = readKeys(cfg); err != nil {
		return nil, err
	}
	if cfg.UsesConsul() {
		client, err := newConsul(&cfg.Consul)
		if err != nil {
			return nil, fmt.Errorf("consul: %w", err)
		}
		f.consul = client
	}
	byName := make(map[string]*backend.Cluster)
	for i := range cfg.Clusters {
		c := &cfg.Clusters[i]
		sources, err := f.sources(c)
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", c.Name, err)
		}
		cluster := backend.NewCluster(f.clusterConfig(c, cfg.BoundsOf(c), sources))
		byName[c.Name] = cluster
		f.clusters = append(f.clusters, cluster)
	}
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		cc := new(config.Cluster) // of an answer without one
		if at := slices.IndexFunc(cfg.Clusters, func(c config.Cluster) bool { return c.Name == r.Cluster }); at >= 0 {
			cc = &cfg.Clusters[at]
		}
		route, err := f.newRoute(r, cc, byName[r.Cluster])
		if err != nil {
			return nil, err
		}
		f.configured = append(f.configured, route)
	}
	if cfg.Topics.Enabled() {
		board, err := newBoard(f)
		if err != nil {
			return nil, fmt.Errorf("topics: %w", err)
		}
		f.board = board
		f.clusters = append(f.clusters, board.listeners, board.own)
	}
	f.publish()
	if cfg.Consul.Discover.Tag != "" {
		f.catalog = newCatalog(f, cfg)
	}
	return f, nil
}

// publish makes the table of routes. Those of the configuration come before what is
// found out, and names last, but for a route of the configuration at their end that
// takes everybody: there would be no point in anything behind it.
func (f *fleet) publish() {
	before := f.beforeNames()
	f.parts.Lock()
	defer f.parts.Unlock()
	routes := slices.Clip(before)
	if f.parts.named != nil {
		routes = append(routes, f.parts.named)
	}
	_, rest := f.ordered()
	f.table.Store(router.NewTable(append(routes, rest...)))
}

// ordered gives the configured routes, without and with only the last that takes all.
func (f *fleet) ordered() (before, rest []*router.Route) {
	if n := len(f.configured) - 1; n >= 0 && f.configured[n].Call == nil && f.configured[n].TakesAll() {
		return f.configured[:n], f.configured[n:]
	}
	return f.configured, nil
}

// beforeNames gives the routes that clients get rather than one to what is registered.
func (f *fleet) beforeNames() (routes []*router.Route) {
	if f.board != nil {
		routes = append(routes, f.board.routes...)
	}
	before, _ := f.ordered()
	routes = append(routes, before...)
	f.parts.Lock()
	defer f.parts.Unlock()
	return append(routes, f.parts.catalog...)
}

// onServices has told called with the objects of Consul's services, by the services'
// names, at each change. It is for before run.
func (f *fleet) onServices(told func(objects map[string]string)) { f.services = told }

// all gives the clusters that there are now.
func (f *fleet) all() []*backend.Cluster {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.clusters)
}

func (f *fleet) add(c *backend.Cluster) {
	f.mu.Lock()
	f.clusters = append(f.clusters, c)
	f.mu.Unlock()
}

func (f *fleet) remove(c *backend.Cluster) {
	f.mu.Lock()
	f.clusters = slices.DeleteFunc(f.clusters, func(other *backend.Cluster) bool { return other == c })
	f.mu.Unlock()
}

// run keeps all clusters current until ctx ends, and returns when they have
// stopped.
func (f *fleet) run(ctx context.Context) {
	var running sync.WaitGroup
	for _, c := range f.all() {
		if f.board == nil || c != f.board.listeners && c != f.board.own {
			running.Go(func() { c.Run(ctx) })
		}
	}
	if f.board != nil {
		running.Go(func() { f.board.run(ctx) })
	}
	if f.catalog != nil {
		running.Go(func() { f.catalog.run(ctx) })
	}
	running.Wait()
}

// sources makes those of a cluster that ask somebody.
func (f *fleet) sources(c *config.Cluster) ([]backend.Source, error) {
	var sources []backend.Source
	if c.DNS.Name != "" {
		dns, err := discovery.NewDNS(discovery.DNSConfig{
			Cluster: c.Name, Name: c.DNS.Name, SRV: c.DNS.Type == config.DNSTypeSRV, Interval: c.DNS.Interval,
			Log: f.log, Events: f.events(c.Name, metrics.SourceDNS),
		})
		if err != nil {
			return nil, err
		}
		sources = append(sources, inDialect{dns, wire.Dialect(c.Dialect)})
	}
	if len(c.Consul.Service) > 0 {
		consul := discovery.NewConsul(f.consul, discovery.ConsulConfig{
			Cluster: c.Name, Services: c.Consul.Service, Tags: c.Consul.Tags, Warning: c.Consul.Warning,
			Filter: c.Consul.Filter, Datacenters: c.Consul.Datacenters, Near: c.Consul.Near,
			Log: f.log, Events: f.events(c.Name, metrics.SourceConsul),
		})
		sources = append(sources, inDialect{consul, wire.Dialect(c.Dialect)})
	}
	if c.NameServer.Address.Address != "" {
		ns, err := f.nameSource(c)
		if err != nil {
			return nil, err
		}
		sources = append(sources, ns)
	}
	return sources, nil
}

// events makes a source's metrics.
func (f *fleet) events(cluster string, kind metrics.SourceKind) discovery.Events {
	m := f.set.Source(cluster, kind)
	return discovery.Events{
		Answered: m.Answered,
		Updated: func(members int) {
			m.Updates.Inc()
			m.Members.Set(float64(members))
		},
		Failed:   func(r discovery.Reason) { m.Failed(string(r)) },
		Skipped:  m.Skipped.Inc,
		Conflict: m.Conflicts.Inc,
	}
}

// inDialect gives a cluster's dialect to the members of a source that says none.
type inDialect struct {
	backend.Source
	dialect wire.Dialect
}

func (s inDialect) Run(ctx context.Context, set func([]backend.Member)) {
	s.Source.Run(ctx, func(members []backend.Member) {
		for i := range members {
			if members[i].Dialect == 0 {
				members[i].Dialect = s.dialect
			}
		}
		set(members)
	})
}
