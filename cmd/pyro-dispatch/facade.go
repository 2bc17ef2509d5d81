package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// facade is the name server that the dispatcher is.
type facade struct {
	cfg       *config.Config
	log       *zap.Logger
	directory *names.Directory // nil: upstream has the names
	upstream  *names.Upstream
	book      *book
	daemon    *control.Daemon
	listeners []net.Listener
	packets   []packets
}

// packets is where one listener of the name server answers broadcasts.
type packets struct {
	net.PacketConn
	names.Responder
}

// newFacade makes the name server and opens its sockets.
func newFacade(f *fleet, b *book) (n *facade, err error) {
	cfg := f.cfg
	n = &facade{cfg: cfg, log: f.log, book: b}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	var all names.Names
	if up := cfg.NameServer.Upstream; cfg.NameServer.UsesUpstream() {
		n.upstream = names.NewUpstream(func(ctx context.Context) (names.Remote, error) {
			client, err := control.Dial(ctx, nameServerClient(up.Address, wire.Dialect(up.Dialect), f.keys[up.HMACKeyFile]))
			if err != nil {
				return nil, err
			}
			return client, nil
		}, names.UpstreamConfig{Dialect: wire.Dialect(up.Dialect), Log: f.log})
		all, b.upstream = n.upstream, n.upstream.Registrations
		b.begin()
	} else {
		kept, err := f.openStore(cfg.NamesStorage(), metrics.StoreNames)
		if err != nil {
			return n, err
		}
		n.directory = names.NewDirectory(names.DirectoryConfig{
			Store: kept, Max: cfg.NameServer.MaxNames, Group: n.groupOf, Log: f.log,
		})
		if cfg.NameServer.Publish {
			n.publish()
			f.onServices(func(objects map[string]string) { n.directory.SetPublished("consul", ownNames(objects)) })
		}
		n.directory.Changed(b.changed)
		all = n.directory
	}
	f.set.Names(cfg.NameServer.MaxNames, b.count)
	server := names.NewServer(all, names.Config{
		Exposer: b, Advertise: n.advertise, MayRegister: n.trusts, Log: f.log,
	})
	counts := f.set.Calls("name-server", "name-server")
	n.daemon = control.New(control.Config{
		Lookup:     func(id string) (control.Object, bool) { return server, id == names.OwnName },
		Registered: func() []string { return []string{names.OwnName} },
		HMACKey:    f.keys[cfg.NameServer.HMACKeyFile],
		Observe:    func(e control.CallEvent) { countCall(counts, e) },
		Log:        f.log,
	})
	return n, n.listen(f.set)
}

// listen opens the name server's sockets.
func (n *facade) listen(set *metrics.Set) error {
	for i := range n.cfg.NameServer.Listeners {
		l := &n.cfg.NameServer.Listeners[i]
		ln, err := listen(l.Address)
		if err != nil {
			return fmt.Errorf("name server %s: %w", l.Name, err)
		}
		counts := set.Listener(l.Name)
		counts.Limit.Set(float64(n.daemon.Limits.Connections))
		n.listeners = append(n.listeners, &countedListener{Listener: ln, metrics: counts})
		at := n.cfg.BroadcastAddress(i)
		if at.IsZero() {
			continue
		}
		conn, err := net.ListenPacket("udp", at.Address)
		if err != nil {
			// A name server that is there already has it, perhaps: those who know where we
			// are find us all the same.
			n.log.Warn("broadcasts that look for a name server will not be answered", zap.String("listener", l.Name), zap.Error(err))
			continue
		}
		n.packets = append(n.packets, packets{conn, n.responder(l, ln.Addr())})
	}
	return nil
}

// responder is what answers broadcasts for a listener that is open at an address.
func (n *facade) responder(l *config.NameListener, opened net.Addr) names.Responder {
	r := names.Responder{Log: n.log}
	if tcp, ok := opened.(*net.TCPAddr); ok {
		r.Port = tcp.Port
		if at := tcp.AddrPort().Addr(); !at.IsUnspecified() {
			// Questions come in on every interface, and on those of others the listener cannot
			// be reached: the operator may know how it can.
			r.Bound, r.Advertise = at, names.Advertise{Host: l.Advertise.Host, Port: l.Advertise.Port}
		}
	}
	return r
}

