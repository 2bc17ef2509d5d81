package expose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

const (
	// pruneEvery is how often Follow looks for ports that may be given up.
	pruneEvery = time.Hour
	// interrupted is how long a claim may be without a holding: so long nobody is in
	// the middle of an allocation.
	interrupted = time.Hour
)

// Follow keeps up with what other dispatchers do to the store, and prunes every hour,
// until ctx ends.
func (p *Ports) Follow(ctx context.Context) {
	pruned := make(chan struct{})
	go func() {
		defer close(pruned)
		ticker := time.NewTicker(pruneEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			if err := p.Prune(ctx); err != nil && ctx.Err() == nil {
				p.config.Log.Warn("ports cannot be pruned now", zap.Error(err))
			}
		}
	}()
	p.config.Store.Watch(ctx, p.take)
	<-pruned
}

// Used says that there is a use for keys now. Who keeps something at a port says so
// from time to time, more often than the time that a port is kept; the store hears of
// it when ports are pruned. Keys without a port are ignored.
func (p *Ports) Used(keys ...string) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range keys {
		if p.view.holdings[key].version != 0 {
			p.used[key] = now
		}
	}
}

// Free takes a key's port away, at once. It is no error if it has none.
func (p *Ports) Free(ctx context.Context, key string) error {
	done, err := p.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := p.load(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	h := p.view.holdings[key]
	p.mu.Unlock()
	if h.version == 0 {
		return nil
	}
	return p.free(ctx, key, h)
}

// free takes a port away from a key, whose holding must still be h: the error is a
// store.ErrConflict if somebody has had a use for it since.
func (p *Ports) free(ctx context.Context, key string, h holding) error {
	c := p.claimOf(h.Port) // before: who claims it anew afterwards keeps it
	if err := p.config.Store.Delete(ctx, keyName(key), h.version); err != nil {
		return fmt.Errorf("ports: %w", err)
	}
	p.mu.Lock()
	delete(p.view.holdings, key)
	delete(p.used, key)
	p.freed[key] = h.version
	p.mu.Unlock()
	if c.version != 0 && c.Key == key {
		p.discard(ctx, h.Port, c.version)
	}
	return nil
}

// Prune tells the store which keys have been used here, and takes the ports of those
// away that nobody has used for the time that they are kept.
func (p *Ports) Prune(ctx context.Context) error {
	done, err := p.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := p.load(ctx); err != nil {
		return err
	}
	return p.prune(ctx)
}

// prune is Prune with a view that is fresh.
func (p *Ports) prune(ctx context.Context) error {
	now := p.now()
	stamps := make(map[string]holding)
	expired := make(map[string]holding)
	claims := make(map[int]claim)
	p.mu.Lock()
	for key, h := range p.view.holdings {
		stamp := h
		if used := p.used[key]; used.After(h.Used) {
			stamp.Used = used
		}
		switch {
		case now.Sub(stamp.Used) >= p.config.Keep:
			expired[key] = h
		// One that is a little old does no harm, and saves the store most writes.
		case stamp.Used.Sub(h.Used) >= p.config.Keep/10:
			stamps[key] = stamp
		}
	}
	for port, c := range p.view.claims {
		if p.view.holdings[c.Key].Port != port && now.Sub(c.At) >= interrupted {
			claims[port] = c
		}
	}
	p.mu.Unlock()
	for key, h := range stamps {
		version, err := p.config.Store.Put(ctx, keyName(key), encode(h), h.version)
		if errors.Is(err, store.ErrConflict) {
			continue // another dispatcher said so, or freed it
		}
		if err != nil {
			return fmt.Errorf("ports: %w", err)
		}
		h.version = version
		p.mu.Lock()
		p.view.holdings[key] = h
		p.mu.Unlock()
	}
	for key, h := range expired {
		err := p.free(ctx, key, h)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		p.config.Log.Info("a port that nobody used is free again", zap.String("key", key), zap.Int("port", h.Port))
	}
	for port, c := range claims {
		p.discard(ctx, port, c.version)
	}
	return nil
}
