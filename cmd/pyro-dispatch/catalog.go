package main

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"
	"weak"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/discovery"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// catalog makes clusters and routes of the services that Consul has with a tag.
// Their routes come behind the configured ones.
type catalog struct {
	fleet     *fleet
	tag       string
	taken     map[string]string // names that a service cannot have, and whose they are
	conflicts func()

	mu      sync.Mutex
	known   map[string]*discovered // by the service's name
	refused map[string]bool        // services left out, of which the log tells already
	running sync.WaitGroup
}

// discovered is a cluster that a service was made into. It outlives the service
// for a while: who is connected by then finds it again when the service comes
// back.
type discovered struct {
	name    string
	cluster *backend.Cluster
	stop    context.CancelFunc
	ended   chan struct{} // closed when the cluster's Run has returned

	service discovery.Service // as the catalogue has, or had it
	// route is made of service, and own is the same for clients of the dialect
	// that the service declares: nil where it declares none. Both are nil while
	// the service is gone.
	route, own *router.Route
	// before are routes that there were. Clients that were let in by one keep it
	// until they leave.
	before []weak.Pointer[router.Route]
	gone   time.Time // when the service vanished
}

const (
	// forgetAfter is how long a service must be gone before its cluster goes too.
	forgetAfter = 10 * time.Minute
	// lookAfter is how often that is looked at.
	lookAfter = time.Minute
)

func newCatalog(f *fleet, cfg *config.Config) *catalog {
	c := &catalog{
		fleet: f, tag: cfg.Consul.Discover.Tag,
		taken: make(map[string]string), known: make(map[string]*discovered), refused: make(map[string]bool),
		conflicts: f.set.Source("", metrics.SourceCatalog).Conflicts.Inc,
	}
	// The dispatcher's own service may well have the tag, and a route to it would
	// lead in a circle.
	c.taken[cfg.Consul.Register.Name] = "the dispatcher itself"
	if cfg.Topics.Enabled() {
		c.taken[topicsCluster], c.taken[ownCluster] = "the topics", "the topics"
	}
	for i := range cfg.Routes {
		c.taken[cfg.Routes[i].Name] = "a route of the configuration"
	}
	for i := range cfg.Clusters {
		c.taken[cfg.Clusters[i].Name] = "a cluster of the configuration"
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
	c.running.Go(func() { c.tidy(ctx) })
	source.Run(ctx, func(services []discovery.Service) { c.found(ctx, services) })
	c.running.Wait()
}

// found makes the routes anew. Whoever has a route already keeps it.
func (c *catalog) found(ctx context.Context, services []discovery.Service) {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := make(map[string]bool)
	refused := c.refused
	c.refused = make(map[string]bool)
	var all []*discovered
	for i := range services {
		s := &services[i]
		d, err := c.make(ctx, s)
		if err != nil {
			c.refused[s.Name] = true
			if !refused[s.Name] {
				c.conflicts()
				c.fleet.log.Warn("service left out", zap.String("service", s.Name), zap.Error(err))
			}
			continue
		}
		there[s.Name] = true
		all = append(all, d)
	}
	c.publish(all)
	if told := c.fleet.services; told != nil {
		objects := make(map[string]string)
		for _, d := range all {
			for _, o := range d.service.Objects {
				if id, ok := config.Pattern(o).Exact(); ok {
					objects[d.name] = id
				}
			}
		}
		told(objects)
	}
	for name, d := range c.known {
		if !there[name] {
			c.vanished(d)
		}
	}
}

// publish makes the table of routes. Services that have the same objects and
// differ in their dialects each get the clients of theirs: hence those routes
// come first. A service whose instances speak both dialects declares one of them;
// so the routes without a dialect follow.
func (c *catalog) publish(all []*discovered) {
	var routes []*router.Route
	for _, d := range all {
		if d.own != nil {
			routes = append(routes, d.own)
		} else {
			routes = append(routes, d.route)
		}
	}
	for _, d := range all {
		if d.own != nil {
			routes = append(routes, d.route)
		}
	}
	c.fleet.parts.Lock()
	c.fleet.parts.catalog = routes
	c.fleet.parts.Unlock()
	c.fleet.publish()
	if reconsider := c.fleet.reconsider; reconsider != nil {
		reconsider()
	}
}

// make makes the routes of a service, where it has none or is no longer the
// same, and its cluster, where it has none yet.
func (c *catalog) make(ctx context.Context, s *discovery.Service) (*discovered, error) {
	if by, taken := c.taken[s.Name]; taken {
		return nil, fmt.Errorf("its name is that of %s", by)
	}
	d := c.known[s.Name]
	if d != nil && d.route != nil && reflect.DeepEqual(d.service, *s) {
		return d, nil
	}
	r, cc, err := c.configOf(s)
	if err != nil {
		return nil, err
	}
	bounds := cc.Bounds(r.Mode == config.ModeCall)
	cluster := (*backend.Cluster)(nil)
	if d != nil {
		cluster = d.cluster
	}
	route, err := c.fleet.newRoute(&r, &cc, cluster)
	if err != nil {
		return nil, err
	}
	news := "service discovered"
	if d == nil {
		if d, err = c.start(ctx, &cc, bounds); err != nil {
			return nil, err
		}
		route.Cluster = d.cluster
	} else {
		if news = "service changed"; d.route == nil {
			news = "service is back"
		}
		d.cluster.Reconfigure(balanceOf(cc.Balance), bounds.MaxConnections, bounds.NestedReserve, pinnable(bounds))
	}
	c.fleet.log.Info(news, zap.String("service", s.Name), zap.Strings("objects", s.Objects), zap.String("mode", string(r.Mode)))
	d.retreat()
	d.service, d.route, d.gone = *s, route, time.Time{}
	if s.Dialect != 0 {
		own := *route
		own.Dialects = []wire.Dialect{s.Dialect}
		d.own = &own
	}
	return d, nil
}

// configOf is what a configuration would say of the service.
func (c *catalog) configOf(s *discovery.Service) (config.Route, config.Cluster, error) {
	r, cc := config.DefaultRoute(), config.DefaultCluster()
	cc.Name, r.Name, r.Cluster = s.Name, s.Name, s.Name
	cc.Consul.Service, cc.Consul.Tags = []string{s.Name}, []string{c.tag}
	cc.MaxConnections = s.MaxConnections
	if s.Timeout != 0 {
		r.Timeout = &s.Timeout
	}
	if s.Mode == string(config.ModeCall) {
		r.Mode = config.ModeCall
	}
	if s.Balance != "" {
		if err := cc.Balance.UnmarshalText([]byte(s.Balance)); err != nil {
			return r, cc, err
		}
	}
	for _, o := range s.Objects {
		r.Match.Object = append(r.Match.Object, config.Pattern(o))
	}
	return r, cc, nil
}

// start makes a cluster and runs it.
func (c *catalog) start(ctx context.Context, cc *config.Cluster, bounds config.Bounds) (*discovered, error) {
	sources, err := c.fleet.sources(cc)
	if err != nil {
		return nil, err
	}
	d := &discovered{
		name: cc.Name, ended: make(chan struct{}),
		cluster: backend.NewCluster(c.fleet.clusterConfig(cc, bounds, sources)),
	}
	ctx, d.stop = context.WithCancel(ctx)
	c.running.Go(func() {
		defer close(d.ended)
		d.cluster.Run(ctx)
	})
	c.known[cc.Name] = d
	c.fleet.add(d.cluster)
	return d, nil
}
