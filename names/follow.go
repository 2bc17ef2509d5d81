package names

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// settleAfter is how long the store's Watch has to show a change of ours before we
// ask, and the most between questions.
const (
	settleAfter    = time.Second
	settleAtLatest = 30 * time.Second
)

// Run follows the store until ctx ends.
func (d *Directory) Run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { d.store.Watch(ctx, d.follow) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		}
		// A change that we know of and that Watch has not shown: usually it is about to.
		// It may also be that another dispatcher changed it again before Watch looked, and
		// what Watch showed was newer than what we know. Only the store can tell.
		for wait := settleAfter; ; wait = min(2*wait, settleAtLatest) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if !d.settle(ctx) {
				break
			}
		}
	}
}

// follow takes what the store's Watch tells.
func (d *Directory) follow(all map[string]store.Entry) {
	d.mu.Lock()
	d.seen, d.followed, d.read = all, true, true
	for name, e := range d.known {
		if _, ok := all[keyOf(name)]; !ok && e.version != 0 {
			d.show(name, store.Entry{})
		}
	}
	for name := range d.bad {
		if _, ok := all[keyOf(name)]; !ok {
			delete(d.bad, name)
		}
	}
	for key, e := range all {
		if name, ok := nameOf(key); ok {
			d.show(name, e)
		}
	}
	for name := range d.pending {
		if d.known[name].version == all[keyOf(name)].Version {
			d.settled(name)
		}
	}
	d.mu.Unlock()
	d.tell()
}

// show takes one entry from the snapshot, unless we know something that may be newer.
// d.mu is held.
func (d *Directory) show(name string, e store.Entry) {
	if _, ok := d.pending[name]; ok {
		return
	}
	d.put(name, e)
}

// put makes e the state of name. d.mu is held.
func (d *Directory) put(name string, e store.Entry) {
	before := d.known[name]
	if before.version == e.Version || e.Version != 0 && d.bad[name] == e.Version {
		return
	}
	delete(d.bad, name)
	if e.Version == 0 {
		delete(d.known, name)
		d.touch(name)
		return
	}
	r, err := decode(name, e.Value)
	if err != nil || name == OwnName {
		d.log.Warn("ignoring a stored name", zap.String("name", name), zap.Error(err))
		d.bad[name] = e.Version
		delete(d.known, name)
		if before.version != 0 {
			d.touch(name)
		}
		return
	}
	d.known[name] = entry{d.grouped(r), e.Version}
	d.touch(name)
}

// learn takes what we wrote ourselves or were told when we asked, which the snapshot
// may not have yet. It is called in the order of the store's answers for that name:
// whoever calls it holds the name's turn (hold).
func (d *Directory) learn(name string, e store.Entry) {
	d.mu.Lock()
	if e.Version == 0 && d.known[name].version == 0 {
		d.mu.Unlock()
		return // nothing new, and strangers may ask for any number of names
	}
	d.put(name, e)
	// That seen does not have what we removed may be because it never had it yet.
	if d.followed && e.Version != 0 && d.seen[keyOf(name)].Version == e.Version {
		d.settled(name)
	} else {
		d.pending[name] = struct{}{}
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
	d.mu.Unlock()
	d.tell()
}

func (d *Directory) settled(name string) { delete(d.pending, name) }

// settle asks for what is pending, and says whether anything still is.
func (d *Directory) settle(ctx context.Context) bool {
	d.mu.Lock()
	names := slices.Collect(maps.Keys(d.pending))
	d.mu.Unlock()
	for _, name := range names {
		if d.settleName(ctx, name) != nil {
			return true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pending) > 0
}

func (d *Directory) settleName(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, Limits{}.withDefaults().Wait)
	defer cancel()
	release, err := d.hold(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	e, err := d.store.Get(ctx, keyOf(name))
	if err != nil {
		return err
	}
	d.mu.Lock()
	if _, still := d.pending[name]; still {
		d.put(name, e)
		if d.followed && d.seen[keyOf(name)].Version == e.Version {
			d.settled(name)
		}
	}
	d.mu.Unlock()
	d.tell()
	return nil
}

// begin makes the first snapshot, before Watch has told anything. An error is for the
// client: the store has never told the names.
func (d *Directory) begin(ctx context.Context) error {
	d.mu.Lock()
	followed := d.followed
	d.mu.Unlock()
	if followed {
		return nil
	}
	all, err := d.store.All(ctx)
	if err != nil {
		d.log.Warn("store cannot be asked", control.CorrelationField(ctx), zap.Error(err))
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.read {
			return unreadStorage()
		}
		return nil
	}
	d.mu.Lock()
	d.read = true
	if !d.followed {
		for key, e := range all {
			if name, ok := nameOf(key); ok {
				d.show(name, e)
			}
		}
	}
	d.mu.Unlock()
	d.tell()
	return nil
}

// unasked is the answer to a lookup for which the store could not be asked. Until it has
// been read, that we do not know a name says nothing of it.
func (d *Directory) unasked(name string) (Registration, error) {
	d.mu.Lock()
	r, known := d.has(name) // meanwhile
	read := d.read
	d.mu.Unlock()
	switch {
	case known:
		d.tell()
		return r, nil
	case !read:
		return Registration{}, unreadStorage()
	}
	return Registration{}, unknownName(name)
}
