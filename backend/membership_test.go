package backend

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// told is a source that says what its channel brings.
type told chan []Member

func (s told) Run(ctx context.Context, set func([]Member)) {
	for {
		select {
		case m := <-s:
			set(m)
			clear(m) // it is the source's
		case <-ctx.Done():
			return
		}
	}
}

// addresses are those in the status, with their states.
func (r *rig) addresses() map[string]string {
	found := make(map[string]string)
	for _, s := range r.Status().Endpoints {
		found[s.Address] = s.State
	}
	return found
}

// wantMembers checks the status, and that metrics are of just those.
func (r *rig) wantMembers(t *testing.T, when string, want map[string]string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, r.addresses()); diff != "" {
		t.Errorf("%s: endpoints (-want +got):\n%s", when, diff)
	}
	families, err := r.set.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if _, ok := want[l.GetValue()]; l.GetName() == "endpoint" && !ok {
					t.Errorf("%s: %s has a series of %s", when, f.GetName(), l.GetValue())
				}
			}
		}
	}
	n := 0.0
	for _, state := range want {
		if state != "removed" {
			n++
		}
	}
	if got := r.samples(t, "cluster_endpoints", "cluster")["lab"]; got != n {
		t.Errorf("%s: cluster_endpoints is %v, want %v", when, got, n)
	}
}

// TestSetMembers: endpoints come and go, and what they have goes on.
func TestSetMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA, addrB))
		daemons := make(map[string]*pyrotest.Daemon)
		for _, addr := range addrABCD {
			daemons[addr] = r.daemon(t, addr, &pyrotest.Daemon{})
		}
		r.wantMembers(t, "at first", map[string]string{addrA: "up", addrB: "up"})
		c := r.connected(t, "x")
		held := map[string]*Lease{}
		for range 2 {
			l := c.must(t)
			held[l.Endpoint.Address.Addr] = l
		}
		c.call(t.Context())
		c.call(t.Context())

		r.SetMembers(0, members(addrB, addrC, addrC))
		r.wantMembers(t, "A replaced by C", map[string]string{addrA: "removed", addrB: "up", addrC: "up"})
		if n := daemons[addrA].Open(); n != 1 {
			t.Errorf("%d connections to A: the idle one was not closed", n)
		}
		if err := r.Drain(addrA); !errors.Is(err, ErrNoEndpoint) {
			t.Errorf("drained what is removed: %v", err)
		}
		c.calls(t, 10, addrB, addrC)
		if _, err := c.on(held[addrA]); err != nil {
			t.Errorf("the call under way: %v", err)
		}
		r.wantMembers(t, "A done", map[string]string{addrB: "up", addrC: "up"})
		if n := len(c.a.Handshake.said); n != 2 {
			t.Errorf("what %d endpoints said is remembered", n)
		}
		if n := daemons[addrA].Open(); n != 0 {
			t.Errorf("%d connections to A", n)
		}

		r.SetMembers(0, members(addrC))
		r.SetMembers(0, members(addrB, addrC))
		if _, err := c.on(held[addrB]); err != nil {
			t.Errorf("the call under way: %v", err)
		}
		r.wantMembers(t, "B back", map[string]string{addrB: "up", addrC: "up"})
		c.calls(t, 10, addrB, addrC)

		r.SetMembers(0, nil)
		r.wantMembers(t, "none", map[string]string{})
		if _, err := c.call(t.Context()); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a call without endpoints: %v", err)
		}
		c.leave()
		r.wantQuiet(t)
	})
}

// TestReweigh: weights count as soon as they change, and an equal set changes no
// turns.
func TestReweigh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(Config{Members: members(addrA, addrB)})
		r.open(t, addrA, addrB)
		if diff := cmp.Diff(map[string]int{addrA: 50, addrB: 50}, r.goes(t, 100)); diff != "" {
			t.Errorf("equal weights (-want +got):\n%s", diff)
		}
		weighted := members(addrA, addrB)
		weighted[0].Weight = 3
		r.SetMembers(0, weighted)
		got := make(map[string]int)
		for range 100 {
			r.SetMembers(0, weighted) // says nothing new
			for addr, n := range r.goes(t, 1) {
				got[addr] += n
			}
		}
		if diff := cmp.Diff(map[string]int{addrA: 75, addrB: 25}, got); diff != "" {
			t.Errorf("three to one (-want +got):\n%s", diff)
		}
	})
}

// TestSources: the members of all sources together are the cluster's, and the
// first one's word counts.
func TestSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := make(told), make(told)
		cfg := pooling(addrA)
		cfg.Sources = []Source{one, two}
		r := newRigWith(cfg)
		stop := r.run(t)
		one <- members(addrB, addrA)
		two <- slices.Concat(members(addrB, addrC), []Member{{Address: Address{Network: "tcp", Addr: addrB}, Weight: 9}})
		r.wantMembers(t, "both", map[string]string{addrA: "up", addrB: "up", addrC: "up"})
		r.of(t, addrB, func(e *Endpoint) {
			if e.weight != 1 {
				t.Errorf("B has the weight %d", e.weight)
			}
		})
		one <- nil
		r.wantMembers(t, "one is empty", map[string]string{addrA: "up", addrB: "up", addrC: "up"})
		two <- members(addrC)
		r.wantMembers(t, "none names B", map[string]string{addrA: "up", addrC: "up"})
		two <- nil
		r.wantMembers(t, "both are empty", map[string]string{addrA: "up"})
		stop()
	})
}

