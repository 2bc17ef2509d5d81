package backend

import (
	"context"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/balance"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Dialer makes connections to endpoints; net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Cluster is a set of endpoints that serve the same objects. It is safe for
// concurrent use.
//
// One lock guards the cluster, its endpoints, their connections and the queue.
// It is held for short computations only: whatever dials, reads, writes, logs or
// calls back happens without it, or in unlock.
type Cluster struct {
	cfg     Config
	name    string
	log     *zap.Logger
	metrics *metrics.Cluster

	mu         sync.Mutex
	released   []*Endpoint            // where something has become free
	notes      []func()               // to be called when the lock is free
	known      bool                   // some source has told who the members are
	bySource   [][]Member             // nil: that source has not said anything yet
	spoken     int                    // how many sources have
	members    []*Endpoint            // those that may be chosen
	byAddress  map[Address]*Endpoint  // the members
	leaving    map[*Endpoint]struct{} // those that vanished and are not done yet
	pickers    map[wire.Dialect]balance.Picker
	repicked   bool // others have been before those
	asked      choice
	panicking  bool // so few are well that all are used
	paused     bool
	waiting    queue
	handshakes map[[32]byte]*Handshake
	warming    map[warmth]struct{}
	warmFrom   int // the member that replenish begins with
	drains     map[Address]struct{}
	budget     budget

	running context.Context // of Run; nil before it, and after
	stopped bool            // Run has ended
	tasks   sync.WaitGroup  // health checks, and connections that nobody asked for
}

// NewCluster makes a cluster. It connects to nothing: daemons are called when
// a client comes, since a connection without a CONNECT can block one. Without
// Run it has no members but the static ones, and checks nobody's health.
func NewCluster(cfg Config) *Cluster {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	c := &Cluster{
		cfg:        cfg,
		name:       cfg.Name,
		log:        cfg.Log.With(zap.String("cluster", cfg.Name)),
		metrics:    cfg.Metrics.Cluster(cfg.Name),
		leaving:    make(map[*Endpoint]struct{}),
		pickers:    make(map[wire.Dialect]balance.Picker),
		handshakes: make(map[[32]byte]*Handshake),
		warming:    make(map[warmth]struct{}),
		drains:     make(map[Address]struct{}),
		bySource:   make([][]Member, 1+len(cfg.Sources)),
		known:      len(cfg.Sources) == 0,
	}
	c.asked.cluster = c
	c.budget = newBudget(cfg.RetryBudget)
	c.showLimits()
	c.SetMembers(0, cfg.Members)
	return c
}

// Name is the cluster's name in the configuration.
func (c *Cluster) Name() string { return c.name }

// GhostTimeout is how long a daemon is waited for that is at work for nobody; 0: not
// at all.
func (c *Cluster) GhostTimeout() time.Duration { return c.cfg.GhostTimeout }

// Key is what messages from and for its daemons are signed with; nil: they are not, or
// we have not got it.
func (c *Cluster) Key() wire.Key { return c.cfg.Key }

// Run keeps the cluster current until ctx ends: it listens to the sources,
// checks health, and tends the pools. It returns when everything that it
// started has ended, and the idle connections are closed. Leases go on.
func (c *Cluster) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.lock()
	c.running = ctx
	for _, e := range c.members {
		c.startChecks(e)
	}
	c.unlock()
	var sources sync.WaitGroup
	for i, s := range c.cfg.Sources {
		sources.Go(func() { s.Run(ctx, func(m []Member) { c.SetMembers(1+i, m) }) })
	}
	c.tend(ctx)
	sources.Wait()
	c.lock()
	c.running, c.stopped = nil, true
	c.unlock()
	c.tasks.Wait()
	c.closeIdle(time.Now().Add(time.Hour))
}

// lock and unlock are the cluster's lock. What has become free meanwhile is given
// to those who wait, and what note has been given is called when the lock is
// free: logs may block, and callbacks may come back.
func (c *Cluster) lock() { c.mu.Lock() }

func (c *Cluster) unlock() {
	for len(c.released) > 0 {
		last := len(c.released) - 1
		e := c.released[last]
		c.released = c.released[:last]
		e.released = false
		c.serveFrom(e)
	}
	notes := c.notes
	c.notes = nil
	c.mu.Unlock()
	for _, f := range notes {
		f()
	}
}

func (c *Cluster) note(f func()) { c.notes = append(c.notes, f) }

// freed says that something has become free at e. Those who wait are served when
// the lock is about to be released, not here: whoever calls this is in the middle
// of something.
func (c *Cluster) freed(e *Endpoint) {
	if c.waiting.len() > 0 && !e.released {
		e.released = true
		c.released = append(c.released, e)
	}
}
