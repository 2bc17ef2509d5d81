package backend

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
)

// Status is what an operator can see of a cluster.
type Status struct {
	Name      string           `json:"name"`
	Paused    bool             `json:"paused"`
	Panic     bool             `json:"panic"` // so few endpoints are well that all are used
	Waiting   int              `json:"waiting"`
	Endpoints []EndpointStatus `json:"endpoints"`
}

// EndpointStatus is what an operator can see of an endpoint.
type EndpointStatus struct {
	Address string `json:"address"`
	// State is the first that applies of "removed" (no source names it any more),
	// "draining" (by the operator), "down" (health checks), "ejected", "open" (its
	// breaker), "half-open", "full" (no free workers) and "up".
	State string `json:"state"`
	// Why says more about a state that is not "up".
	Why         string `json:"why,omitempty"`
	Dialect     string `json:"dialect,omitempty"`
	ServerType  string `json:"server_type,omitempty"` // what the daemon says it is: thread or multiplex
	Weight      int    `json:"weight"`
	Breaker     string `json:"breaker"`
	InFlight    int    `json:"in_flight"` // calls (mode call) or sessions (mode session)
	Ghosts      int    `json:"ghosts"`
	Resting     int    `json:"resting"`
	Pinned      int    `json:"pinned"`
	Idle        int    `json:"idle"`
	Connections int    `json:"connections"`
}

// Status gives the cluster's state, endpoints sorted by address.
func (c *Cluster) Status() Status {
	c.lock()
	defer c.unlock()
	now := time.Now()
	s := Status{Name: c.name, Paused: c.paused, Panic: c.panicking, Waiting: c.waiting.len(), Endpoints: []EndpointStatus{}}
	for _, e := range c.members {
		s.Endpoints = append(s.Endpoints, e.status(now))
	}
	for e := range c.leaving {
		s.Endpoints = append(s.Endpoints, e.status(now))
	}
	slices.SortFunc(s.Endpoints, func(a, b EndpointStatus) int { return cmp.Compare(a.Address, b.Address) })
	return s
}

func (e *Endpoint) status(now time.Time) EndpointStatus {
	s := EndpointStatus{
		Address: e.Address.String(), Weight: e.weight, Breaker: e.breaker.String(),
		InFlight: e.active, Ghosts: e.ghosts, Resting: e.resting, Pinned: e.pinned,
		Idle: len(e.idle), Connections: e.conns, ServerType: e.Server().String(),
	}
	if d := e.dialect(); d != 0 {
		s.Dialect = d.String()
	}
	switch {
	case e.gone:
		s.State, s.Why = "removed", "no source names it any more"
	case e.drained:
		s.State, s.Why = "draining", "asked for by an operator"
	case !e.judge.Up():
		s.State, s.Why = "down", e.downFor
	case e.outlier.Ejected(now):
		s.State = "ejected"
		s.Why = e.outlier.Why().String() + ", until " + e.outlier.Until().UTC().Format(time.RFC3339)
	case s.Breaker != "closed":
		s.State, s.Why = s.Breaker, "its breaker"
	case now.Before(e.full.grow):
		s.State, s.Why = "full", "no free workers"
	default:
		s.State = "up"
	}
	return s
}

// String is the breaker's state, "closed" where there is none.
func (b *breaker) String() string {
	if b.two == nil {
		return "closed"
	}
	return b.two.State().String()
}

// ErrNoEndpoint: the cluster has no endpoint at the address.
var ErrNoEndpoint = errors.New("no such endpoint")

// Drain lets nothing new go to the endpoint at address, as Address.String gives
// it, until Undrain, even if it vanishes and comes back in between. What it has
// goes on.
func (c *Cluster) Drain(address string) error { return c.setDrained(address, true) }

// Undrain takes Drain back.
func (c *Cluster) Undrain(address string) error { return c.setDrained(address, false) }

func (c *Cluster) setDrained(address string, drained bool) error {
	c.lock()
	defer c.unlock()
	i := slices.IndexFunc(c.members, func(e *Endpoint) bool { return e.Address.String() == address })
	if i < 0 {
		for a := range c.drains { // that one is known is enough to take it back
			if !drained && a.String() == address {
				delete(c.drains, a)
				return nil
			}
		}
		return ErrNoEndpoint
	}
	e := c.members[i]
	if e.drained == drained {
		return nil
	}
	e.drained = drained
	if drained {
		c.drains[e.Address] = struct{}{}
	} else {
		delete(c.drains, e.Address)
	}
	for drained && len(e.idle) > 0 {
		c.discard(e.idle[0])
	}
	c.weigh()
	c.serveAll()
	c.note(func() {
		c.log.Info("endpoint drained or undrained by an operator", zap.String("endpoint", address), zap.Bool("drained", drained))
	})
	return nil
}

// Pause makes all calls and clients wait in the queue, until Resume or
// queue_timeout. Calls under way go on.
func (c *Cluster) Pause() { c.setPaused(true) }

// Resume takes Pause back.
func (c *Cluster) Resume() { c.setPaused(false) }

func (c *Cluster) setPaused(paused bool) {
	c.lock()
	defer c.unlock()
	if c.paused == paused {
		return
	}
	c.paused = paused
	c.metrics.Paused.Set(b2f(paused))
	c.serveAll()
	c.note(func() { c.log.Info("cluster paused or resumed by an operator", zap.Bool("paused", paused)) })
}
