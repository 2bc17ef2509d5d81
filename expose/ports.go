package expose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// Errors of Port.
var (
	// ErrRangeFull: all ports of the range are other keys'.
	ErrRangeFull = errors.New("no port of the range is free")
	// ErrKey: the key is empty, or longer than MaxKey.
	ErrKey = errors.New("a key for a port must have 1 to 512 bytes")
)

// MaxKey is how long a key may be, in bytes.
const MaxKey = 512

// DefaultKeep is for how long a port stays reserved for a key that nobody uses.
const DefaultKeep = 30 * 24 * time.Hour

// attempts is how often an allocation begins anew because another dispatcher was
// faster. Each time one of them gets on.
const attempts = 50

// Config says which ports there are, and where it is remembered whose they are.
type Config struct {
	// Store has nothing else in it: use store.Prefixed where it has. Dispatchers that
	// share it give a key the same port, and should be given the same range.
	Store       store.Store
	First, Last int           // the range, both included
	Keep        time.Duration // DefaultKeep where it is not positive
	Log         *zap.Logger   // nil: none
	Now         func() time.Time
}

// Ports gives keys their ports. It is safe for concurrent use.
type Ports struct {
	config Config
	turn   chan struct{} // holds a token while nobody changes the store

	mu     sync.Mutex
	loaded bool
	view   view
	used   map[string]time.Time // when somebody here had a use for a key
	freed  map[string]uint64    // versions of holdings removed here that a late look at the store may still have
}

// Mapped is a key that has a port.
type Mapped struct {
	Key   string
	Port  int
	Since time.Time // when it got the port
}

// New makes Ports. It asks the store nothing; an error is one of the configuration.
func New(c Config) (*Ports, error) {
	if c.Store == nil {
		return nil, errors.New("ports: there is no store")
	}
	if c.First < 1 || c.Last > 65535 || c.First > c.Last {
		return nil, fmt.Errorf("ports: %d-%d is no range of ports", c.First, c.Last)
	}
	if c.Keep <= 0 {
		c.Keep = DefaultKeep
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Ports{
		config: c,
		turn:   make(chan struct{}, 1),
		view:   newView(nil),
		used:   make(map[string]time.Time),
		freed:  make(map[string]uint64),
	}
	p.turn <- struct{}{}
	return p, nil
}

// Port gives the port of a key, which is the same for as long as the key is used at
// least once in the time that a port is kept. It counts as a use. A port that was
// given has been stored: errors are ErrKey, ErrRangeFull and those of the store.
//
// A key whose port is not in the range, which therefore was another one, gets a new
// port.
func (p *Ports) Port(ctx context.Context, key string) (int, error) {
	if len(key) == 0 || len(key) > MaxKey {
		return 0, ErrKey
	}
	port, err := p.port(ctx, key)
	if err == nil {
		p.Used(key)
	}
	return port, err
}

func (p *Ports) port(ctx context.Context, key string) (int, error) {
	if port := p.known(key); port != 0 {
		return port, nil
	}
	done, err := p.change(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	for range attempts {
		var port int
		if port, err = p.allocate(ctx, key); err == nil || !errors.Is(err, store.ErrConflict) {
			return port, err
		}
		if err := p.load(ctx); err != nil {
			return 0, err
		}
	}
	return 0, err
}

// Given reports whether a key has a port, as far as is known without asking the store.
func (p *Ports) Given(key string) bool { return p.known(key) != 0 }

// known is the port of a key in the range, as far as it is known, or 0.
func (p *Ports) known(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if port := p.view.port(key); p.inRange(port) {
		return port
	}
	return 0
}

// now is the time as it comes back from the store.
func (p *Ports) now() time.Time { return p.config.Now().UTC().Round(0) }

func (p *Ports) inRange(port int) bool { return p.config.First <= port && port <= p.config.Last }

// change waits for the turn to change the store, and sees that what it has is known.
func (p *Ports) change(ctx context.Context) (done func(), err error) {
	select {
	case <-p.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	done = func() { p.turn <- struct{}{} }
	p.mu.Lock()
	loaded := p.loaded
	p.mu.Unlock()
	if !loaded {
		if err := p.load(ctx); err != nil {
			done()
			return nil, err
		}
	}
	return done, nil
}

// load looks at the whole store.
func (p *Ports) load(ctx context.Context) error {
	all, err := p.config.Store.All(ctx)
	if err != nil {
		return fmt.Errorf("ports: %w", err)
	}
	p.take(all)
	return nil
}

// take is told what is in the store, by load and by Watch.
func (p *Ports) take(all map[string]store.Entry) {
	v := newView(all)
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, version := range p.freed {
		if v.holdings[key].version == version {
			delete(v.holdings, key) // seen before it was removed
		} else {
			delete(p.freed, key)
		}
	}
	for key := range p.used {
		if v.holdings[key].version == 0 {
			delete(p.used, key)
		}
	}
	p.view, p.loaded = v, true
}

// Mapping lists the keys that have ports, in the order of these, as far as they are
// known: see Follow.
func (p *Ports) Mapping() []Mapped {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Mapped
	for key, h := range p.view.holdings {
		if p.view.port(key) != 0 {
			all = append(all, Mapped{Key: key, Port: h.Port, Since: h.Since})
		}
	}
	slices.SortFunc(all, func(a, b Mapped) int { return cmp.Compare(a.Port, b.Port) })
	return all
}
