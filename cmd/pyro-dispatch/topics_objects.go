package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/topics"
)

// Health checks ask for the daemon's own object, so that they tell nothing about a
// listener whose daemon lives on without it. That is asked for by itself.

const (
	// maxAsked bounds how many objects are asked for each time that listeners are aged.
	// Where there are more, they take turns.
	maxAsked = 100
	// askers is how many are asked for at the same time.
	askers = 8
)

// objects is what daemons said of the listeners' objects. One goroutine at a time uses
// it, but for missing.
type objects struct {
	told    map[backend.Place]presence
	missing atomic.Int64 // how many their daemons lack
}

// presence is what is known of one object.
type presence struct {
	asked  time.Time // last
	lacked time.Time // when its daemon last said that it lacks it; zero: what it said last was not that
}

func placeOf(l topics.Listener) backend.Place {
	return backend.Place{Address: backend.Address{Network: l.Network, Addr: l.Address}, Object: l.Object}
}

// down reports that a listener's daemon is not there.
func (b *board) down(l topics.Listener) bool { return b.listeners.Down(placeOf(l).Address) }

// look asks daemons that are there whether they have the objects of their listeners:
// those that were not asked for longest.
func (b *board) look(ctx context.Context, now time.Time) {
	o := &b.objects
	all := b.registry.All()
	told := make(map[backend.Place]presence, len(o.told))
	var places []backend.Place
	for _, l := range all {
		p := placeOf(l)
		if _, again := told[p]; again {
			continue
		}
		told[p] = o.told[p]
		if askable(p.Object) && !b.down(l) {
			places = append(places, p)
		}
	}
	slices.SortStableFunc(places, func(x, y backend.Place) int { return told[x].asked.Compare(told[y].asked) })
	places = places[:min(len(places), maxAsked)]
	answers := make([]presence, len(places))
	var asking sync.WaitGroup
	var next atomic.Int64
	for range min(askers, len(places)) {
		asking.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(places)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				answers[i] = b.presence(ctx, places[i], told[places[i]], now)
			}
		})
	}
	asking.Wait()
	if ctx.Err() != nil {
		return // what was given up tells nothing
	}
	for i, p := range places {
		told[p] = answers[i]
	}
	o.told = told
	missing := 0
	for _, p := range told {
		if !p.lacked.IsZero() {
			missing++
		}
	}
	o.missing.Store(int64(missing))
}

// presence asks for an object, of which was is known.
func (b *board) presence(ctx context.Context, p backend.Place, was presence, now time.Time) presence {
	has, known := b.listeners.Has(ctx, p.Address, p.Object, b.handshake)
	next := presence{asked: now, lacked: was.lacked}
	switch {
	case !known:
	case has:
		next.lacked = time.Time{}
		if !was.lacked.IsZero() {
			b.log.Info("a listener's object is there again", zap.String("object", p.Object), zap.Stringer("endpoint", p.Address))
		}
	default:
		next.lacked = now
		if was.lacked.IsZero() {
			b.log.Warn("a daemon does not have the object of its listener: it is dropped after forget_after",
				zap.String("object", p.Object), zap.Stringer("endpoint", p.Address), zap.Duration("forget_after", b.forget))
		}
	}
	return next
}

// askable reports whether an object can be asked for: a CONNECT of ours is in ASCII, and
// would be for another one.
func askable(object string) bool {
	return !strings.ContainsFunc(object, func(c rune) bool { return c >= 0x80 })
}

// confirm notes which listeners are there, for all that is known.
func (b *board) confirm(now time.Time) {
	for _, l := range b.registry.All() {
		if b.objects.told[placeOf(l)].lacked.IsZero() && !b.down(l) {
			b.registry.Confirm(l, now)
		}
	}
}

// dead reports that a listener is not there: by what its daemon has just said, and not a
// while ago.
func (b *board) dead(l topics.Listener, now time.Time) bool {
	return b.down(l) || b.objects.told[placeOf(l)].lacked.Equal(now)
}
