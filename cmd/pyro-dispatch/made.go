package main

import (
	"cmp"
	"fmt"
	"net"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// What clusters and routes are made of.

func (f *fleet) clusterConfig(c *config.Cluster, bounds config.Bounds, sources []backend.Source) backend.Config {
	bc := backend.Config{
		Name: c.Name, Sources: sources, Balance: balanceOf(c.Balance),
		ConnectTimeout: c.ConnectTimeout, MaxAnswer: f.limit,
		MaxConnections: bounds.MaxConnections, NestedReserve: bounds.NestedReserve, MaxPinned: pinnable(bounds),
		Queue: c.Queue, QueueTimeout: c.QueueTimeout, Retries: c.Retries, RetryBudget: int(c.RetryBudget),
		MinIdle: c.MinIdle, IdleTimeout: c.IdleTimeout, MaxAge: c.MaxAge, HandshakeTTL: c.HandshakeTTL,
		GhostTimeout: c.GhostTimeout, CloseOnDown: c.OnDown == config.OnDownClose,
		SlowStart: c.SlowStart, PanicThreshold: int(c.PanicThreshold),
		Key: f.keys[c.HMACKeyFile], Dialer: &net.Dialer{}, Adopt: relay.Adopt, Hops: f.hops, Metrics: f.set, Log: f.log,
	}
	h := &c.HealthCheck
	bc.Health = backend.HealthConfig{
		Interval: h.Interval, Timeout: h.Timeout, Rise: h.Rise, Fall: h.Fall, AskServer: true,
		Object: h.Object, Serializer: wire.SerializerByName(string(h.Serializer)), Handshake: h.Handshake,
	}
	if !h.Enabled {
		bc.Health.Interval, bc.Health.Object = 0, "" // asked once, of the daemon itself
	}
	if b := &c.Breaker; b.Enabled {
		bc.Breaker = backend.BreakerConfig{
			ConsecutiveFailures: b.ConsecutiveFailures, FailureRatio: int(b.FailureRatio), MinimumCalls: b.MinimumCalls,
			Window: b.Window, Open: b.Open, Probes: b.Probes,
		}
	}
	if o := &c.Outlier; o.Enabled {
		bc.Outlier.ConsecutiveFailures, bc.Outlier.FailureRatio = o.ConsecutiveFailures, int(o.FailureRatio)
		bc.Outlier.MinimumCalls, bc.Outlier.Window = o.MinimumCalls, o.Window
		bc.Outlier.Ejection, bc.Outlier.MaxEjection = o.Ejection, o.MaxEjection
		bc.MaxEjected = int(o.MaxEjectionPercent)
	}
	for _, e := range c.Static {
		bc.Members = append(bc.Members, backend.Member{
			Address: backend.Address{Network: e.Address.Network, Addr: e.Address.Address},
			Dialect: wire.Dialect(e.Dialect),
			Weight:  e.Weight,
			Object:  cmp.Or(e.Object, c.Object),
		})
	}
	return bc
}

// pinnable is how many connections of an endpoint clients may pin, which in
// package backend is no number to stand for all: many enough, where connections
// have no bound either.
func pinnable(b config.Bounds) int {
	if b.MaxPinned == 0 {
		return 1 << 30
	}
	return b.MaxPinned
}

func balanceOf(b config.Balance) backend.Balance {
	switch b {
	case config.BalanceRoundRobin:
		return backend.RoundRobin
	case config.BalanceHash:
		return backend.Hash
	}
	return backend.LeastRequest
}

// newRoute makes a route to cluster, which is made of c.
func (f *fleet) newRoute(r *config.Route, c *config.Cluster, cluster *backend.Cluster) (*router.Route, error) {
	route := &router.Route{
		Name:           r.Name,
		Listeners:      r.Match.Listener,
		Sources:        r.Match.Source,
		Cluster:        cluster,
		Calls:          f.set.Calls(r.Name, c.Name),
		HashBy:         hashBy(c.HashBy),
		Timeouts:       routeTimes(r),
		Policy:         policyOf(f.cfg.PolicyOf(r)),
		Idempotent:     r.Idempotent,
		ShareHandshake: r.CacheHandshake,
		StreamIdleTime: c.StreamIdleTimeout,
	}
	if r.Mode == config.ModeCall {
		route.Mode = router.ModeCall
	}
	if len(r.Answer.Methods) > 0 {
		route.Answer = &router.Members{Methods: r.Answer.Methods, Oneway: r.Answer.Oneway}
	}
	var err error
	if route.Call, err = callMatchOf(&r.Match); err != nil {
		return nil, fmt.Errorf("route %s: %w", r.Name, err)
	}
	if route.Call != nil {
		if route.Deliver, err = deliverOf(r, c); err != nil {
			return nil, fmt.Errorf("route %s: %w", r.Name, err)
		}
	}
	for _, p := range r.Match.Object {
		g, err := router.CompileGlob(string(p))
		if err != nil {
			return nil, fmt.Errorf("route %s: object %q: %w", r.Name, p, err)
		}
		route.Objects = append(route.Objects, g)
	}
	for _, d := range r.Match.Dialect {
		route.Dialects = append(route.Dialects, wire.Dialect(d))
	}
	for _, s := range r.Match.Serializer {
		route.Serializers = append(route.Serializers, wire.SerializerByName(string(s)))
	}
	return route, nil
}

func hashBy(h config.HashBy) router.HashBy {
	if id, ok := h.Annotation(); ok {
		return router.HashBy{What: router.ByAnnotation, Annotation: [4]byte([]byte(id))}
	}
	switch h {
	case config.HashBySource:
		return router.HashBy{What: router.BySource}
	case config.HashByBlobInfo:
		return router.HashBy{What: router.ByBlobInfo}
	}
	return router.HashBy{What: router.ByObject}
}
