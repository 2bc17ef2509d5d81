package names

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// DirectoryConfig is what a Directory needs.
type DirectoryConfig struct {
	Store store.Store
	Max   int // names that are registered in all, 10,000 if zero
	// Group gives the balancing group of a registration whose metadata declares none.
	// It may be nil.
	Group func(Registration) string
	Log   *zap.Logger // may be nil
}

// Directory is the names in a store, and those that sources of ours publish.
//
// Reading goes by a snapshot that follows the store (Run), with our own changes in it
// at once. Several directories may share a store: a name that the snapshot does not
// have is asked for there, so whoever registered it with one finds it at the others.
type Directory struct {
	store   store.Store
	config  DirectoryConfig
	log     *zap.Logger
	asking  chan struct{} // bounds the questions of lookups to the store
	turns   [64]chan struct{}
	regexes chan struct{} // bounds searches by regular expressions

	mu        sync.Mutex
	known     map[string]entry
	bad       map[string]uint64      // versions of stored names that cannot be read
	seen      map[string]store.Entry // by key, as the store's Watch told last
	followed  bool                   // seen has been told
	read      bool                   // the store has told all names, then or before
	pending   map[string]struct{}    // names whose state in known is not that of seen
	published map[string][]Registration
	merged    map[string]Registration // of published
	sorted    []Registration          // everything, but for those that are dirty; nil when it has to be made
	dirty     []string                // names
	change    uint64                  // counts changes of what there is
	wake      chan struct{}

	telling   sync.Mutex // held while listeners are told
	told      uint64
	listeners []func([]Registration)
}

// entry is a name's registration in the store. Version 0: we know that it has none.
type entry struct {
	r       Registration
	version uint64
}

// beginTime bounds how long NewDirectory waits for the store.
const beginTime = 5 * time.Second

// NewDirectory makes one. It works at once, with the names that the store has if that
// answers in time, as programs that were told of them before connect as soon as there is a
// port; but it follows the store only in Run.
func NewDirectory(config DirectoryConfig) *Directory {
	if config.Max <= 0 {
		config.Max = 10_000
	}
	if config.Log == nil {
		config.Log = zap.NewNop()
	}
	d := &Directory{
		store: config.Store, config: config, log: config.Log, asking: make(chan struct{}, 32), regexes: make(chan struct{}, 2),
		known: map[string]entry{}, bad: map[string]uint64{}, pending: map[string]struct{}{},
		published: map[string][]Registration{}, merged: map[string]Registration{},
		wake: make(chan struct{}, 1),
	}
	for i := range d.turns {
		d.turns[i] = make(chan struct{}, 1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), beginTime)
	defer cancel()
	_ = d.begin(ctx) // the log has the reason
	return d
}

