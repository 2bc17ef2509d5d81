package relay_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// setup is what a test changes of a server with one listener, one route and
// one cluster. Its zero value is a sound one in front of one daemon.
type setup struct {
	Second bool // there is another listener, called "second"
	Shared bool // which has the first one's limits
	// Daemons are the first endpoints, each one listening anew for either
	// dialect; a plain one where there are none, and no Endpoints either.
	Daemons []*pyrotest.Daemon
	// Learn leaves it to the relay to learn the daemons' dialects. Each then
	// listens once.
	Learn bool
	// ShapeDaemon, if set, wraps the daemons' ends of their connections.
	ShapeDaemon func(net.Conn) net.Conn
	// Endpoints are further ones, which the test looks after.
	Endpoints []net.Addr
	// Back is the daemons' transport, where it is not the clients'.
	Back transport

	Listener       func(net.Listener) net.Listener // wraps the clients' listener
	Env            func(*router.Env)               // changes the listener's
	MaxSessions    int                             // 1000 where 0
	MaxPerSource   int
	BufferMemory   int64         // 16 MiB where 0
	Spill          relay.Spill   // nothing is kept on disk where it is the zero value
	DrainTimeout   time.Duration // a minute where 0
	ConnectTimeout time.Duration // 5 s where 0
	Call           bool          // the route is of mode call
	NoGraph        bool          // calls are not looked at for where they come from
	Route          func(*router.Route)
	Calls          func(r *rig) []*router.Route // routes of calls
	Cluster        func(*backend.Config)
	// Serve is what the server is expected to return.
	Serve error
}

// limitMessage sets the limit of message sizes.
func limitMessage(n int64) func(*router.Env) {
	return func(e *router.Env) { e.Limits.Message = n }
}

// rig is a running server and what surrounds it. When its test ends, the
// clients are closed, then the server is stopped, and everything it counts must
// be back at zero.
type rig struct {
	testing.TB
	transport
	setup setup
	addr  net.Addr // for clients
	addr2 net.Addr // of the second listener
	logs  *observer.ObservedLogs
	set   *metrics.Set
	graph *inflight.Graph // nil: NoGraph

	cluster *backend.Cluster
	members []backend.Member // in the order of the daemons, for each dialect
	tended  chan struct{}    // closed when the cluster's Run has ended
	cancel  context.CancelFunc
	leave   context.CancelFunc // ends the cluster's Run
	served  chan error
	once    sync.Once
}

func start(tb testing.TB, tr transport, s setup) *rig {
	tb.Helper()
	r := &rig{TB: tb, transport: tr, setup: s.withDefaults(tr), served: make(chan error, 1)}
	core, logs := observer.New(zapcore.DebugLevel)
	r.logs, r.set = logs, metrics.New(metrics.Build{})
	// Tests gather often, and these take long.
	r.set.Registry.Unregister(collectors.NewGoCollector())
	r.set.Registry.Unregister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	ln := tr.listen(tb)
	r.addr = ln.Addr()
	if s.Listener != nil {
		ln = s.Listener(ln)
	}
	table := r.table()
	listeners := []relay.ListenerConfig{r.listener(ln, "main", table)}
	if s.Second {
		ln := tr.listen(tb)
		r.addr2 = ln.Addr()
		second := r.listener(ln, "second", table)
		if s.Shared {
			second.With, second.MaxSessions, second.MaxPerSource = listeners[0].Net, 1<<20, 0
		}
		listeners = append(listeners, second)
	}
	var graph *inflight.Graph
	if !s.NoGraph {
		graph = inflight.New(10_000)
		r.graph = graph
	}
	server := relay.NewServer(relay.Config{
		Graph:        graph,
		Listeners:    listeners,
		BufferMemory: r.setup.BufferMemory,
		Spill:        r.setup.Spill,
		DrainTimeout: r.setup.DrainTimeout,
		Metrics:      r.set,
		Log:          zap.New(core),
	})
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	clusterCtx, leave := context.WithCancel(context.Background())
	r.leave, r.tended = leave, make(chan struct{})
	go func() {
		defer close(r.tended)
		if s.Call || s.Cluster != nil {
			r.cluster.Run(clusterCtx)
		}
	}()
	go func() { r.served <- server.Serve(ctx) }()
	tb.Cleanup(r.stop)
	return r
}

func (s setup) withDefaults(tr transport) setup {
	if len(s.Daemons) == 0 && len(s.Endpoints) == 0 {
		s.Daemons = []*pyrotest.Daemon{{}}
	}
	if s.Back == nil {
		s.Back = tr
	}
	if s.MaxSessions == 0 {
		s.MaxSessions = 1000
	}
	if s.BufferMemory == 0 {
		s.BufferMemory = 16 << 20
	}
	if s.DrainTimeout == 0 {
		s.DrainTimeout = time.Minute
	}
	if s.ConnectTimeout == 0 {
		s.ConnectTimeout = 5 * time.Second
	}
	return s
}

