package discovery

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
)

// ConsulConfig says which instances of which services are members.
type ConsulConfig struct {
	Cluster  string   // for logs
	Services []string // at least one; the members are those of all
	Tags     []string // that an instance must have, all of them
	Warning  bool     // instances whose checks warn are members too
	Filter   string   // an expression for Consul, empty for none
	// Datacenters in the order of preference; the client's where empty. The
	// members are those of the first that has any. A datacenter that cannot be
	// asked still has what it had: that Consul is away says nothing of daemons,
	// and moving all clients across the country is not a thing to do on an error.
	// Only one that could never be asked since the start is passed over.
	Datacenters []string
	Near        string // a node, by distance from which members are in order
	// Grace is how long a member that Consul no longer has after an outage is
	// kept; 0 is DefaultGrace.
	Grace  time.Duration
	Log    *zap.Logger // may be nil
	Events Events
}

// Consul is a source: the healthy instances of services in Consul's catalogue.
//
// Instances count while their checks pass. Their weight is that of their state
// in the service's Weights, unless their meta pyro-weight gives one; meta
// pyro-dialect is pyro4 or pyro5. An instance is at its socket path, or at its
// address, or that of its node. What cannot be connected to is left out.
//
// What Consul last said stays in force while it cannot be asked. That a service
// has no instances counts only when servers with a leader say so.
type Consul struct {
	client *Client
	config ConsulConfig
}

// NewConsul makes a source. It asks nothing before Run.
func NewConsul(client *Client, c ConsulConfig) *Consul {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	c.Grace = cmp.Or(c.Grace, DefaultGrace)
	if len(c.Datacenters) == 0 {
		c.Datacenters = []string{""}
	}
	return &Consul{client: client, config: c}
}

// Run is backend.Source's.
func (s *Consul) Run(ctx context.Context, set func([]backend.Member)) {
	log := s.config.Log.With(zap.String("cluster", s.config.Cluster))
	updates := &updates{log: log, events: s.config.Events, set: set}
	m := &merger{
		groups:  make([][]part, len(s.config.Datacenters)),
		sort:    s.config.Near == "",
		changed: s.movedTo(log),
		set:     updates.tell,
	}
	for dc := range m.groups {
		m.groups[dc] = make([]part, len(s.config.Services))
	}
	var wg sync.WaitGroup
	for dc, datacenter := range s.config.Datacenters {
		for i, service := range s.config.Services {
			w := s.watch(log, service, datacenter)
			w.tell = func(members []backend.Member) { m.know(dc, i, members) }
			w.failed = func() { m.fail(dc, i) }
			wg.Go(func() { w.run(ctx) })
		}
	}
	wg.Wait()
}

// movedTo returns what logs that another datacenter's members count.
func (s *Consul) movedTo(log *zap.Logger) func(int) {
	if len(s.config.Datacenters) < 2 {
		return nil
	}
	return func(dc int) {
		log.Info("members are taken from a datacenter", zap.String("datacenter", s.config.Datacenters[dc]))
	}
}

func (s *Consul) watch(log *zap.Logger, service, datacenter string) *watch[backend.Member] {
	log = log.With(zap.String("service", service))
	if datacenter != "" {
		log = log.With(zap.String("datacenter", datacenter))
	}
	return &watch[backend.Member]{
		wait:   s.client.wait,
		report: newReporter(log, s.config.Events),
		memory: memory[backend.Member]{
			key:   func(m backend.Member) string { return m.Address.String() + " " + m.Object },
			grace: s.config.Grace,
		},
		ask: func(ctx context.Context, q api.QueryOptions) (answer[backend.Member], error) {
			q.Datacenter = datacenter
			q.Near = s.config.Near
			q.Filter = s.config.Filter
			return s.ask(ctx, service, q)
		},
	}
}

// ask queries one service in one datacenter.
func (s *Consul) ask(ctx context.Context, service string, q api.QueryOptions) (answer[backend.Member], error) {
	var a answer[backend.Member]
	entries, meta, err := s.query(ctx, service, q)
	if err != nil {
		return a, err
	}
	a.index, a.source = meta.LastIndex, meta.QueryBackend
	if len(entries) == 0 && !led(meta) {
		// An agent's own view, with the streaming backend, knows of no leader,
		// and is empty too while it has lost its servers. They shall say it.
		q.WaitIndex, q.WaitTime = 0, 0
		if entries, meta, err = s.query(ctx, service, q); err != nil {
			return a, err
		}
		if len(entries) == 0 && !led(meta) {
			return a, errNoLeader
		}
	}
	if len(entries) == 0 && meta.ResultsFilteredByACLs {
		return a, errHidden
	}
	a.doubtful = s.client.doubtful(meta)
	a.items, a.problems = s.members(entries)
	return a, allNonsense(a.items, a.problems)
}

func (s *Consul) query(ctx context.Context, service string, q api.QueryOptions) ([]*api.ServiceEntry, *api.QueryMeta, error) {
	ctx, cancel := bounded(ctx, q.WaitTime)
	defer cancel()
	var entries []*api.ServiceEntry
	var meta *api.QueryMeta
	err := guarded(func() (err error) {
		// Consul itself has no parameter for "passing or warning".
		entries, meta, err = s.client.api.Health().ServiceMultipleTags(service, s.config.Tags, !s.config.Warning, q.WithContext(ctx))
		return err
	})
	if err == nil && entries == nil { // "null": Consul says "[]"
		err = fmt.Errorf("%w: no list", errNonsense)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("asking Consul for service %s: %w", service, err)
	}
	return entries, meta, nil
}

// maxStale is how long ago a server may have heard from its leader.
const maxStale = 10 * time.Second

// led reports whether an answer is that of a server which knows what its leader
// knows.
func led(meta *api.QueryMeta) bool {
	return meta.KnownLeader && meta.LastContact <= maxStale
}

// doubtful reports whether an answer may lack members without saying so: those
// that our ACL token does not let us see (without a token, Consul does not tell
// that there are some), or those that a server without a leader does not know.
func (c *Client) doubtful(meta *api.QueryMeta) bool {
	return meta.ResultsFilteredByACLs ||
		meta.DefaultACLPolicy == "deny" && c.tokens.anonymous() ||
		!led(meta) && meta.QueryBackend != api.QueryBackendStreaming
}

// updates passes memberships on, and tells of them.
type updates struct {
	log    *zap.Logger
	events Events
	set    func([]backend.Member)
	last   []backend.Member
}

func (u *updates) tell(members []backend.Member) {
	before := make(map[backend.Place]bool, len(u.last))
	for _, m := range u.last {
		before[backend.Place{Address: m.Address, Object: m.Object}] = true
	}
	added := 0
	for _, m := range members {
		if !before[backend.Place{Address: m.Address, Object: m.Object}] {
			added++
		}
	}
	removed := len(u.last) + added - len(members)
	u.log.Info("members changed", zap.Int("members", len(members)), zap.Int("added", added), zap.Int("removed", removed))
	u.events.updated(len(members))
	u.last = members
	u.set(members)
}
