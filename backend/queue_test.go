package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// TestFairOrder: who waits is served in the order of coming, nested calls before
// all others.
func TestFairOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(waiting(addrA))
		r.open(t, addrA)
		holder := r.acquire(t, nil)
		q := newLine(t, r)
		q.join(t.Context(), "a", &Attempt{Dialect: v502})
		q.join(t.Context(), "b", &Attempt{Dialect: v48})
		q.join(t.Context(), "nested c", &Attempt{Dialect: v502, Nested: true})
		q.join(t.Context(), "d", &Attempt{Dialect: v502})
		q.join(t.Context(), "nested e", &Attempt{Dialect: v48, Nested: true})
		if n := r.Status().Waiting; n != 5 {
			t.Errorf("%d wait", n)
		}
		if got := r.samples(t, "queue_length", "cluster"); got["lab"] != 5 {
			t.Errorf("queue_length is %v", got)
		}
		want := []string{"nested c", "nested e", "a", "b", "d"}
		holder.Done(Served)
		for i, name := range want {
			q.want(want[:i+1]...)
			q.done(name)
		}
		q.wg.Wait()
		r.wantQuiet(t)
	})
}

// TestQueueBounds: no more wait than may, and none for longer than may be.
func TestQueueBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := waiting(addrA)
		cfg.Queue = 2
		r := newRigWith(cfg)
		r.open(t, addrA)
		holder := r.acquire(t, nil)
		q := newLine(t, r)
		began := time.Now()
		q.join(t.Context(), "a", &Attempt{Dialect: v502})
		time.Sleep(10 * time.Second)
		q.join(t.Context(), "b", &Attempt{Dialect: v502})
		if _, err := r.Acquire(t.Context(), &Attempt{Dialect: v502}); !errors.Is(err, ErrQueueFull) {
			t.Errorf("a third one: %v", err)
		}
		// One that has waited before, and was sent away in vain, is let in.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Acquire(ctx, &Attempt{Dialect: v502, ticket: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one who comes back: %v", err)
		}
		q.wg.Wait()
		if took := time.Since(began); took != 40*time.Second {
			t.Errorf("the second gave up after %v", took)
		}
		for name, err := range q.errs {
			if !errors.Is(err, ErrQueueTimeout) {
				t.Errorf("%s: %v", name, err)
			}
		}
		q.want("a", "b")
		if diff := cmp.Diff(map[string]float64{"full": 1, "timeout": 2}, r.samples(t, "queue_refused_total", "reason")); diff != "" {
			t.Errorf("queue_refused_total (-want +got):\n%s", diff)
		}
		holder.Done(Served)
		r.wantQuiet(t)
	})
}

// TestNoQueue: where none may wait, none does.
func TestNoQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := waiting(addrA)
		cfg.Queue = 0
		r := newRigWith(cfg)
		r.open(t, addrA)
		holder := r.acquire(t, nil)
		if _, err := r.Acquire(t.Context(), &Attempt{Dialect: v502}); !errors.Is(err, ErrQueueFull) {
			t.Errorf("got %v", err)
		}
		holder.Done(Served)
		r.wantQuiet(t)
	})
}

// TestNestedPlaces: calls that fill the queue leave nested ones a place, for they may be
// waiting for what those do.
func TestNestedPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := waiting(addrA)
		cfg.Queue = 2
		r := newRigWith(cfg)
		r.open(t, addrA)
		holder := r.acquire(t, nil)
		q := newLine(t, r)
		for _, name := range []string{"a", "b", "nested c", "nested d"} {
			q.join(t.Context(), name, &Attempt{Dialect: v502, Nested: strings.HasPrefix(name, "nested")})
		}
		for _, nested := range []bool{false, true} {
			if _, err := r.Acquire(t.Context(), &Attempt{Dialect: v502, Nested: nested}); !errors.Is(err, ErrQueueFull) {
				t.Errorf("nested %v: %v", nested, err)
			}
		}
		holder.Done(Served)
		for _, name := range []string{"nested c", "nested d", "a", "b"} {
			synctest.Wait()
			q.done(name)
		}
		r.wantQuiet(t)
	})
}

// TestQueueTimeoutIsShared: one search has queue_timeout once, however many
// endpoints it comes to, and whatever it finds there. What a lease takes is not
// counted: the call was under way.
func TestQueueTimeoutIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(waiting(addrA, addrB))
		r.open(t, addrA, addrB)
		first, second := r.acquire(t, nil), r.acquire(t, nil)
		a := &Attempt{Dialect: v502}
		began := time.Now()
		time.AfterFunc(20*time.Second, func() { first.Done(Served) })
		l := r.acquire(t, a)
		time.Sleep(time.Minute)
		l.Done(Broken) // and so to the other one
		if _, err := r.Acquire(t.Context(), a); !errors.Is(err, ErrQueueTimeout) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 90*time.Second {
			t.Errorf("gave up after %v, of which a minute was used", took)
		}
		a.Again()
		r.acquire(t, a).Done(Served)
		second.Done(Served)
		r.wantQuiet(t)
	})
}

