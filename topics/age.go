package topics

import (
	"context"
	"errors"
	"maps"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// Confirm notes that l was there at a time, for all of its topics. It takes no lock and
// is cheap enough for every call. Who is no listener is ignored.
func (r *Registry) Confirm(l Listener, at time.Time) {
	seen := r.now.Load().confirmed[l.spot()]
	if seen == nil {
		return
	}
	for new := at.UnixNano(); ; {
		old := seen.Load()
		if old >= new || seen.CompareAndSwap(old, new) {
			return
		}
	}
}

// Age removes the listeners that neither registered nor were confirmed, here or at
// another dispatcher, for MaxAge or longer, and that dead says are gone; with dead nil,
// all of those. None goes before this Registry is MaxAge old, since nobody may have
// looked before. One that registers again meanwhile stays.
//
// It also tells the other dispatchers what was confirmed here, four times in MaxAge, and
// so is to be called a little more often than that. It returns when ctx ends or the
// store is unavailable.
func (r *Registry) Age(ctx context.Context, dead func(Listener) bool) {
	r.settle(ctx)
	if r.config.MaxAge <= 0 {
		return
	}
	r.mu.Lock()
	known := maps.Clone(r.known)
	r.mu.Unlock()
	now := r.config.Now().UTC().Round(0)
	for key, h := range known {
		if ctx.Err() != nil {
			return
		}
		err := r.age(ctx, key, h, now, dead)
		if err != nil && !errors.Is(err, store.ErrConflict) { // in a conflict, it is fresher than we know
			r.log.Warn("listeners cannot be aged: the store cannot be changed", zap.Error(err))
			return
		}
	}
}

func (r *Registry) age(ctx context.Context, key string, h held, now time.Time, dead func(Listener) bool) error {
	l := h.listener()
	if !r.showable(l) {
		return nil // it is for those to judge who may connect to it
	}
	seen := h.Seen
	if at := r.now.Load().confirmed[l.spot()]; at != nil {
		if here := time.Unix(0, at.Load()).UTC(); here.After(seen) {
			seen = here
		}
	}
	if seen.After(now) {
		seen = now
	}
	if seen.Sub(h.Seen) >= r.config.MaxAge/4 {
		next := h
		next.Seen = seen
		version, err := r.config.Store.Put(ctx, key, next.bytes(), h.version)
		if err == nil {
			next.version = version
			r.did(key, version, &next)
		}
		return err
	}
	if now.Sub(seen) < r.config.MaxAge || now.Sub(r.started) < r.config.MaxAge || dead != nil && !dead(l) {
		return nil
	}
	err := r.config.Store.Delete(ctx, key, h.version)
	if err == nil {
		r.did(key, h.version, nil)
		r.log.Info("a listener is gone for too long: it is no longer registered", zap.Stringer("topic", l.Topic),
			zap.String("listener", l.URI()), zap.Time("seen", seen))
	}
	return err
}

// settle asks the store for what became of our changes that no watch has told of: the
// store may not have been there to be asked when one should have.
func (r *Registry) settle(ctx context.Context) {
	r.mu.Lock()
	doubted := maps.Clone(r.pending)
	r.mu.Unlock()
	asked := r.ask(ctx, doubted)
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, e := range asked {
		if r.pending[key] != doubted[key] {
			continue
		}
		delete(r.pending, key)
		next := make(map[string]held)
		r.take(next, key, e)
		delete(r.known, key)
		maps.Copy(r.known, next)
	}
	r.publish()
}
