package backend

import (
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/balance"
	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// SetMembers tells the cluster what source i knows: 0 is the configuration, the
// others are those of Config.Sources, from 1. All sources' members together are
// the cluster's; of an address that several name the first one's word counts.
// What is no longer named takes nothing new, and keeps what it has until that
// ends by itself.
func (c *Cluster) SetMembers(i int, members []Member) {
	c.lock()
	defer c.unlock()
	c.known = c.known || i > 0
	settled := c.spoken == len(c.bySource) // what came before the last source is no news
	if c.bySource[i] == nil {
		c.spoken++
	}
	c.bySource[i] = append([]Member{}, members...)
	old := make(map[Address]*Endpoint, len(c.members)+len(c.leaving))
	for _, e := range c.members {
		old[e.Address] = e
	}
	for e := range c.leaving {
		old[e.Address] = e
	}
	before := c.members
	var next []*Endpoint
	named := make(map[*Endpoint]bool)
	changed := false
	for _, list := range c.bySource {
		for _, m := range list {
			e := old[m.Address]
			switch {
			case e == nil:
				e = c.newEndpoint(m, settled)
				old[m.Address] = e
			case named[e]:
				e.addObject(m.Object)
				continue
			case e.gone:
				c.welcomeBack(e)
			}
			named[e] = true
			changed = changed || e.weight != max(1, m.Weight)
			e.weight, e.declared, e.objects = max(1, m.Weight), m.Dialect, nil
			e.addObject(m.Object)
			next = append(next, e)
		}
	}
	c.members = next
	c.byAddress = make(map[Address]*Endpoint, len(next))
	for _, e := range next {
		c.byAddress[e.Address] = e
	}
	if changed || !slices.Equal(before, next) {
		c.repick()
	}
	for _, e := range before {
		if !named[e] {
			c.dismiss(e)
		}
	}
	c.weigh()
	c.serveAll()
}

// addObject notes an object that a member names, once.
func (e *Endpoint) addObject(id string) {
	if id != "" && !slices.Contains(e.objects, id) {
		e.objects = append(e.objects, id)
	}
}

// newEndpoint makes an endpoint. One that is news begins with slow start: a cluster
// whose first members all did would serve nobody better for it.
func (c *Cluster) newEndpoint(m Member, news bool) *Endpoint {
	e := &Endpoint{
		kick:    make(chan struct{}, 1),
		Address: m.Address,
		metrics: c.cfg.Metrics.Endpoint(c.name, m.Address.String()),
		judge:   health.NewJudge(c.cfg.Health.Rise, c.cfg.Health.Fall),
		outlier: health.NewOutlier(c.cfg.Outlier),
		leases:  make(map[*Lease]struct{}),
	}
	_, e.drained = c.drains[e.Address]
	e.breaker = newBreaker(c, e)
	if news {
		e.upSince = time.Now()
		c.note(func() { c.log.Info("endpoint added", zap.Stringer("endpoint", e.Address)) })
	}
	c.startChecks(e)
	return e
}

// welcomeBack takes in an endpoint that had vanished and is still in use.
func (c *Cluster) welcomeBack(e *Endpoint) {
	delete(c.leaving, e)
	e.gone = false
	_, e.drained = c.drains[e.Address]
	e.upSince = time.Now()
	c.startChecks(e)
	c.note(func() { c.log.Info("endpoint is back", zap.Stringer("endpoint", e.Address)) })
}

// dismiss lets an endpoint go that no source names any more.
func (c *Cluster) dismiss(e *Endpoint) {
	e.gone = true
	if e.stop != nil {
		e.stop()
		e.stop = nil
	}
	c.note(func() {
		c.log.Info("endpoint removed: it drains", zap.Stringer("endpoint", e.Address))
	})
	c.leaving[e] = struct{}{}
	for len(e.idle) > 0 {
		c.discard(e.idle[0])
	}
	c.forgetGone(e)
}

// forgetGone drops an endpoint that has vanished, when nothing is left of it.
func (c *Cluster) forgetGone(e *Endpoint) {
	if _, ok := c.leaving[e]; !ok || e.conns > 0 {
		return
	}
	delete(c.leaving, e)
	for _, h := range c.handshakes {
		delete(h.said, e)
	}
	e.metrics.Remove()
}

// picker is the one for a dialect: the turns of either do not depend on how many
// clients of the other come.
func (c *Cluster) picker(d wire.Dialect) balance.Picker {
	if p := c.pickers[d]; p != nil {
		return p
	}
	weights := make([]int, len(c.members))
	for i, e := range c.members {
		weights[i] = e.weight
	}
	var p balance.Picker
	switch c.cfg.Balance {
	case LeastRequest:
		p = balance.NewLeastRequest(weights, c.load, c.rampOf(), rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	case Hash:
		names := make([]string, len(c.members))
		for i, e := range c.members {
			names[i] = e.Address.String()
		}
		p = balance.NewHash(names, weights)
	default:
		p = balance.NewRoundRobin(weights, c.rampOf())
		for range c.turnsTaken(len(weights)) {
			p.Pick(0, anyone)
		}
	}
	c.pickers[d] = p
	return p
}

// repick has the pickers made anew, for other members or weights.
func (c *Cluster) repick() {
	c.repicked = c.repicked || len(c.pickers) > 0
	clear(c.pickers)
}

// turnsTaken is how many turns a new round begins with: none at the start, and any
// number after a change. With none, frequent changes would favour the first ones.
func (c *Cluster) turnsTaken(n int) int {
	if !c.repicked || n == 0 {
		return 0
	}
	return rand.IntN(n)
}

func anyone(int) bool { return true }

// load is how many calls or sessions an endpoint has, those included that were
// given up while it was at work for us.
func (c *Cluster) load(i int) int { return c.members[i].busy() }

// rampOf gives slow start's factor, nil where there is none.
func (c *Cluster) rampOf() func(int) float64 {
	if c.cfg.SlowStart == 0 {
		return nil
	}
	return func(i int) float64 {
		e := c.members[i]
		if e.upSince.IsZero() {
			return 1
		}
		since := c.asked.now.Sub(e.upSince)
		if since >= c.cfg.SlowStart {
			e.upSince = time.Time{}
			return 1
		}
		return health.Ramp(since, c.cfg.SlowStart)
	}
}

// weigh looks whether so few endpoints are well that all must be used.
func (c *Cluster) weigh() {
	now := time.Now()
	good, all := 0, 0
	for _, e := range c.members {
		e.breaker.admits() // time alone may have changed it, and somebody may be looking
		e.metrics.Draining.Set(b2f(e.drained))
		if e.drained {
			continue
		}
		all++
		if e.judge.Up() && !e.outlier.Ejected(now) {
			good++
		}
		e.metrics.Up.Set(b2f(e.judge.Up()))
		e.metrics.Ejected.Set(b2f(e.outlier.Ejected(now)))
	}
	c.metrics.Members.Set(float64(len(c.members)))
	c.metrics.Healthy.Set(float64(good))
	panicking := health.Panic(good, all, c.cfg.PanicThreshold)
	if panicking == c.panicking {
		return
	}
	c.panicking = panicking
	c.metrics.Panic.Set(b2f(panicking))
	c.note(func() {
		if panicking {
			c.log.Warn("too few endpoints are well: all are used", zap.Int("well", good), zap.Int("endpoints", all))
		} else {
			c.log.Info("enough endpoints are well again", zap.Int("well", good), zap.Int("endpoints", all))
		}
	})
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Reconfigure changes how endpoints are chosen and how many connections each may
// have. What is open beyond that is closed as it becomes idle.
func (c *Cluster) Reconfigure(b Balance, maxConnections, nestedReserve, maxPinned int) {
	c.lock()
	defer c.unlock()
	if c.cfg.Balance == b && c.cfg.MaxConnections == maxConnections &&
		c.cfg.NestedReserve == nestedReserve && c.cfg.MaxPinned == maxPinned {
		return
	}
	c.cfg.Balance, c.cfg.MaxConnections = b, maxConnections
	c.cfg.NestedReserve, c.cfg.MaxPinned = nestedReserve, maxPinned
	c.showLimits()
	c.repick()
	for _, e := range c.members {
		for c.overfull(e) && len(e.idle) > 0 {
			c.discard(e.idle[0])
		}
	}
	c.serveAll()
}

func (c *Cluster) showLimits() {
	c.metrics.QueueLimit.Set(float64(c.cfg.Queue))
	c.metrics.ConnectionsLimit.Set(float64(c.cfg.MaxConnections))
	c.metrics.PinnedLimit.Set(float64(c.cfg.MaxPinned))
}
