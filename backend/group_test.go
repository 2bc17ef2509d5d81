package backend

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// rollout is a cluster of mode call, in which each endpoint's daemon says which
// version of the object it has.
func rollout(t *testing.T, versions map[string]string) (*rig, map[string]*pyrotest.Daemon) {
	t.Helper()
	var addresses []string
	for _, addr := range addrABCD {
		if versions[addr] != "" {
			addresses = append(addresses, addr)
		}
	}
	r := newRigWith(pooling(addresses...))
	daemons := make(map[string]*pyrotest.Daemon)
	for _, addr := range addresses {
		daemons[addr] = r.daemon(t, addr, &pyrotest.Daemon{OnConnect: accept(versions[addr])})
	}
	return r, daemons
}

// greetedAs is a client that was told the version.
func (r *rig) greetedAs(t *testing.T, version string) *client {
	t.Helper()
	for range 100 {
		c := r.newClient(v502, "x")
		l, err := r.Acquire(t.Context(), c.a)
		if err != nil {
			t.Fatal(err)
		}
		l.Done(Served)
		c.a.Connect = nil
		if says(l.Answer, version) {
			return c
		}
		c.leave()
	}
	t.Fatalf("no daemon says %s", version)
	return nil
}

// calls counts where n calls went, and wants the same from each that is named.
func (c *client) calls(t *testing.T, n int, want ...string) {
	t.Helper()
	got, wanted := make(map[string]int), make(map[string]int)
	for range n {
		got[c.mustCall(t)]++
	}
	for _, addr := range want {
		wanted[addr] = n / len(want)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("calls by endpoint (-want +got):\n%s", diff)
	}
}

// TestStayWithinGroup: a client's calls go to endpoints of the version that it
// was told, in turns.
func TestStayWithinGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := rollout(t, map[string]string{addrA: "old", addrB: "old", addrC: "new", addrD: "new"})
		before, after := r.greetedAs(t, "old"), r.greetedAs(t, "new")
		for _, c := range []*client{before, after} { // they come to know all
			for range 8 {
				c.mustCall(t)
			}
		}
		before.calls(t, 10, addrA, addrB)
		after.calls(t, 10, addrC, addrD)
		before.leave()
		after.leave()
		r.wantQuiet(t)
	})
}

// TestWaitWithinGroup: while its version has no room a client waits, although
// another one has.
func TestWaitWithinGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := rollout(t, map[string]string{addrA: "old", addrB: "new"})
		c, other := r.greetedAs(t, "old"), r.greetedAs(t, "new")
		var leases []*Lease
		for range 4 {
			leases = append(leases, c.must(t))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if l, err := c.lease(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %+v, %v", l, err)
		}
		waited := make(chan string)
		go func() {
			addr, err := c.call(t.Context())
			if err != nil {
				t.Error(err)
			}
			waited <- addr
		}()
		synctest.Wait()
		other.mustCall(t) // frees something, of no use to the one who waits
		leases[0].Done(Served)
		if addr := <-waited; addr != addrA {
			t.Errorf("went to %s", addr)
		}
		for _, l := range leases[1:] {
			l.Done(Served)
		}
		c.leave()
		other.leave()
		r.wantQuiet(t)
	})
}

// TestGroupGone: when the last endpoint of its version has gone, a client moves to
// another one, and stays there.
func TestGroupGone(t *testing.T) {
	tests := []struct {
		name string
		gone func(r *rig, d *pyrotest.Daemon)
	}{
		{"removed", func(r *rig, _ *pyrotest.Daemon) {
			r.SetMembers(0, append(members(addrB), Member{Address: Address{Network: "tcp", Addr: addrC}, Dialect: v48}))
		}},
		{"drained", func(r *rig, _ *pyrotest.Daemon) { r.Drain(addrA) }},
		{"dead", func(r *rig, d *pyrotest.Daemon) {
			d.Close()
			synctest.Wait()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := pooling(addrA, addrB, addrC)
				cfg.Members[2].Dialect = v48 // of no use, but also not known to be of another version
				r := newRigWith(cfg)
				d := r.daemon(t, addrA, &pyrotest.Daemon{OnConnect: accept("old")})
				r.daemon(t, addrB, &pyrotest.Daemon{OnConnect: accept("new")})
				c, other := r.greetedAs(t, "old"), r.greetedAs(t, "new")
				c.calls(t, 6, addrA)
				other.calls(t, 6, addrB)
				test.gone(r, d)
				c.calls(t, 6, addrB)
				c.leave()
				other.leave()
				r.wantQuiet(t)
			})
		})
	}
}