// TestUnknownMembers: until a source has said who the members are, clients wait;
// where there are none, they are told so.
func TestUnknownMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(told)
		r := newRigWith(Config{Sources: []Source{source}, Queue: 10, QueueTimeout: 30 * time.Second})
		r.open(t, addrA)
		stop := r.run(t)
		q := newLine(t, r)
		for _, name := range []string{"a", "b"} {
			q.join(t.Context(), name, &Attempt{Dialect: v502})
		}
		time.Sleep(20 * time.Second)
		q.want()
		source <- members(addrA)
		synctest.Wait()
		q.doneAll(2)
		source <- nil
		synctest.Wait()
		if _, err := r.Acquire(t.Context(), &Attempt{Dialect: v502}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("got %v", err)
		}
		stop()
		r.wantQuiet(t)
	})
}

// TestNeverTold: where no source ever says anything, it is queue_timeout.
func TestNeverTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(Config{Sources: []Source{make(told)}, Queue: 10, QueueTimeout: 30 * time.Second})
		if l := r.TryLease(&Attempt{Dialect: v502}); l != nil {
			t.Error("a lease of nothing")
		}
		if _, err := r.Acquire(t.Context(), &Attempt{Dialect: v502}); !errors.Is(err, ErrQueueTimeout) {
			t.Errorf("got %v", err)
		}
		r.wantQuiet(t)
	})
}

// TestDrain: nothing new goes to an endpoint that is drained, also after it has
// been away; what it has goes on.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA, addrB))
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		r.daemon(t, addrB, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		c.calls(t, 4, addrA, addrB)
		var held *Lease
		for held == nil {
			if l := c.must(t); l.Endpoint.Address.Addr == addrA {
				held = l
			} else {
				l.Done(Served)
			}
		}
		for range 2 {
			if err := r.Drain(addrA); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Drain("192.0.2.77:1"); !errors.Is(err, ErrNoEndpoint) {
			t.Errorf("drained what is not there: %v", err)
		}
		r.wantMembers(t, "drained", map[string]string{addrA: "draining", addrB: "up"})
		c.calls(t, 10, addrB)
		if _, err := c.on(held); err != nil {
			t.Errorf("the call under way: %v", err)
		}
		synctest.Wait()
		if n := d.Open(); n != 0 {
			t.Errorf("%d connections to A", n)
		}
		r.SetMembers(0, members(addrB))
		r.wantMembers(t, "removed", map[string]string{addrB: "up"})
		r.SetMembers(0, members(addrA, addrB))
		r.wantMembers(t, "back", map[string]string{addrA: "draining", addrB: "up"})
		r.SetMembers(0, members(addrB))
		if err := r.Undrain(addrA); err != nil { // while it is away
			t.Error(err)
		}
		if err := r.Undrain(addrA); !errors.Is(err, ErrNoEndpoint) {
			t.Errorf("undrained again: %v", err)
		}
		r.SetMembers(0, members(addrA, addrB))
		r.wantMembers(t, "back again", map[string]string{addrA: "up", addrB: "up"})
		for held = nil; held == nil; {
			if l := c.must(t); l.Endpoint.Address.Addr == addrA {
				held = l
			} else {
				l.Done(Served)
			}
		}
		if err := r.Drain(addrA); err != nil {
			t.Fatal(err)
		}
		r.SetMembers(0, members(addrB))
		if err := r.Undrain(addrA); err != nil { // while it is leaving
			t.Error(err)
		}
		r.SetMembers(0, members(addrA, addrB))
		held.Done(Served)
		r.wantMembers(t, "back at last", map[string]string{addrA: "up", addrB: "up"})
		c.calls(t, 10, addrA, addrB)
		c.leave()
		r.wantQuiet(t)
	})
}

// TestReconfigure: bounds and balance change while calls are under way.
func TestReconfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		r.daemon(t, addrA, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		var leases []*Lease
		for range 4 {
			leases = append(leases, c.must(t))
		}
		waited := make(chan error)
		go func() {
			_, err := c.rig.connectedLater().call(t.Context())
			waited <- err
		}()
		synctest.Wait()
		r.Reconfigure(LeastRequest, 5, 0, 1)
		if err := <-waited; err != nil {
			t.Error(err)
		}
		leases[0].Done(Served)
		r.Reconfigure(LeastRequest, 2, 0, 1)
		for _, l := range leases[1:] {
			l.Done(Served)
		}
		r.wantIdle(t, addrA, 2)
		r.Reconfigure(LeastRequest, 1, 0, 1)
		r.wantIdle(t, addrA, 1)
		c.leave()
		r.wantQuiet(t)
	})
}

// TestNews: what the sources say first is not news, whichever is the first; what
// they say later is, and begins with slow start.
func TestNews(t *testing.T) {
	member := func(addr string) Member { return Member{Address: Address{Network: "tcp", Addr: addr}} }
	c := NewCluster(Config{
		Name: "lab", Members: []Member{member(addrA)}, Sources: []Source{nil, nil},
		Metrics: metrics.New(metrics.Build{}), SlowStart: time.Minute,
	})
	ramping := func() (addrs []string) {
		for _, e := range c.members {
			if !e.upSince.IsZero() {
				addrs = append(addrs, e.Address.Addr)
			}
		}
		return addrs
	}
	c.SetMembers(2, []Member{member(addrB)})
	c.SetMembers(1, []Member{member(addrC)})
	if got := ramping(); got != nil {
		t.Errorf("slow start of %v, which were there first", got)
	}
	c.SetMembers(1, []Member{member(addrC), member(addrD)})
	if got := ramping(); !slices.Equal(got, []string{addrD}) {
		t.Errorf("slow start of %v, want that of the new one", got)
	}
}
