package topics

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// Config is how a registry is.
type Config struct {
	Store store.Store // with nothing else in it
	// Allow is where listeners may be; nil is DefaultAllow, and then those of this
	// machine's loopback only for callers on this machine.
	Allow     []netip.Prefix
	AllowUnix bool // listeners on Unix sockets of this machine
	// MaxTopics and MaxListenersPerTopic bound what may be registered; 0 is 10,000 and
	// 1,000. Dispatchers that register at the same moment may exceed them by a few.
	MaxTopics, MaxListenersPerTopic int
	// MaxAge is for how long a listener may not have been seen before Age removes it; 0
	// is for ever. It is the same at all dispatchers with one store.
	MaxAge time.Duration
	// Lookup finds the addresses of a name; nil asks the system.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	Log    *zap.Logger      // may be nil
	Now    func() time.Time // nil is time.Now
}

// Registry knows who listens to what. It is a control.Object. It is safe for concurrent
// use.
type Registry struct {
	config      Config
	ownLoopback bool // whoever calls
	log         *zap.Logger
	started     time.Time
	now         atomic.Pointer[snapshot]
	read        atomic.Bool // the store has been, once

	mu      sync.Mutex
	known   map[string]held    // by key in the store
	pending map[string]outcome // what we did to the store and a watch has not told yet
	coming  map[string]arrival // new listeners whose registration is under way, by key
	junk    map[string]uint64  // versions of entries that were complained of
	told    []func([]Listener)
}

// arrival is a listener that is new, and the calls that register it.
type arrival struct {
	topic Topic
	calls int
}

// outcome is a state of a key that is known to have been: the value with that version,
// or none any more, after it had that version.
type outcome struct {
	version uint64
	gone    bool
}

// beginTime bounds how long New waits for the store.
const beginTime = 5 * time.Second

// New makes a Registry, with those who registered before: clients come as soon as there is
// a port, and a blob must not find a topic without the listeners that it has. Where the
// store cannot be asked in time they are not Known until it runs.
func New(c Config) *Registry {
	r := &Registry{
		ownLoopback: c.Allow != nil,
		log:         cmp.Or(c.Log, zap.NewNop()),
		known:       make(map[string]held),
		pending:     make(map[string]outcome),
		coming:      make(map[string]arrival),
		junk:        make(map[string]uint64),
	}
	if c.Allow == nil {
		c.Allow = DefaultAllow()
	}
	if c.Lookup == nil {
		c.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.MaxTopics = cmp.Or(c.MaxTopics, 10_000)
	c.MaxListenersPerTopic = cmp.Or(c.MaxListenersPerTopic, 1000)
	r.config = c
	r.started = c.Now()
	r.now.Store(&snapshot{})
	ctx, cancel := context.WithTimeout(context.Background(), beginTime)
	defer cancel()
	if all, err := c.Store.All(ctx); err != nil {
		r.log.Warn("the listeners are not known yet: the store cannot be asked", zap.Error(err))
	} else {
		r.follow(ctx, all)
	}
	return r
}

// Known reports whether the store has been asked who registered before. Until then
// Listeners and All may lack some; afterwards it stays so, whatever becomes of the store.
func (r *Registry) Known() bool { return r.read.Load() }

// Listeners gives those of a topic, in the order in which they registered first. It
// takes no lock and allocates nothing. The slice must not be changed.
func (r *Registry) Listeners(t Topic) []Listener { return r.now.Load().byTopic[t] }

// All gives those of all topics, in the order in which they registered first. The slice
// must not be changed.
func (r *Registry) All() []Listener { return r.now.Load().all }

// Generation changes whenever All does.
func (r *Registry) Generation() uint64 { return r.now.Load().generation }

// Changed has f called with All now, if there are any, and after each change, one call at
// a time, before whoever registered is answered. It is for before Run and before the first
// call. f must not call any methods but Listeners, All and Generation.
func (r *Registry) Changed(f func([]Listener)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, f)
	if all := r.All(); len(all) > 0 {
		f(all)
	}
}

