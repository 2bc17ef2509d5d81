package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// lingerTime bounds how long a connection that we have closed is still read, so
// that what we sent last arrives.
const lingerTime = 2 * time.Second

// assemble makes the parts of the dispatcher that the configuration describes,
// except for opening its listeners.
func assemble(cfg *config.Config, set *metrics.Set, log *zap.Logger) (relay.Config, error) {
	table, err := newTable(cfg, set)
	if err != nil {
		return relay.Config{}, err
	}
	c := relay.Config{
		BufferMemory: int64(cfg.Limits.BufferMemory),
		DrainTimeout: cfg.DrainTimeout,
		Metrics:      set,
		Log:          log,
	}
	fits := sessionsThatFit(len(cfg.Listeners))
	for _, l := range cfg.Listeners {
		most := l.MaxSessions
		if most > fits {
			log.Info("fewer sessions than max_sessions: the limit of open files is too low (ulimit -n)",
				zap.String("listener", l.Name), zap.Int("max_sessions", most), zap.Int("sessions", fits))
			most = fits
		}
		c.Listeners = append(c.Listeners, relay.ListenerConfig{
			Env: router.Env{
				Listener: l.Name,
				Table:    func() *router.Table { return table },
				Limits: router.Limits{
					Message:         int64(cfg.Limits.MaxMessageSize),
					Annotations:     int64(cfg.Limits.MaxRequestAnnotations),
					Handshake:       int64(cfg.Limits.MaxHandshake),
					StoreAndForward: int64(cfg.Limits.StoreAndForward),
				},
				DefaultDialect: wire.Dialect(l.DefaultDialect),
				HandshakeTime:  l.HandshakeTimeout,
				RequestTime:    l.RequestTimeout,
				LingerTime:     lingerTime,
				Metrics:        set.Listener(l.Name),
			},
			MaxSessions:  most,
			MaxPerSource: l.MaxSessionsPerSource,
		})
	}
	return c, nil
}

// newTable makes the clusters and the routes to them.
func newTable(cfg *config.Config, set *metrics.Set) (*router.Table, error) {
	clusters := make(map[string]*backend.Cluster)
	for _, c := range cfg.Clusters {
		bc := backend.ClusterConfig{
			Name:           c.Name,
			ConnectTimeout: c.ConnectTimeout,
			Dialer:         &net.Dialer{},
			Metrics:        set,
		}
		for _, e := range c.Static {
			bc.Endpoints = append(bc.Endpoints, backend.EndpointConfig{
				Address: backend.Address{Network: e.Address.Network, Addr: e.Address.Address},
				Dialect: wire.Dialect(e.Dialect),
			})
		}
		clusters[c.Name] = backend.NewCluster(bc)
	}
	var routes []*router.Route
	for _, r := range cfg.Routes {
		route := &router.Route{
			Name:      r.Name,
			Listeners: r.Match.Listener,
			Sources:   r.Match.Source,
			Cluster:   clusters[r.Cluster],
			Calls:     set.Calls(r.Name, r.Cluster),
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
		routes = append(routes, route)
	}
	return router.NewTable(routes), nil
}

// manyFiles stands for no limit that matters.
const manyFiles = 1 << 22

// sessionsThatFit is each listener's share of the sessions that the limit of
// open files allows. A session takes two descriptors, and some are kept back:
// for listeners, the admin server, and the pipes that large bodies go through.
func sessionsThatFit(listeners int) int {
	const keptBack = 128
	return max(1, (openFiles()-keptBack)/2/listeners)
}

// listen opens a TCP or Unix socket. A socket file that nobody listens on any
// more, left behind by a process that was killed, is replaced.
func listen(a config.Address) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), a.Network, a.Address)
	if err == nil || a.Network != "unix" || !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	if info, statErr := os.Lstat(a.Address); statErr != nil || info.Mode().Type() != fs.ModeSocket {
		return nil, err
	}
	c, dialErr := net.DialTimeout("unix", a.Address, time.Second)
	if !errors.Is(dialErr, syscall.ECONNREFUSED) {
		if dialErr == nil {
			c.Close()
		}
		return nil, err
	}
	if err := os.Remove(a.Address); err != nil {
		return nil, err
	}
	return lc.Listen(context.Background(), a.Network, a.Address)
}
