package main

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/pace"
)

// What the book knows of the names of an upstream name server. It has them all, as far as
// there is room, and not only those that clients ask for: who was told of one before a
// restart has it in hand, and an id that is at two addresses is known as such.

// foreign is a name that an upstream name server told of.
type foreign struct {
	names.Registration
	asked bool   // by a client, who has it then: it is not dropped to make room
	told  uint64 // what b.told was when it was told of last by a lookup
}

// begin learns the names before clients come, if the upstream name server answers in time.
func (b *book) begin() {
	ctx, cancel := context.WithTimeout(context.Background(), beginTime)
	defer cancel()
	if err := b.review(ctx); err != nil {
		b.log.Warn("the names are not known yet: the upstream name server cannot be asked", zap.Error(err))
	}
}

// keepUp asks for the names now and then, and sooner while that fails, until ctx ends.
func (b *book) keepUp(ctx context.Context) {
	b.mu.Lock()
	wait, failures := lookAfter, pace.Backoff{}
	if !b.reviewed {
		wait = failures.Next()
	}
	b.mu.Unlock()
	for pace.Sleep(ctx, wait) {
		if err := b.review(ctx); err != nil {
			wait = failures.Next() // what it said last stands; the log has the reason
			continue
		}
		failures.Reset()
		wait = lookAfter
	}
}

// review asks the upstream name server for its names.
func (b *book) review(ctx context.Context) error {
	b.mu.Lock()
	began := b.told
	b.mu.Unlock()
	all, err := b.upstream(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.empty = time.Time{}
		return err
	}
	b.reviewed = true
	there := make(map[string]*names.Registration, len(all))
	for i := range all {
		if all[i].Name != names.OwnName {
			there[all[i].Name] = &all[i]
		}
	}
	if !b.credible(len(there)) {
		return nil
	}
	dirty := make(map[string]bool)
	for name, f := range b.foreign {
		now := there[name]
		switch {
		case f.told > began: // the list may be older
		case now == nil:
			b.strike(&f.Registration, dirty)
			b.drop(f)
		case !meansTheSame(&f.Registration, now):
			b.strike(&f.Registration, dirty)
			b.enter(now, dirty)
			f.Registration = *now
		}
	}
	without := 0
	for i := range all { // in their order
		r := &all[i]
		switch {
		case b.foreign[r.Name] != nil || there[r.Name] == nil:
		case len(b.foreign) >= b.fleet.cfg.NameServer.MaxNames:
			without++
		default:
			b.foreign[r.Name] = &foreign{Registration: *r}
			b.enter(r, dirty)
		}
	}
	b.settle(dirty)
	if without > 0 && b.without == 0 {
		b.log.Warn("the upstream name server has more names than max_names: they are not known before they are asked for", zap.Int("names", without))
	}
	b.without = without
	return nil
}

// credible reports whether the upstream name server has lost its names, as it is known to
// have so many. One that keeps them in memory knows none when it was started a moment ago,
// and daemons do not register again by themselves: that counts only for what it says the
// next time, after a while. The lock is held.
func (b *book) credible(known int) bool {
	if known > 0 || len(b.foreign) == 0 {
		b.empty = time.Time{}
		return true
	}
	if b.empty.IsZero() {
		b.empty = time.Now()
	}
	return time.Since(b.empty) >= lookAfter
}

// drop forgets one. The lock is held.
func (b *book) drop(f *foreign) {
	if f.asked {
		b.asked--
	}
	delete(b.foreign, f.Name)
}

// asks notes that a client is about to be told of r. The lock is held.
func (b *book) asks(r *names.Registration) error {
	dirty := make(map[string]bool)
	f := b.foreign[r.Name]
	switch {
	case f == nil:
		if err := b.makeRoom(dirty); err != nil {
			return err
		}
		f = &foreign{Registration: *r}
		b.foreign[r.Name] = f
		b.enter(r, dirty)
	case !meansTheSame(&f.Registration, r):
		b.strike(&f.Registration, dirty)
		b.enter(r, dirty)
		f.Registration = *r
	}
	if !f.asked {
		f.asked = true
		b.asked++
	}
	b.told++
	f.told = b.told
	b.settle(dirty)
	return nil
}

// makeRoom gives up one that nobody has asked for, where there is no room for one more.
func (b *book) makeRoom(dirty map[string]bool) error {
	if len(b.foreign) < b.fleet.cfg.NameServer.MaxNames {
		return nil
	}
	if b.asked < len(b.foreign) {
		for _, f := range b.foreign {
			if !f.asked {
				b.strike(&f.Registration, dirty)
				b.drop(f)
				return nil
			}
		}
	}
	return fmt.Errorf("more than %d names have been asked for", len(b.foreign))
}
