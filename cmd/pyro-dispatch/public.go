package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/pyro-dispatch/pyro-dispatch/admin"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/expose"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// public is what the dispatcher shows of what is behind it: names, and ports of single
// endpoints.
type public struct {
	exposures []*exposure
	facade    *facade    // nil: it is no name server
	ports     *namePorts // of names; nil: they get none
}

// newPublic makes what the configuration describes and opens its sockets. listeners
// are those of the server, opened at opened.
func newPublic(f *fleet, server *relay.Server, listeners []relay.ListenerConfig, opened []net.Listener) (made *public, err error) {
	p := new(public)
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	cfg := f.cfg
	named := cfg.NameServer.Enabled()
	exposes := slices.ContainsFunc(cfg.Clusters, func(c config.Cluster) bool { return c.Expose == config.ExposePerEndpoint })
	if !named && !exposes {
		return p, nil
	}
	var kept store.Store = store.NewMemory()
	if exposes || !cfg.NameServer.Ports.IsZero() {
		if kept, err = f.openStore(cfg.PortsStorage(), metrics.StorePorts); err != nil {
			return nil, err
		}
	}
	if p.exposures, err = newExposures(f, kept, server, listeners); err != nil {
		return nil, err
	}
	if !named {
		return p, nil
	}
	through := cfg.NamesListener()
	if through == nil {
		return nil, fmt.Errorf("name_server: there is no listener through which names can be reached")
	}
	at := slices.IndexFunc(cfg.Listeners, func(l config.Listener) bool { return l.Name == through.Name })
	b := newBook(f)
	b.at = ourAddress(cfg, opened[at].Addr())
	b.own = isOurs(cfg, opened, p.exposures)
	if r := cfg.NameServer.Ports; !r.IsZero() {
		ports, err := expose.New(expose.Config{
			Store: store.Prefixed(kept, "names/"), First: r.First, Last: r.Last, Log: f.log,
		})
		if err != nil {
			return nil, err
		}
		f.set.Ports("", r.Last-r.First+1, func() int { return len(ports.Mapping()) })
		like, err := listenerLike(listeners, through, "names", f)
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(through.Address.Address)
		p.ports = newNamePorts(ports, r.Last-r.First+1, host, server, like, f.log)
	}
	b.ports = p.ports
	if p.facade, err = newFacade(f, b); err != nil {
		return p, err
	}
	f.reconsider = b.reconsider
	return p, nil
}

// run serves it until ctx ends.
func (p *public) run(ctx context.Context) {
	var running sync.WaitGroup
	for _, e := range p.exposures {
		running.Go(func() { e.run(ctx) })
	}
	if p.facade != nil {
		running.Go(func() { p.facade.run(ctx) })
	}
	running.Wait()
}

// close closes the sockets of what will not run.
func (p *public) close() {
	for _, e := range p.exposures {
		e.ports.open.Close()
	}
	if p.ports != nil {
		p.ports.open.Close()
	}
	if p.facade != nil {
		p.facade.close()
	}
}

// exposed lists the endpoints that have ports of their own.
func (p *public) exposed() (all []admin.Exposed) {
	for _, e := range p.exposures {
		all = append(all, e.list()...)
	}
	return all
}
