package discovery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Service is a service of the catalogue, with what its instances' meta asks for.
// A field that no instance gives is zero.
type Service struct {
	Name           string
	Objects        []string // patterns of object ids, at least one: without meta, the service's name
	Mode           string   // "session" or "call"
	Timeout        time.Duration
	MaxConnections int
	Balance        string // "least_request", "round_robin" or "hash"
	Dialect        wire.Dialect
}

func (s Service) equal(o Service) bool {
	return slices.Equal(s.Objects, o.Objects) && s.Name == o.Name && s.Mode == o.Mode && s.Timeout == o.Timeout &&
		s.MaxConnections == o.MaxConnections && s.Balance == o.Balance && s.Dialect == o.Dialect
}

// CatalogConfig says which services to look for.
type CatalogConfig struct {
	Tag string // that an instance must have
	// CheckPattern says what is wrong with a pattern of object ids; nil accepts
	// all.
	CheckPattern func(string) error
	// Grace is how long a service that Consul no longer has after an outage is
	// kept; 0 is DefaultGrace.
	Grace  time.Duration
	Log    *zap.Logger // may be nil
	Events Events
}

// Catalog finds all services with a tag. What their instances' meta says is
// merged: of contradicting values the one that most instances give counts, and
// of those with as many the smallest. Nonsense is left out. Both are logged and
// counted, when they begin.
//
// Like Consul, it believes what Consul says, and keeps it while Consul cannot
// say anything. It costs one connection, however many services there are: the
// list of services changes with every registration, and then each service with
// the tag is asked for.
type Catalog struct {
	client *Client
	config CatalogConfig
}

// NewCatalog makes a Catalog. It asks nothing before Run.
func NewCatalog(client *Client, c CatalogConfig) *Catalog {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	c.Grace = cmp.Or(c.Grace, DefaultGrace)
	return &Catalog{client: client, config: c}
}

// Run calls found with all services, in the order of their names, as soon as
// they are known and at each change, until ctx ends.
func (c *Catalog) Run(ctx context.Context, found func([]Service)) {
	log := c.config.Log.With(zap.String("tag", c.config.Tag))
	told, last := false, []Service(nil)
	w := &watch[Service]{
		wait:   c.client.wait,
		report: newReporter(log, c.config.Events),
		memory: memory[Service]{
			key:   func(s Service) string { return s.Name },
			grace: c.config.Grace,
		},
		ask: c.ask,
	}
	w.tell = func(services []Service) {
		services = slices.Clone(services)
		slices.SortFunc(services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
		if told && slices.EqualFunc(services, last, Service.equal) {
			return
		}
		told, last = true, services
		log.Info("services changed", zap.Int("services", len(services)))
		c.config.Events.updated(len(services))
		found(slices.Clone(services))
	}
	w.run(ctx)
}

// ask lists the services, and then asks for the instances of each.
func (c *Catalog) ask(ctx context.Context, q api.QueryOptions) (answer[Service], error) {
	var a answer[Service]
	names, meta, err := c.names(ctx, q)
	if err != nil {
		return a, err
	}
	a.index, a.source = meta.LastIndex, meta.QueryBackend
	// A token that lets us see only some services is usual here. It is what
	// hides those with the tag only if none is to be seen.
	a.doubtful = c.client.doubtful(meta) && (len(names) == 0 || !led(meta))
	for _, name := range names {
		instances, err := c.instances(ctx, name)
		if err != nil {
			return a, err
		}
		if len(instances) == 0 { // deregistered a moment ago
			continue
		}
		service, problems := c.merge(name, instances)
		a.items = append(a.items, service)
		a.problems = append(a.problems, problems...)
	}
	a.problems = append(a.problems, overlaps(a.items)...)
	return a, nil
}

func (c *Catalog) names(ctx context.Context, q api.QueryOptions) ([]string, *api.QueryMeta, error) {
	ctx, cancel := bounded(ctx, q.WaitTime)
	defer cancel()
	services, meta, err := c.client.api.Catalog().Services(q.WithContext(ctx))
	if err == nil && services == nil {
		err = fmt.Errorf("%w: no list", errNonsense)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("asking Consul for its services: %w", err)
	}
	var names []string
	for name, tags := range services {
		if slices.ContainsFunc(tags, func(tag string) bool { return strings.EqualFold(tag, c.config.Tag) }) {
			names = append(names, name)
		}
	}
	if len(names) == 0 && !led(meta) {
		return nil, nil, errNoLeader
	}
	slices.Sort(names)
	return names, meta, nil
}

func (c *Catalog) instances(ctx context.Context, name string) ([]*api.CatalogService, error) {
	ctx, cancel := bounded(ctx, 0)
	defer cancel()
	var instances []*api.CatalogService
	err := guarded(func() (err error) {
		var q api.QueryOptions
		instances, _, err = c.client.api.Catalog().ServiceMultipleTags(name, []string{c.config.Tag}, q.WithContext(ctx))
		return err
	})
	switch {
	case err != nil:
	case instances == nil:
		err = fmt.Errorf("%w: no list", errNonsense)
	case slices.Contains(instances, nil):
		err = fmt.Errorf("%w: an instance is null", errNonsense)
	}
	if err != nil {
		return nil, fmt.Errorf("asking Consul for service %s: %w", name, err)
	}
	return instances, nil
}