func (r *rig) listener(ln net.Listener, name string, table func() *router.Table) relay.ListenerConfig {
	env := router.Env{
		Listener: name,
		Table:    table,
		Limits: router.Limits{
			Message: 1<<31 - 1, Annotations: 64 << 10, Handshake: 1 << 20, StoreAndForward: 64 << 10, Delivery: 4 << 20,
		},
		DefaultDialect: wire.V502,
		HandshakeTime:  10 * time.Second,
		RequestTime:    30 * time.Second,
		LingerTime:     2 * time.Second,
		Timeouts:       router.Timeouts{Connect: router.Inherit, Queue: router.Inherit},
		Metrics:        r.set.Listener(name),
	}
	if r.setup.Env != nil {
		r.setup.Env(&env)
	}
	return relay.ListenerConfig{
		Net: ln, Env: env, MaxSessions: r.setup.MaxSessions, MaxPerSource: r.setup.MaxPerSource,
	}
}

// table starts the daemons and makes the one route to them.
func (r *rig) table() func() *router.Table {
	var endpoints []backend.Member
	add := func(a net.Addr, d wire.Dialect) {
		endpoints = append(endpoints, backend.Member{
			Address: backend.Address{Network: a.Network(), Addr: a.String()},
			Dialect: d,
		})
	}
	declared := dialects
	if r.setup.Learn {
		declared = []wire.Dialect{0}
	}
	for _, daemon := range r.setup.Daemons {
		for _, d := range declared {
			l := r.setup.Back.listen(r)
			add(l.Addr(), d)
			if r.setup.ShapeDaemon != nil {
				l = &shapingListener{l, r.setup.ShapeDaemon}
			}
			daemon.Start(l)
		}
		r.Cleanup(daemon.Close)
	}
	for _, a := range r.setup.Endpoints {
		add(a, 0)
	}
	r.members = endpoints
	config := backend.Config{
		Name:           "cluster",
		Members:        endpoints,
		Retries:        -1,
		GhostTimeout:   time.Minute,
		ConnectTimeout: r.setup.ConnectTimeout,
		Dialer:         r.setup.Back,
		Metrics:        r.set,
	}
	route := &router.Route{Name: "route", Calls: r.set.Calls("route", "cluster"), Policy: router.Policy{Preserve: true}}
	route.Timeouts.Connect, route.Timeouts.Queue = router.Inherit, router.Inherit
	if r.setup.Call {
		route.Mode, route.ShareHandshake, route.StreamIdleTime = router.ModeCall, true, 10*time.Minute
		config.Adopt = relay.Adopt
		config.MaxConnections, config.MaxPinned = 4, 2
		config.Queue, config.QueueTimeout = 1024, r.patience()
	}
	if r.setup.Cluster != nil {
		r.setup.Cluster(&config)
	}
	if r.setup.Route != nil {
		r.setup.Route(route)
	}
	r.cluster = backend.NewCluster(config)
	route.Cluster = r.cluster
	routes := []*router.Route{route}
	if r.setup.Calls != nil {
		routes = append(routes, r.setup.Calls(r)...)
	}
	table := router.NewTable(routes)
	return func() *router.Table { return table }
}

// daemon is the first of the daemons.
func (r *rig) daemon() *pyrotest.Daemon { return r.setup.Daemons[0] }

// dial connects a client, which the test's end closes.
func (r *rig) dial(c pyrotest.Client) *pyrotest.Client {
	r.Helper()
	return r.dialTo(r.addr, c)
}

func (r *rig) dialTo(a net.Addr, c pyrotest.Client) *pyrotest.Client {
	r.Helper()
	conn, err := dialContext(r, a)
	noError(r, err)
	r.Cleanup(func() { _ = conn.Close() })
	if c.Timeout == 0 {
		c.Timeout = r.patience()
	}
	return pyrotest.NewClient(conn, c)
}

// connect is dial and the handshake.
func (r *rig) connect(c pyrotest.Client) *pyrotest.Client {
	r.Helper()
	client := r.dial(c)
	_, err := client.Connect("some.object")
	noError(r, err)
	return client
}

// stop ends the server, and looks at what it leaves.
func (r *rig) stop() {
	r.once.Do(func() {
		r.Helper()
		r.cancel()
		select {
		case err := <-r.served:
			if err != r.setup.Serve {
				r.Errorf("Serve returned %v, not %v", err, r.setup.Serve)
			}
		case <-time.After(r.setup.DrainTimeout + r.patience()):
			r.Fatal("Serve does not return")
		}
		r.leave()
		<-r.tended
		if r.setup.Call {
			for _, d := range r.setup.Daemons { // what is idle is closed, and ghosts end with their daemons
				d.Close()
			}
			r.waitValue(0, "endpoint_connections")
		}
		if r.graph != nil {
			pyrotest.WaitZero(r, "calls in the graph", func() float64 { return float64(r.graph.Len()) })
		}
		for _, gauge := range []string{
			"sessions", "calls_in_flight", "endpoint_connections", "buffer_memory_bytes", "spill_bytes", "spill_files",
			"endpoint_leases", "endpoint_ghosts", "endpoint_pinned", "queue_length",
		} {
			if v := r.value(gauge); v != 0 {
				r.Errorf("%s is %v at the end", gauge, v)
			}
		}
		if started, ended := r.value("sessions_started_total"), r.value("sessions_ended_total"); started != ended {
			r.Errorf("%v sessions have started, %v have ended", started, ended)
		}
		if lines, ended := r.logs.FilterMessage("session ended").Len(), r.value("sessions_ended_total"); lines != int(ended) {
			r.Errorf("%v sessions have ended, the log says so of %d", ended, lines)
		}
	})
}