// Run follows the store until ctx ends, so that those are known who registered at other
// dispatchers, or before this one was started. While the store cannot be asked, what
// was known last stands.
func (r *Registry) Run(ctx context.Context) {
	r.config.Store.Watch(ctx, func(all map[string]store.Entry) {
		late := !r.Known()
		r.follow(ctx, all)
		if late {
			r.log.Info("the listeners are known now: the store has been asked")
		}
	})
}

// follow takes over what a watch says. That may be older than what we did to the store
// ourselves: where the two differ, the store is asked for its last word.
func (r *Registry) follow(ctx context.Context, all map[string]store.Entry) {
	doubted := r.doubted(all)
	asked := r.ask(ctx, doubted)
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[string]held, len(all))
	for key, e := range all {
		r.take(next, key, e)
	}
	for key, did := range r.pending {
		e, answered := asked[key]
		switch {
		case did.agrees(all[key]):
			delete(r.pending, key)
		case answered && doubted[key] == did:
			delete(r.pending, key)
			delete(next, key)
			r.take(next, key, e)
		default: // done since the watch was told, which will be told again; or unknown
			delete(next, key)
			if h, ok := r.known[key]; ok {
				next[key] = h
			}
		}
	}
	for key := range r.junk {
		if _, ok := all[key]; !ok {
			delete(r.junk, key)
		}
	}
	r.known = next
	r.publish()
	r.read.Store(true) // once everybody is told
}

// ask gives the store's last word on keys, as far as it can be had.
func (r *Registry) ask(ctx context.Context, keys map[string]outcome) map[string]store.Entry {
	asked := make(map[string]store.Entry)
	for key := range keys {
		e, err := r.config.Store.Get(ctx, key)
		if err != nil {
			break // the others would not be told either
		}
		asked[key] = e
	}
	return asked
}

// doubted gives what we did that all does not show.
func (r *Registry) doubted(all map[string]store.Entry) map[string]outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	doubted := make(map[string]outcome)
	for key, did := range r.pending {
		if !did.agrees(all[key]) {
			doubted[key] = did
		}
	}
	return doubted
}

// agrees reports whether e is from after the outcome.
func (o outcome) agrees(e store.Entry) bool {
	if o.gone {
		return e.Version == 0 || e.Version > o.version
	}
	return e.Version >= o.version
}

// take puts an entry of the store into next. It is called with mu held.
func (r *Registry) take(next map[string]held, key string, e store.Entry) {
	if e.Version == 0 {
		return
	}
	if h, ok := r.known[key]; ok && h.version == e.Version {
		next[key] = h
		return
	}
	h, err := read(key, e)
	if err == nil {
		next[key] = h
		return
	}
	if r.junk[key] != e.Version {
		r.junk[key] = e.Version
		r.log.Warn("the store has an entry that is no listener: it is left out", zap.String("key", key), zap.Error(err))
	}
}

// did notes what we did to a key of the store. With h nil it is gone.
func (r *Registry) did(key string, version uint64, h *held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.known[key]
	if now.version > version {
		return // somebody was faster, and has been told of already
	}
	if h == nil && now.version == 0 {
		return // the watch was, and has no more to tell of it
	}
	if h == nil {
		delete(r.known, key)
	} else {
		r.known[key] = *h
	}
	r.pending[key] = outcome{version: version, gone: h == nil}
	r.publish()
}

// publish shows what is known. It is called with mu held.
func (r *Registry) publish() {
	before := r.now.Load()
	next := newSnapshot(r.known, r.showable)
	if slices.Equal(before.all, next.all) {
		return
	}
	next.generation = before.generation + 1
	next.confirmed = make(map[spot]*atomic.Int64, len(next.all))
	for _, l := range next.all {
		at, ok := before.confirmed[l.spot()]
		switch {
		case next.confirmed[l.spot()] != nil: // of another topic
		case ok:
			next.confirmed[l.spot()] = at
		default:
			next.confirmed[l.spot()] = new(atomic.Int64)
		}
	}
	r.now.Store(next)
	r.log.Info("listeners changed", zap.Int("listeners", len(next.all)), zap.Int("topics", len(next.byTopic)))
	for _, f := range r.told {
		f(next.all)
	}
}
