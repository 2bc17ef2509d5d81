package backend

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// seen is what Blocked tells of an endpoint.
type seen struct {
	Room  bool
	Slots int
}

// look gives what Blocked tells of all endpoints that suit a.
func (r *rig) look(a *Attempt) map[string]seen {
	got := make(map[string]seen)
	r.Blocked(a, func(e *Endpoint, room bool, slots int) bool {
		got[e.Address.Addr] = seen{room, slots}
		return true
	})
	return got
}

// TestBlocked: a search is blocked where each endpoint that suits it is, and only
// those are looked at.
func TestBlocked(t *testing.T) {
	tests := []struct {
		name    string
		max     int
		prepare func(t *testing.T, r *rig, a *Attempt)
		want    map[string]seen
		blocked []string // by the judgement
		is      bool
	}{
		{"all", 2, nil, map[string]seen{addrA: {true, 1}, addrB: {true, 1}}, []string{addrA, addrB}, true},
		{"all but one", 2, nil, map[string]seen{addrA: {true, 1}, addrB: {true, 1}}, []string{addrB}, false},
		{"none", 2, nil, map[string]seen{addrA: {true, 1}, addrB: {true, 1}}, nil, false},
		{"nested", 2, func(t *testing.T, r *rig, a *Attempt) { a.Nested = true },
			map[string]seen{addrA: {true, 2}, addrB: {true, 2}}, nil, false},
		{"no limit", 0, nil, map[string]seen{addrA: {true, unlimited}, addrB: {true, unlimited}}, nil, false},
		{"full", 1, func(t *testing.T, r *rig, a *Attempt) { r.hold(t, 2) },
			map[string]seen{addrA: {false, 1}, addrB: {false, 1}}, []string{addrA, addrB}, true},
		{"reserved", 2, func(t *testing.T, r *rig, a *Attempt) { r.hold(t, 2) },
			map[string]seen{addrA: {false, 1}, addrB: {false, 1}}, []string{addrA, addrB}, true},
		{"reserved for it", 2, func(t *testing.T, r *rig, a *Attempt) { r.hold(t, 2); a.Nested = true },
			map[string]seen{addrA: {true, 2}, addrB: {true, 2}}, nil, false},
		{"a full daemon", 0, func(t *testing.T, r *rig, a *Attempt) {
			r.hold(t, 2)
			r.of(t, addrA, func(e *Endpoint) { r.filled(e, false) })
		}, map[string]seen{addrA: {false, 1}, addrB: {true, unlimited}}, []string{addrA}, false},
		{"tried", 2, func(t *testing.T, r *rig, a *Attempt) { r.of(t, addrA, a.try) },
			map[string]seen{addrB: {true, 1}}, []string{addrB}, true},
		{"drained", 2, func(t *testing.T, r *rig, a *Attempt) {
			if err := r.Drain(addrA); err != nil {
				t.Fatal(err)
			}
		}, map[string]seen{addrB: {true, 1}}, []string{addrB}, true},
		{"the other dialect", 2, func(t *testing.T, r *rig, a *Attempt) { r.learnt(v48, addrA) },
			map[string]seen{addrB: {true, 1}}, []string{addrB}, true},
		{"not well", 2, func(t *testing.T, r *rig, a *Attempt) { // no search goes there
			r.of(t, addrA, func(e *Endpoint) {
				for e.judge.Up() {
					e.judge.Observe(health.Down)
				}
			})
		}, map[string]seen{addrB: {true, 1}}, []string{addrB}, true},
		{"none is well", 2, func(t *testing.T, r *rig, a *Attempt) {
			for _, address := range []string{addrA, addrB} {
				r.of(t, address, func(e *Endpoint) {
					for e.judge.Up() {
						e.judge.Observe(health.Down)
					}
				})
			}
		}, map[string]seen{addrA: {true, 1}, addrB: {true, 1}}, []string{addrB}, false},
		{"at home", 2, func(t *testing.T, r *rig, a *Attempt) { r.of(t, addrB, func(e *Endpoint) { a.home = e }) },
			map[string]seen{addrB: {true, 1}}, []string{addrB}, true},
		{"nowhere", 2, func(t *testing.T, r *rig, a *Attempt) { r.learnt(v48, addrA, addrB) },
			map[string]seen{}, []string{addrA, addrB}, false},
		{"paused", 2, func(t *testing.T, r *rig, a *Attempt) { r.Pause() },
			map[string]seen{}, []string{addrA, addrB}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := pooling(addrA, addrB)
				cfg.MaxConnections, cfg.NestedReserve = test.max, 1
				cfg.Health.Rise, cfg.Health.Fall = 1, 1
				r := newRigWith(cfg)
				r.open(t, addrA, addrB)
				a := &Attempt{Dialect: v502}
				if test.prepare != nil {
					test.prepare(t, r, a)
				}
				if diff := cmp.Diff(test.want, r.look(a)); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				got := r.Blocked(a, func(e *Endpoint, _ bool, _ int) bool { return slices.Contains(test.blocked, e.Address.Addr) })
				if got != test.is {
					t.Errorf("blocked: %v", got)
				}
			})
		})
	}
}

// hold takes so many sessions, and keeps them until the test ends.
func (r *rig) hold(t *testing.T, n int) {
	t.Helper()
	for range n {
		l := r.acquire(t, nil)
		t.Cleanup(func() { l.Done(Served) })
	}
}

// TestBlockedByItself: a call is blocked where there is no room and as many calls of
// its own chain as there are slots, and that is when a search finds nothing.
func TestBlockedByItself(t *testing.T) {
	for _, nested := range []bool{false, true} {
		for max := 1; max <= 4; max++ {
			for held := 0; held <= max; held++ {
				t.Run(fmt.Sprintf("nested %v, %d of %d", nested, held, max), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						cfg := pooling(addrA)
						cfg.MaxConnections, cfg.NestedReserve = max, 1
						r := newRigWith(cfg)
						r.daemon(t, addrA, &pyrotest.Daemon{})
						holder, c := r.connected(t, "x"), r.connected(t, "x")
						holder.a.Nested, c.a.Nested = true, nested
						for range held {
							defer holder.must(t).Done(Served)
						}
						c.a.Again()
						blocked := r.Blocked(c.a, func(_ *Endpoint, room bool, slots int) bool { return !room && held >= slots })
						l := r.TryLease(c.a)
						if l == nil {
							ctx, cancel := context.WithTimeout(t.Context(), time.Second)
							defer cancel()
							l, _ = r.Acquire(ctx, c.a)
						}
						if served := l != nil; served == blocked {
							t.Errorf("blocked %v, served %v", blocked, served)
						}
						if l != nil {
							l.Done(Served)
						}
						holder.leave()
						c.leave()
					})
				})
			}
		}
	}
}
