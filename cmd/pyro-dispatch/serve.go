package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/admin"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
)

// serve runs the dispatcher until ctx is cancelled, drains it and returns nil.
// An error means that it could not start, or not go on.
func serve(ctx context.Context, cfg *config.Config, log *zap.Logger, version string) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	set := metrics.New(metrics.Build{
		Version: version, Revision: currentBuild().commit, GoVersion: runtime.Version(),
	})
	fleet, err := newFleet(cfg, set, log)
	if err != nil {
		return err
	}
	defer fleet.close()
	tracer, err := startTracing(ctx, os.LookupEnv, log, version)
	if err != nil {
		return err
	}
	defer stopTracing(tracer, log)
	serverConfig := assemble(cfg, fleet, set, log)
	serverConfig.Tracer = tracer
	opened, err := listenAll(cfg, serverConfig.Listeners)
	if err != nil {
		return err
	}

	serverConfig.Graph = inflight.New(maxTracked, ownAddresses()...)
	set.Tracked(maxTracked, serverConfig.Graph.Len, serverConfig.Graph.Untracked)
	server := relay.NewServer(serverConfig)
	public, err := newPublic(fleet, server, serverConfig.Listeners, opened)
	if err != nil {
		closeAll(opened)
		return err
	}
	calls := admin.Calls{Graph: serverConfig.Graph, Time: server.Time}

	var ready readiness
	var adminAt net.Addr
	if !cfg.Admin.Address.IsZero() {
		adminServer, at, err := startAdmin(cfg.Admin.Address, set, fleet, calls, public.exposed, &ready, log)
		if err != nil {
			public.close()
			closeAll(opened)
			return err
		}
		adminAt = at
		defer shutdownAdmin(adminServer)
		go func() {
			select {
			case err := <-adminServer.Failed():
				stop(fmt.Errorf("admin server: %w", err))
			case <-ctx.Done():
			}
		}()
	}

	// What serves calls goes on while calls in flight end, and so ends last.
	background, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	running.Go(func() { fleet.run(background) })
	running.Go(func() { public.run(background) })
	registration := fleet.newRegistration(cfg, opened, adminAt, version)
	if registration != nil {
		running.Go(func() { registration.Run(background) })
	}

	for _, l := range serverConfig.Listeners {
		log.Info("listening", zap.String("listener", l.Env.Listener), zap.Stringer("address", l.Net.Addr()))
	}
	log.Info("started", zap.String("version", version))
	ready.set(nil)

	serving, drain := context.WithCancel(context.Background())
	defer drain()
	context.AfterFunc(ctx, func() {
		ready.set(errDraining)
		if registration != nil {
			deregister(registration, log)
		}
		drain()
	})
	if err := server.Serve(serving); err != nil && !errors.Is(err, relay.ErrDrainTimeout) {
		return err
	}
	log.Info("stopped")
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func startAdmin(at config.Address, set *metrics.Set, f *fleet, calls admin.Calls, exposed func() []admin.Exposed, ready *readiness, log *zap.Logger) (*metrics.Admin, net.Addr, error) {
	ln, err := listen(at)
	if err != nil {
		return nil, nil, fmt.Errorf("admin server: %w (--admin sets its address, --admin= turns it off)", err)
	}
	log.Info("admin server listening", zap.Stringer("address", ln.Addr()))
	return metrics.StartAdmin(ln, set, ready.get, admin.Handler(f.all, calls, exposed)), ln.Addr(), nil
}

func shutdownAdmin(a *metrics.Admin) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = a.Shutdown(ctx) // it is closed in any case
}

var (
	errStarting = errors.New("starting")
	errDraining = errors.New("draining")
)

// readiness is what /readyz shows: why clients are not accepted.
type readiness struct{ why atomic.Pointer[error] }

func (r *readiness) set(why error) { r.why.Store(&why) }

func (r *readiness) get() error {
	if p := r.why.Load(); p != nil {
		return *p
	}
	return errStarting
}

// listenAll opens every listener, or none.
func listenAll(cfg *config.Config, to []relay.ListenerConfig) (opened []net.Listener, err error) {
	for i, l := range cfg.Listeners {
		ln, err := listen(l.Address)
		if err != nil {
			closeAll(opened)
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		to[i].Net = ln
		opened = append(opened, ln)
	}
	return opened, nil
}

func closeAll(listeners []net.Listener) {
	for _, ln := range listeners {
		ln.Close()
	}
}