// countedListener counts those who are connected.
type countedListener struct {
	net.Listener
	metrics *metrics.Listener
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.metrics.Started.Inc()
	l.metrics.Sessions.Inc()
	return &countedConn{Conn: c, metrics: l.metrics}, nil
}

type countedConn struct {
	net.Conn
	metrics *metrics.Listener
	once    sync.Once
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.metrics.Ended("client_closed")
		c.metrics.Sessions.Dec()
	})
	return err
}

// CloseWrite lets the daemon say its last, where the connection can.
func (c *countedConn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

func countCall(counts *metrics.Calls, e control.CallEvent) {
	outcome := metrics.Raised
	if e.Outcome == control.Answered {
		outcome = metrics.Replied
	}
	counts.Began()
	counts.Ended(outcome, e.Duration.Seconds())
}

// groupOf is the balancing group that the configuration gives a name.
func (n *facade) groupOf(r names.Registration) string {
	for _, g := range n.cfg.NameServer.Groups {
		if strings.HasPrefix(r.Name, g.Prefix) {
			return g.Name
		}
	}
	return ""
}

// listener is the configuration of the one that was asked.
func (n *facade) listener(from control.Caller) *config.NameListener {
	at := slices.IndexFunc(n.cfg.NameServer.Listeners, func(l config.NameListener) bool { return l.Name == from.Listener })
	if at < 0 {
		return new(config.NameListener)
	}
	return &n.cfg.NameServer.Listeners[at]
}

// trusts reports whether who asks may change names.
func (n *facade) trusts(from control.Caller) bool { return n.listener(from).Trusted }

// advertise is our address for who asks, as the name server.
func (n *facade) advertise(from control.Caller) names.Advertise {
	a := n.listener(from).Advertise
	return names.Advertise{Host: a.Host, Port: a.Port}
}

// publish gives names to what nobody has registered: the topics, and objects of routes.
func (n *facade) publish() {
	if n.cfg.Topics.Enabled() {
		n.directory.SetPublished("topics", ownNames(map[string]string{n.cfg.Topics.Object: n.cfg.Topics.Object}))
	}
	objects := make(map[string]string)
	for i := range n.cfg.Routes {
		for _, p := range n.cfg.Routes[i].Match.Object {
			if id, ok := p.Exact(); ok && !n.cfg.Routes[i].Match.PerCall() {
				objects[id] = id
			}
		}
	}
	n.directory.SetPublished("routes", ownNames(objects))
}

// ownNames are registrations of objects that our listener leads to, by their names.
func ownNames(objects map[string]string) (all []names.Registration) {
	for name, object := range objects {
		all = append(all, names.Registration{
			Name: name, Origin: names.Discovered,
			URI: values.URI{Protocol: "PYRO", Object: object, Host: netip.IPv4Unspecified().String(), Port: 1},
		})
	}
	return all
}

// run serves names until ctx ends.
func (n *facade) run(ctx context.Context) {
	var running sync.WaitGroup
	if n.directory != nil {
		running.Go(func() { n.directory.Run(ctx) })
	}
	running.Go(func() { n.book.run(ctx) })
	for i, ln := range n.listeners {
		name := n.cfg.NameServer.Listeners[i].Name
		n.log.Info("name server listening", zap.String("listener", name), zap.Stringer("address", ln.Addr()))
		running.Go(func() {
			if err := n.daemon.Serve(ctx, ln, name); err != nil {
				n.log.Error("name server stopped", zap.String("listener", name), zap.Error(err))
			}
		})
	}
	for _, p := range n.packets {
		running.Go(func() {
			if err := p.Serve(ctx, p.PacketConn); err != nil {
				n.log.Error("broadcasts are answered no longer", zap.Error(err))
			}
		})
	}
	running.Wait()
	if n.upstream != nil {
		n.upstream.Close()
	}
}

// close closes the sockets of a name server that will not run.
func (n *facade) close() {
	for _, ln := range n.listeners {
		ln.Close()
	}
	for _, p := range n.packets {
		p.Close()
	}
}