// TestGreetSpreads: new clients are told any of the versions that there are, not
// only that of the daemon that was heard last.
func TestGreetSpreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := rollout(t, map[string]string{addrA: "old", addrB: "old", addrC: "old", addrD: "new"})
		first := r.greetedAs(t, "old")
		for range 10 {
			first.mustCall(t) // comes to know all of the old ones
		}
		first.leave()
		r.greetedAs(t, "new").leave() // heard last
		got := make(map[string]int)
		for range 400 {
			c := r.newClient(v502, "x")
			c.a.Connect = nil
			switch answer := r.Greet(c.a); {
			case says(answer, "old"):
				got["old"]++
			case says(answer, "new"):
				got["new"]++
			}
			c.leave()
		}
		// A fair choice of four would have to miss the new one 400 times, or to
		// come to it more than 300 times. Chance does neither (p < 1e-40).
		if got["new"] == 0 || got["new"] > 300 || got["new"]+got["old"] != 400 {
			t.Errorf("clients by version: %v", got)
		}
		r.wantQuiet(t)
	})
}

// TestRolledBack: an endpoint that was of another version is used by a client once
// it may have become another daemon, and turns out to be of the client's.
func TestRolledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, daemons := rollout(t, map[string]string{addrA: "old", addrB: "new"})
		c, other := r.greetedAs(t, "old"), r.greetedAs(t, "new")
		c.calls(t, 6, addrA)
		other.calls(t, 6, addrB)
		daemons[addrB].Close()
		synctest.Wait()
		if addr := other.mustCall(t); addr != addrA {
			t.Errorf("went to %s", addr)
		}
		r.daemon(t, addrB, &pyrotest.Daemon{OnConnect: accept("old")})
		c.mustCall(t)
		c.mustCall(t)
		c.calls(t, 6, addrA, addrB)
		c.leave()
		other.leave()
		r.wantQuiet(t)
	})
}

// TestHomeOfAnotherVersion: a client whose stream lived at an endpoint that has
// become another version goes elsewhere.
func TestHomeOfAnotherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, daemons := rollout(t, map[string]string{addrA: "old", addrB: "old"})
		c := r.greetedAs(t, "old")
		l := c.must(t)
		home, other := l.Endpoint.Address.Addr, addrA
		if home == addrA {
			other = addrB
		}
		c.a.Stay(l)
		l.Done(Spent)
		daemons[home].Close()
		synctest.Wait()
		r.daemon(t, home, &pyrotest.Daemon{OnConnect: accept("new")})
		for range 4 {
			if addr := c.mustCall(t); addr != other {
				t.Errorf("went to %s", addr)
			}
		}
		c.leave()
		r.wantQuiet(t)
	})
}

// TestGreetPrefersWell: clients are not told the version of an endpoint that is not
// well while there is another.
func TestGreetPrefersWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := rollout(t, map[string]string{addrA: "old", addrB: "new"})
		r.greetedAs(t, "old").leave()
		r.greetedAs(t, "new").leave()
		r.of(t, addrA, func(e *Endpoint) {
			for range 3 {
				e.judge.Observe(health.Down)
			}
		})
		for range 40 {
			c := r.newClient(v502, "x")
			if answer := r.Greet(c.a); !says(answer, "new") {
				t.Fatalf("told %q", answer)
			}
			c.leave()
		}
		r.wantQuiet(t)
	})
}