// TestCancelledWaiters leave no trace, whether they had been granted something
// at the same moment or not.
func TestCancelledWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(waiting(addrA))
		r.open(t, addrA)
		for range 50 {
			holder := r.acquire(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			q := newLine(t, r)
			for i := range 4 {
				q.join(ctx, fmt.Sprint(i), &Attempt{Dialect: v502, Nested: i%2 == 0})
			}
			r.Pause()
			holder.Done(Served)
			r.lock() // at the same moment
			r.paused = false
			r.serveAll()
			cancel()
			r.unlock()
			q.wg.Wait()
			for name, l := range q.leases {
				if l != nil {
					l.Done(Served)
				} else if !errors.Is(q.errs[name], context.Canceled) {
					t.Errorf("%s: %v", name, q.errs[name])
				}
			}
			r.consistent(t)
		}
		r.wantQuiet(t)
	})
}

// TestTakenBack: what was granted to one who gives up goes to the next.
func TestTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(waiting(addrA))
		r.open(t, addrA)
		holder := r.acquire(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		q := newLine(t, r)
		q.join(ctx, "gone", &Attempt{Dialect: v502})
		q.join(t.Context(), "next", &Attempt{Dialect: v502})
		r.network.BlackHole(addrA) // so that the first one is granted, and hangs
		holder.Done(Served)
		synctest.Wait()
		r.network.Restore(addrA)
		cancel()
		q.want("gone", "next")
		q.done("next")
		r.wantQuiet(t)
	})
}

// TestNestedReserve: calls that are not nested leave the last slot alone, and
// nested ones may have it.
func TestNestedReserve(t *testing.T) {
	tests := []struct {
		max, reserve int
		roots        int // that are served at once
	}{{4, 1, 3}, {4, 0, 4}, {4, 3, 1}, {4, 9, 1}, {1, 1, 1}, {2, 1, 1}}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d of %d", test.reserve, test.max), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := pooling(addrA)
				cfg.MaxConnections, cfg.NestedReserve = test.max, test.reserve
				r := newRigWith(cfg)
				r.daemon(t, addrA, &pyrotest.Daemon{})
				root, nested := r.connected(t, "x"), r.connected(t, "x")
				nested.a.Nested = true
				var leases []*Lease
				for range test.roots {
					leases = append(leases, root.must(t))
				}
				if l := r.TryLease(root.a); l != nil {
					t.Error("one root call too many")
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if l, err := r.Acquire(ctx, root.a); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("one root call too many: %v, %v", l, err)
				}
				for range test.max - test.roots {
					leases = append(leases, nested.must(t))
				}
				if l := r.TryLease(nested.a); l != nil {
					t.Error("one nested call too many")
				}
				for _, l := range leases {
					l.Done(Served)
				}
				r.wantQuiet(t)
			})
		})
	}
}

// TestReservedIdle: an idle connection in the slot that is kept for nested calls
// is not for others either.
func TestReservedIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxConnections, cfg.NestedReserve = 2, 1
		r := newRigWith(cfg)
		r.daemon(t, addrA, &pyrotest.Daemon{})
		root, nested := r.connected(t, "x"), r.connected(t, "x")
		nested.a.Nested = true
		first, second := root.must(t), nested.must(t)
		second.Done(Served)
		if l := r.TryLease(root.a); l != nil {
			t.Error("a root call took the last slot")
		}
		if l := r.TryLease(nested.a); l == nil {
			t.Error("a nested call did not get it")
		} else {
			l.Done(Served)
		}
		first.Done(Served)
		r.wantQuiet(t)
	})
}

// TestPause: nothing new goes anywhere, what is under way goes on, and nothing
// fails.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		under := c.must(t)
		r.Pause()
		r.Pause()
		if !r.Status().Paused {
			t.Error("the status does not say so")
		}
		if l := r.TryLease(c.a); l != nil {
			t.Error("a lease of a paused cluster")
		}
		if _, err := c.on(under); err != nil {
			t.Errorf("the call under way: %v", err)
		}
		results := make(chan error)
		for range 6 {
			other := r.connectedLater()
			go func() {
				_, err := other.call(t.Context())
				results <- err
			}()
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := r.Status().Waiting; n != 6 {
			t.Errorf("%d wait", n)
		}
		if n := len(d.Conns()); n != 1 {
			t.Errorf("%d connections", n)
		}
		r.Resume()
		for range 6 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		r.wantQuiet(t)
	})
}

// TestOnlyGone: one for whom a single endpoint will do waits for it no longer when it is
// not to be had any more, however busy the others are.
func TestOnlyGone(t *testing.T) {
	tests := map[string]func(r *rig){
		"removed": func(r *rig) { r.SetMembers(0, members(addrB)) },
		"drained": func(r *rig) { r.Drain(addrA) },
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(waiting(addrA, addrB))
				r.open(t, addrA, addrB)
				a, b := r.acquire(t, nil), r.acquire(t, nil)
				q := newLine(t, r)
				q.join(t.Context(), "one", &Attempt{Dialect: v502, Only: Address{Network: "tcp", Addr: addrA}})
				q.want()
				lose(r)
				q.want("one")
				a.Done(Served)
				b.Done(Served)
				q.wg.Wait()
				if err := q.errs["one"]; !errors.Is(err, ErrUnreachable) {
					t.Errorf("the error is %v", err)
				}
				r.wantQuiet(t)
			})
		})
	}
}