// hold waits for the turn to ask or change the store about a name, so that our answers
// about it come in the order of its changes. Other names may have to wait too.
func (d *Directory) hold(ctx context.Context, name string) (release func(), err error) {
	turn := d.turns[xxhash.Sum64String(name)%uint64(len(d.turns))]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Changed has f called with all registrations, sorted by name, now and after each
// change: one call at a time, and for a change made here before the client is
// answered. f must not change names; the slice is shared and must not be changed.
func (d *Directory) Changed(f func([]Registration)) {
	d.telling.Lock()
	d.listeners = append(d.listeners, f)
	all, change := d.everything()
	d.told = change
	f(all)
	d.telling.Unlock()
	d.tell() // what changed meanwhile, for those that were there before
}

// tell calls the listeners if anything has changed since they were told.
func (d *Directory) tell() {
	d.telling.Lock()
	defer d.telling.Unlock()
	if len(d.listeners) == 0 {
		return
	}
	all, change := d.everything()
	if change == d.told {
		return
	}
	d.told = change
	for _, f := range d.listeners {
		f(all)
	}
}

// Registrations gives all, sorted by name, without the name server's own. The slice
// must not be changed.
func (d *Directory) Registrations() []Registration {
	all, _ := d.everything()
	return all
}

func (d *Directory) everything() ([]Registration, uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range d.dirty {
		d.resort(name)
	}
	d.dirty = d.dirty[:0]
	if d.sorted == nil {
		all := make([]Registration, 0, len(d.known)+len(d.merged))
		for _, e := range d.known {
			if e.version != 0 {
				all = append(all, e.r)
			}
		}
		for name, r := range d.merged {
			if d.known[name].version == 0 {
				all = append(all, r)
			}
		}
		sortByName(all)
		d.sorted = all
	}
	return d.sorted, d.change
}

// SetPublished says all that a source publishes now, in place of what it said before.
// A registered name wins over a published one, and of sources the first by name.
func (d *Directory) SetPublished(source string, registrations []Registration) {
	d.mu.Lock()
	list := make([]Registration, 0, len(registrations))
	for _, r := range registrations {
		if r.Name == OwnName {
			continue
		}
		r.Origin, r.Source, r.Metadata = Discovered, source, tags(r.Metadata)
		list = append(list, d.grouped(r))
	}
	d.published[source] = list
	if len(list) == 0 {
		delete(d.published, source)
	}
	merged := map[string]Registration{}
	for _, name := range slices.Sorted(maps.Keys(d.published)) {
		for _, r := range d.published[name] {
			if _, ok := merged[r.Name]; !ok {
				merged[r.Name] = r
			}
		}
	}
	if !maps.EqualFunc(merged, d.merged, same) {
		d.merged = merged
		d.sorted, d.dirty = nil, d.dirty[:0]
		d.change++
	}
	d.mu.Unlock()
	d.tell()
}

func same(a, b Registration) bool {
	return a.URI == b.URI && a.text == b.text && slices.Equal(a.Metadata, b.Metadata) && a.Group == b.Group &&
		a.Source == b.Source && a.Origin == b.Origin && a.By == b.By && a.At.Equal(b.At)
}

// grouped completes the balancing group.
func (d *Directory) grouped(r Registration) Registration {
	if g := declaredGroup(r.Metadata); g != "" {
		r.Group = g
	} else if d.config.Group != nil {
		r.Group = d.config.Group(r)
	}
	return r
}

// resort puts what is under name now into its place in sorted, which is another slice
// then: readers have the old one. d.mu is held.
func (d *Directory) resort(name string) {
	if d.sorted == nil {
		return
	}
	r, there := d.has(name)
	at, found := slices.BinarySearchFunc(d.sorted, name, func(r Registration, name string) int { return strings.Compare(r.Name, name) })
	next := make([]Registration, 0, len(d.sorted)+1)
	next = append(next, d.sorted[:at]...)
	if there {
		next = append(next, r)
	}
	if found {
		at++
	}
	d.sorted = append(next, d.sorted[at:]...)
}

// maxDirty is how many names are put into their places one by one, rather than all sorted.
const maxDirty = 32

// touch: what there is under a name has changed. d.mu is held.
func (d *Directory) touch(name string) {
	d.change++
	if len(d.dirty) == maxDirty {
		d.sorted, d.dirty = nil, d.dirty[:0]
	}
	if d.sorted != nil && !slices.Contains(d.dirty, name) {
		d.dirty = append(d.dirty, name)
	}
}

// get gives what the snapshot has under name; known says that the store need not be
// asked.
func (d *Directory) get(name string) (r Registration, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.has(name)
}

// has is get with d.mu held.
func (d *Directory) has(name string) (r Registration, known bool) {
	if e := d.known[name]; e.version != 0 {
		return e.r, true
	}
	r, known = d.merged[name]
	return r, known
}

// lookup answers with nothing that the listeners have not been told: they make callable
// what is handed out.
func (d *Directory) lookup(ctx context.Context, name string) (Registration, error) {
	if r, ok := d.get(name); ok {
		d.tell()
		return r, nil
	}
	select {
	case d.asking <- struct{}{}:
		defer func() { <-d.asking }()
	case <-ctx.Done():
		return d.unasked(name)
	}
	release, err := d.hold(ctx, name)
	if err != nil {
		return d.unasked(name)
	}
	defer release()
	e, err := d.store.Get(ctx, keyOf(name))
	if err != nil {
		d.log.Warn("store cannot be asked", zap.String("name", name), control.CorrelationField(ctx), zap.Error(err))
		return d.unasked(name)
	}
	if e.Version == 0 {
		return Registration{}, unknownName(name)
	}
	d.learn(name, e)
	if r, ok := d.get(name); ok {
		return r, nil
	}
	return Registration{}, unknownName(name)
}

func (d *Directory) list(ctx context.Context, q query, own Registration) ([]Registration, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	d.tell()
	all, _ := d.everything()
	at, _ := slices.BinarySearchFunc(all, own, func(a, b Registration) int {
		if a.Name < b.Name {
			return -1
		} else if a.Name > b.Name {
			return 1
		}
		return 0
	})
	return d.search(ctx, q, slices.Insert(slices.Clone(all), at, own))
}

// maxSearch bounds what a regular expression may cost: with many names the worst of
// those that fit need minutes, ordinary ones milliseconds.
const maxSearch = time.Second

// search is q.filter, with few regular expressions at a time.
func (d *Directory) search(ctx context.Context, q query, all []Registration) ([]Registration, error) {
	if q.kind == byRegex {
		select {
		case d.regexes <- struct{}{}:
			defer func() { <-d.regexes }()
		case <-ctx.Done():
			return nil, errSlow()
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxSearch)
		defer cancel()
	}
	return q.filter(ctx, all)
}

func (d *Directory) count(ctx context.Context) (int, error) {
	if err := d.begin(ctx); err != nil {
		return 0, err
	}
	return len(d.Registrations()) + 1, nil
}

func (d *Directory) ping(context.Context) error { return nil }
