package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/topics"
)

// Names of what the topics are made of, in logs and metrics.
const (
	topicsCluster = "topics"          // the listeners
	ownCluster    = "topics-registry" // the object at which they register
)

// board is the registry of topics with what makes it work: an object of ours, to which
// a route of clients leads, and a route of calls to the listeners.
type board struct {
	object    string
	registry  *topics.Registry
	listeners *backend.Cluster
	own       *backend.Cluster
	routes    []*router.Route
	forget    time.Duration
	handshake string // of CONNECTs for listeners
	objects   objects
	log       *zap.Logger
	where     atomic.Pointer[map[string]topics.Listener] // by address
	daemon    *inside                                    // has the registry
	stop      context.CancelFunc                         // ends the daemon's connections
}

// newBoard makes the topics that the configuration describes.
func newBoard(f *fleet) (*board, error) {
	cfg := &f.cfg.Topics
	kept, err := f.openStore(f.cfg.TopicsStorage(), metrics.StoreTopics)
	if err != nil {
		return nil, err
	}
	b := &board{object: cfg.Object, forget: cfg.ForgetAfter, handshake: cfg.Handshake, log: f.log}
	b.registry = topics.New(topics.Config{
		Store: kept, Allow: cfg.Allow, AllowUnix: cfg.AllowUnix,
		MaxTopics: cfg.MaxTopics, MaxListenersPerTopic: cfg.MaxListeners, MaxAge: cfg.ForgetAfter, Log: f.log,
	})
	b.where.Store(&map[string]topics.Listener{})

	cc := config.DefaultCluster()
	cc.Name, cc.HMACKeyFile = topicsCluster, cfg.HMACKeyFile
	bounds := cc.Bounds(true)
	bc := f.clusterConfig(&cc, bounds, nil)
	bc.Dialer = b
	b.listeners = backend.NewCluster(bc)
	b.registry.Changed(b.changed)
	f.set.Topics(cfg.MaxTopics, cfg.MaxListeners, b.registry.Known,
		func() int { return len(b.perTopic()) },
		func() int { return len(b.registry.All()) },
		func() (most int) {
			for _, n := range b.perTopic() {
				most = max(most, n)
			}
			return most
		},
		func() int { return int(b.objects.missing.Load()) })

	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	cc.Name = ownCluster
	cc.HealthCheck.Enabled, cc.Breaker.Enabled, cc.Outlier.Enabled = false, false, false
	bc = f.clusterConfig(&cc, cc.Bounds(false), nil)
	bc.Health.AskServer = false
	bc.Members = insideMembers
	b.daemon = &inside{ctx: ctx, name: ownCluster, daemon: control.New(control.Config{
		Lookup:     func(id string) (control.Object, bool) { return b.registry, id == b.object },
		Registered: func() []string { return []string{b.object} },
		HMACKey:    f.keys[cfg.HMACKeyFile], Unsigned502: true,
		Log: f.log,
	})}
	bc.Dialer = b.daemon
	b.own = backend.NewCluster(bc)
	return b, b.makeRoutes(f, cfg)
}

// makeRoutes makes the one to the registry, and that of the blobs.
func (b *board) makeRoutes(f *fleet, cfg *config.Topics) error {
	object := exactly(b.object)
	r, cc := config.DefaultRoute(), config.DefaultCluster()
	r.Name, cc.Name = ownCluster, ownCluster
	r.Match.Listener = cfg.Listener
	own, err := f.newRoute(&r, &cc, b.own)
	if err != nil {
		return err
	}
	own.Objects = []router.Glob{object}

	r.Name, cc.Name = topicsCluster, topicsCluster
	r.Mode, r.Timeout = config.ModeCall, cfg.Timeout
	blobs, err := f.newRoute(&r, &cc, b.listeners)
	if err != nil {
		return err
	}
	blobs.Call = &router.CallMatch{
		Blob:       true,
		Fields:     []router.FieldMatch{{Field: router.ObjectField, Globs: []router.Glob{object}}},
		NotMethods: []string{"register", "unregister", "topics"},
	}
	blobs.Deliver = router.Deliver{
		To: toOf(cfg.Delivery), Quorum: quorumOf(cfg.Wait), Unheard: cfg.NoListener == config.NoListenerNone,
		Handshake: cfg.Handshake, Listeners: b.places,
	}
	b.routes = []*router.Route{blobs, own}
	return nil
}

// perTopic counts the listeners of each topic.
func (b *board) perTopic() map[topics.Topic]int {
	n := make(map[topics.Topic]int)
	for _, l := range b.registry.All() {
		n[l.Topic]++
	}
	return n
}

// places gives the listeners of a topic, as soon as they are known.
func (b *board) places(info blob.Scalar) (places []backend.Place, known bool) {
	known = b.registry.Known() // before they are looked at: they may become known meanwhile
	listeners := b.registry.Listeners(topics.Topic{Number: info.Kind == blob.Number, Text: info.String()})
	places = make([]backend.Place, 0, len(listeners))
	for _, l := range listeners {
		if l.Object != b.object { // a registry that listens to itself would never come to an end
			places = append(places, backend.Place{Address: backend.Address{Network: l.Network, Addr: l.Address}, Object: l.Object})
		}
	}
	return places, known
}

// changed makes the listeners' daemons the members of their cluster.
func (b *board) changed(all []topics.Listener) {
	where := make(map[string]topics.Listener)
	var members []backend.Member
	for _, l := range all {
		if _, known := where[l.Address]; known {
			continue
		}
		where[l.Address] = l
		members = append(members, backend.Member{
			Address: backend.Address{Network: l.Network, Addr: l.Address}, Dialect: l.Dialect,
		})
	}
	b.where.Store(&where)
	b.listeners.SetMembers(0, members)
}

// DialContext is backend.Dialer's. A name may have come to mean another address since
// the listener registered, so that what it means now is what is allowed or not.
func (b *board) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	l, ok := (*b.where.Load())[address]
	if !ok || network == "unix" {
		return d.DialContext(ctx, network, address)
	}
	addresses, err := b.registry.Resolve(ctx, l)
	if err != nil {
		return nil, err
	}
	for _, at := range addresses {
		var c net.Conn
		if c, err = d.DialContext(ctx, network, at.String()); err == nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("listener %s: %w", l.URI(), err)
}

// run keeps the topics current until ctx ends.
func (b *board) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { b.listeners.Run(ctx) })
	running.Go(func() { b.own.Run(ctx) })
	running.Go(func() { b.registry.Run(ctx) })
	running.Go(func() { b.age(ctx) })
	running.Wait()
	b.stop()
	b.daemon.close()
}

// age drops listeners that have not been there for long.
func (b *board) age(ctx context.Context) {
	every := time.Minute
	if b.forget > 0 {
		every = min(every, b.forget/5)
	}
	ticker := time.NewTicker(max(every, time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if b.forget > 0 {
				b.look(ctx, now)
			}
			b.confirm(now)
			b.registry.Age(ctx, func(l topics.Listener) bool { return b.dead(l, now) })
		}
	}
}
