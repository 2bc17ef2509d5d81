package names

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

func (d *Directory) register(ctx context.Context, r Registration, safe bool) error {
	have, known := d.get(r.Name)
	if safe && known && have.Origin == Discovered {
		return alreadyRegistered(r.Name)
	}
	if (!known || have.Origin == Discovered) && d.registered() >= d.config.Max {
		return d.full()
	}
	release, err := d.hold(ctx, r.Name)
	if err != nil {
		return d.errStorage(ctx, "register", err)
	}
	defer release()
	expect := store.Any
	if safe {
		expect = 0
	}
	err = d.write(ctx, d.grouped(r), expect)
	if errors.Is(err, store.ErrConflict) {
		return alreadyRegistered(r.Name)
	}
	if err != nil {
		return d.errStorage(ctx, "register", err)
	}
	return nil
}

// registered counts the names in the store, as far as we know.
func (d *Directory) registered() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.known)
}

func (d *Directory) write(ctx context.Context, r Registration, expect uint64) error {
	value, err := encode(r)
	if err != nil {
		return err
	}
	version, err := d.store.Put(ctx, keyOf(r.Name), value, expect)
	if err != nil {
		return err
	}
	d.learn(r.Name, store.Entry{Value: value, Version: version})
	return nil
}

func (d *Directory) setMetadata(ctx context.Context, name string, metadata []string) error {
	const doing = "set_metadata"
	release, err := d.hold(ctx, name)
	if err != nil {
		return d.errStorage(ctx, doing, err)
	}
	defer release()
	for range conflicts {
		e, err := d.store.Get(ctx, keyOf(name))
		if err != nil {
			return d.errStorage(ctx, doing, err)
		}
		if e.Version == 0 {
			return d.absent(name)
		}
		r, err := decode(name, e.Value)
		if err != nil {
			return unknownName(name)
		}
		r.Metadata, r.Group = metadata, ""
		err = d.write(ctx, d.grouped(r), e.Version)
		if err == nil {
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return d.errStorage(ctx, doing, err)
		}
	}
	return d.errStorage(ctx, doing, errContended)
}

// absent is the error for a name that the store does not have.
func (d *Directory) absent(name string) error {
	d.learn(name, store.Entry{})
	if r, ok := d.get(name); ok && r.Origin == Discovered {
		return fixedName(r)
	}
	return unknownName(name)
}

func (d *Directory) remove(ctx context.Context, name string) (bool, error) {
	const doing = "remove"
	release, err := d.hold(ctx, name)
	if err != nil {
		return false, d.errStorage(ctx, doing, err)
	}
	defer release()
	for range conflicts {
		e, err := d.store.Get(ctx, keyOf(name))
		if err != nil {
			return false, d.errStorage(ctx, doing, err)
		}
		if e.Version == 0 {
			d.learn(name, e)
			if r, ok := d.get(name); ok && r.Origin == Discovered {
				return false, fixedName(r)
			}
			return false, nil
		}
		removed, err := d.erase(ctx, name, e.Version)
		if removed || err != nil {
			return removed, err
		}
	}
	return false, d.errStorage(ctx, doing, errContended)
}

// erase removes the version of a name that we know, and says whether it was still that.
func (d *Directory) erase(ctx context.Context, name string, version uint64) (bool, error) {
	err := d.store.Delete(ctx, keyOf(name), version)
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, d.errStorage(ctx, "remove", err)
	}
	d.learn(name, store.Entry{})
	return true, nil
}

// removeMatching goes by what the store has now. What is registered again meanwhile
// stays, as it would if that had come after.
func (d *Directory) removeMatching(ctx context.Context, q query, keep func(string) bool) (int, error) {
	all, err := d.store.All(ctx)
	if err != nil {
		return 0, d.errStorage(ctx, "remove", err)
	}
	var there []Registration
	for key, e := range all {
		if name, ok := nameOf(key); ok && name != OwnName {
			if r, err := decode(name, e.Value); err == nil {
				there = append(there, r)
			}
		}
	}
	sortByName(there)
	// The name server's own is matched too, so that an argument of a wrong type is found
	// even where there is no other name.
	own := Registration{Name: OwnName}
	found, err := d.search(ctx, q, append([]Registration{own}, there...))
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, r := range found {
		if r.Name == OwnName || keep != nil && keep(r.Name) {
			continue
		}
		release, err := d.hold(ctx, r.Name)
		if err != nil {
			return removed, d.errStorage(ctx, "remove", err)
		}
		ok, err := d.erase(ctx, r.Name, all[keyOf(r.Name)].Version)
		release()
		if err != nil {
			return removed, err
		}
		if ok {
			removed++
		}
	}
	return removed, nil
}

// errStorage is what clients are told; the log has the reason.
func (d *Directory) errStorage(ctx context.Context, doing string, err error) error {
	d.log.Warn("store cannot be changed", zap.String("for", doing), control.CorrelationField(ctx), zap.Error(err))
	if errors.Is(err, store.ErrFull) { // before max_names, which may be more than it holds
		return namingError("the name server's storage is full: " + doing + " failed")
	}
	return unavailable(doing + " failed")
}

func unavailable(what string) *values.Exception {
	return namingError("the name server's storage is unavailable: " + what)
}

// unreadStorage is for questions, as long as nobody knows what names there are. To be
// without an answer is a NamingError too: programs that wait for a name (NS_LOOKUP_DELAY)
// go on waiting.
func unreadStorage() *values.Exception { return unavailable("the names are not known yet") }

func (d *Directory) full() error {
	return namingError(fmt.Sprintf("too many names: no more than %d can be registered", d.config.Max))
}

// fixedName: published names are what the configuration or the network says; a client cannot
// change that.
func fixedName(r Registration) error {
	return namingError(fmt.Sprintf("name cannot be changed, it is published by %s: %s", r.Source, r.Name))
}

// conflicts is how often a change is tried again because somebody was faster.
const conflicts = 8

var errContended = errors.New("changed by others all the time")
