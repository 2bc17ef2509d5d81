package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/expose"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// namePorts are ports that lead to one route each: of names that the common port cannot
// tell apart, or of single endpoints.
type namePorts struct {
	ports *expose.Ports
	open  *expose.Listeners
	log   *zap.Logger

	syncing sync.Mutex // held while open is told

	mu     sync.Mutex
	wanted map[string]*router.Table // by key
	given  map[string]int
	opened map[string]net.Listener
	full   time.Time // until when the range is taken for full
	wake   chan struct{}
}

// newNamePorts makes them, of which most may be open. Each is a listener like the one that like describes, at
// host.
func newNamePorts(ports *expose.Ports, most int, host string, server *relay.Server, like relay.ListenerConfig, log *zap.Logger) *namePorts {
	p := &namePorts{
		ports: ports, log: log,
		wanted: make(map[string]*router.Table), given: make(map[string]int), opened: make(map[string]net.Listener),
		wake: make(chan struct{}, 1),
	}
	p.open = expose.NewListeners(expose.ListenersConfig{
		Host: host, Max: most, Log: log,
		Open: func(key string, ln net.Listener) {
			p.mu.Lock()
			p.opened[key] = ln
			p.mu.Unlock()
			lc := like
			lc.Net = ln
			lc.Env.Table = func() *router.Table { return p.table(key) }
			server.Add(lc)
		},
		Close: func(key string) {
			p.mu.Lock()
			ln := p.opened[key]
			delete(p.opened, key)
			p.mu.Unlock()
			server.Remove(ln)
		},
	})
	return p
}

var noRoutes = router.NewTable(nil)

// table is what there is behind a key's port.
func (p *namePorts) table(key string) *router.Table {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.wanted[key]; t != nil {
		return t
	}
	return noRoutes
}

// want says which routes are to have ports, by their keys.
func (p *namePorts) want(routes map[string]*router.Route) {
	p.mu.Lock()
	next := make(map[string]*router.Table, len(routes))
	for key, r := range routes {
		next[key] = router.NewTable([]*router.Route{r})
	}
	p.wanted = next
	maps.DeleteFunc(p.given, func(key string, _ int) bool { return next[key] == nil })
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// fullFor is how long nobody asks for one more port of a range that is full: that looks
// through the whole store.
const fullFor = 10 * time.Second

// port gives the port of a key, which is open by then.
func (p *namePorts) port(ctx context.Context, key string) (int, error) {
	port, err := p.allot(ctx, key)
	if err == nil {
		err = p.open.Await(ctx, key, port)
	}
	if errors.Is(err, expose.ErrNotWanted) { // given by another call, which is about to have it opened
		p.sync()
		err = p.open.Await(ctx, key, port)
	}
	if err != nil {
		return 0, fmt.Errorf("no port of its own: %w", err)
	}
	return port, nil
}

// allot gives the port of a key, and has it opened.
func (p *namePorts) allot(ctx context.Context, key string) (int, error) {
	p.mu.Lock()
	full := time.Now().Before(p.full)
	p.mu.Unlock()
	if full && !p.ports.Given(key) {
		return 0, expose.ErrRangeFull
	}
	now, err := p.ports.Port(ctx, key)
	p.mu.Lock()
	if errors.Is(err, expose.ErrRangeFull) {
		p.full = time.Now().Add(fullFor)
	}
	news := err == nil && p.wanted[key] != nil && p.given[key] != now
	if news {
		p.given[key] = now
	}
	p.mu.Unlock()
	if news {
		p.sync()
	}
	return now, err
}

// sync has the ports of what is wanted opened, as far as they are given.
func (p *namePorts) sync() {
	p.syncing.Lock() // else an older state could come last
	defer p.syncing.Unlock()
	p.mu.Lock()
	want := make(map[string]int)
	for key := range p.wanted {
		if port, ok := p.given[key]; ok {
			want[key] = port
		}
	}
	p.mu.Unlock()
	p.open.Sync(want)
}

// run gives ports to what is wanted until ctx ends.
func (p *namePorts) run(ctx context.Context) {
	var following sync.WaitGroup
	following.Go(func() { p.ports.Follow(ctx) })
	defer following.Wait()
	defer p.open.Close()
	ticker := time.NewTicker(10 * time.Minute)
	defer ticker.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-retry.C:
		case <-ticker.C:
		}
		p.mu.Lock()
		wanted := maps.Clone(p.wanted)
		p.mu.Unlock()
		without, first := 0, error(nil)
		for key := range wanted {
			if _, err := p.allot(ctx, key); err != nil && ctx.Err() == nil {
				without++
				first = cmp.Or(first, err)
			}
		}
		if without > 0 {
			p.log.Warn("there are no ports for some names or endpoints", zap.Int("without", without), zap.Error(first))
			retry.Reset(30 * time.Second)
		}
		p.sync()
	}
}

// all gives the ports that are wanted and given, by their keys.
func (p *namePorts) all() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]int)
	for key := range p.wanted {
		if port, ok := p.given[key]; ok {
			all[key] = port
		}
	}
	return all
}
