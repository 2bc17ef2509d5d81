package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// lingerTime bounds how long a connection that we have closed is still read, so
// that what we sent last arrives.
const lingerTime = 2 * time.Second

// assemble makes the server that the configuration describes, except for opening
// its listeners. Its routes lead to the fleet's clusters.
func assemble(cfg *config.Config, f *fleet, set *metrics.Set, log *zap.Logger) relay.Config {
	c := relay.Config{
		BufferMemory: int64(cfg.Limits.BufferMemory),
		Spill:        spill(&cfg.Limits, log),
		DrainTimeout: cfg.DrainTimeout,
		Hops:         f.hops,
		Metrics:      set,
		Log:          log,
	}
	fits := sessionsThatFit(len(cfg.Listeners), &c.Spill)
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
				Table:    f.table.Load,
				Limits: router.Limits{
					Message:         int64(cfg.Limits.MaxMessageSize),
					Annotations:     int64(cfg.Limits.MaxRequestAnnotations),
					Handshake:       int64(cfg.Limits.MaxHandshake),
					StoreAndForward: int64(cfg.Limits.StoreAndForward),
					Delivery:        deliverable(cfg),
				},
				DefaultDialect: wire.Dialect(l.DefaultDialect),
				HandshakeTime:  l.HandshakeTimeout,
				RequestTime:    l.RequestTimeout,
				LingerTime:     lingerTime,
				Timeouts:       listenerTimes(&cfg.Defaults, &l),
				Metrics:        set.Listener(l.Name),
				Key:            f.keys[l.HMACKeyFile],
			},
			MaxSessions:  most,
			MaxPerSource: l.MaxSessionsPerSource,
		})
	}
	return c
}

// deliverable is the largest request that takes a route of its own, and so is kept: it
// must fit into what is left of the buffer memory beside CONNECTs.
func deliverable(cfg *config.Config) int64 {
	return min(int64(cfg.Limits.FanoutMemory), int64(cfg.Limits.BufferMemory)/4)
}

// spill says where large dispatched requests are kept on disk. Where that cannot be done they
// are kept in memory, as far as they fit.
func spill(l *config.Limits, log *zap.Logger) relay.Spill {
	s := relay.Spill{Bytes: int64(l.SpillBytes), Threshold: int64(l.SpillThreshold), Dir: l.SpillDir}
	if s.Bytes == 0 {
		return s
	}
	if s.Dir == "" {
		s.Dir = os.TempDir()
	}
	if err := relay.TrySpill(s.Dir); err != nil {
		log.Warn("large dispatched calls cannot be kept on disk: they are kept in memory, or refused", zap.String("setting", "limits.spill_dir"), zap.Error(err))
		return relay.Spill{}
	}
	return s
}

// manyFiles stands for no limit that matters.
const manyFiles = 1 << 22

// sessionsThatFit is each listener's share of the sessions that the limit of
// open files allows. A session takes two descriptors, and some are kept back:
// for listeners, the admin server, the pipes that large bodies go through, and the files
// that requests are kept in, if there are descriptors enough for all of those.
func sessionsThatFit(listeners int, s *relay.Spill) int {
	const keptBack = 128
	files := 0
	if s.Bytes > 0 {
		files = int(min(s.Bytes/max(s.Threshold, 1), int64(openFiles()/8)))
	}
	return max(1, (openFiles()-keptBack-files)/2/listeners)
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
