package expose

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// allocate finds the port of a key in the store, or gives it one. The error is a
// store.ErrConflict where it is to be tried again with a new view.
func (p *Ports) allocate(ctx context.Context, key string) (int, error) {
	e, err := p.config.Store.Get(ctx, keyName(key))
	if err != nil {
		return 0, fmt.Errorf("ports: %w", err)
	}
	had := readHolding(e)
	now := p.now()
	if p.inRange(had.Port) {
		e, err := p.config.Store.Get(ctx, portName(had.Port))
		if err != nil {
			return 0, fmt.Errorf("ports: %w", err)
		}
		c := readClaim(e)
		if c.version == 0 { // it was lost
			if c, err = p.claim(ctx, had.Port, key, 0, now); err != nil {
				return 0, err
			}
		}
		if c.Key == key {
			p.note(key, had, c)
			return had.Port, nil
		}
	}
	port, version, err := p.choose(ctx, key)
	if err != nil {
		return 0, err
	}
	c, err := p.claim(ctx, port, key, version, now)
	if err != nil {
		return 0, err
	}
	has := holding{Port: port, Since: now, Used: now}
	has.version, err = p.config.Store.Put(ctx, keyName(key), encode(has), had.version)
	if errors.Is(err, store.ErrConflict) { // another dispatcher gave it one meanwhile
		p.discard(ctx, port, c.version)
	}
	if err != nil {
		return 0, fmt.Errorf("ports: %w", err)
	}
	p.note(key, has, c)
	if had.version != 0 {
		p.config.Log.Warn("a port was given anew: URIs with the old one no longer work",
			zap.String("key", key), zap.Int("old", had.Port), zap.Int("port", port))
		if old := p.claimOf(had.Port); old.Key == key {
			p.discard(ctx, had.Port, old.version)
		}
	}
	return port, nil
}

// choose gives the port that a key should claim, and the version of the claim that it
// replaces. If all are taken it looks whether some can be had back.
func (p *Ports) choose(ctx context.Context, key string) (port int, version uint64, err error) {
	for again := range 2 {
		p.mu.Lock()
		port := p.view.choose(key, p.config.First, p.config.Last)
		version := p.view.claims[port].version
		p.mu.Unlock()
		if port != 0 {
			return port, version, nil
		}
		if again == 0 {
			if err := p.load(ctx); err != nil {
				return 0, 0, err
			}
			if err := p.prune(ctx); err != nil {
				return 0, 0, err
			}
		}
	}
	return 0, 0, fmt.Errorf("%w: %d-%d", ErrRangeFull, p.config.First, p.config.Last)
}

func (p *Ports) claim(ctx context.Context, port int, key string, expect uint64, now time.Time) (claim, error) {
	c := claim{Key: key, At: now, Nonce: rand.Uint64()}
	version, err := p.config.Store.Put(ctx, portName(port), encode(c), expect)
	if err != nil {
		return claim{}, fmt.Errorf("ports: %w", err)
	}
	c.version = version
	return c, nil
}

// discard gives up a claim. If that fails prune will do it.
func (p *Ports) discard(ctx context.Context, port int, version uint64) {
	if err := p.config.Store.Delete(ctx, portName(port), version); err == nil {
		p.mu.Lock()
		delete(p.view.claims, port)
		p.mu.Unlock()
	}
}

func (p *Ports) claimOf(port int) claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view.claims[port]
}

func (p *Ports) note(key string, h holding, c claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.view.holdings[key], p.view.claims[h.Port] = h, c
	delete(p.freed, key)
}
