package backend

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// TestOthersDoNotStarve: a long queue for one kind of endpoint keeps nobody from
// another.
func TestOthersDoNotStarve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := waiting()
		cfg.Members = []Member{
			{Address: Address{Network: "tcp", Addr: addrA}, Dialect: v48},
			{Address: Address{Network: "tcp", Addr: addrB}, Dialect: v502},
			{Address: Address{Network: "tcp", Addr: addrC}, Dialect: v502},
		}
		r := newRigWith(cfg)
		r.open(t, addrA, addrB, addrC)
		four, five, tried := r.acquire(t, &Attempt{Dialect: v48}), r.acquire(t, nil), r.acquire(t, nil)
		q := newLine(t, r)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 500 {
			a := &Attempt{Dialect: v48}
			if i%2 == 0 { // these have been at C
				a = &Attempt{Dialect: v502, tried: map[*Endpoint]bool{tried.Endpoint: true}}
			}
			go r.Acquire(ctx, a)
		}
		synctest.Wait()
		q.join(t.Context(), "for C", &Attempt{Dialect: v502})
		tried.Done(Served) // of use to the last one alone
		q.want("for C")
		r.consistent(t)
		cancel()
		synctest.Wait()
		q.done("for C")
		four.Done(Served)
		five.Done(Served)
		r.wantQuiet(t)
	})
}

// TestHomesDoNotHide: many who wait for an endpoint of their own, each for
// another, do not keep those behind them from being looked at.
func TestHomesDoNotHide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3 * maxMisses
		var addresses []string
		for i := range n {
			addresses = append(addresses, fmt.Sprintf("192.0.2.1:%d", 1000+i))
		}
		r := newRigWith(waiting(addresses...))
		r.open(t, addresses...)
		var leases []*Lease
		for range n {
			leases = append(leases, r.acquire(t, nil))
		}
		ctx, cancel := context.WithCancel(t.Context())
		for _, l := range leases[1:] {
			go r.Acquire(ctx, &Attempt{Dialect: v502, home: l.Endpoint})
		}
		synctest.Wait()
		q := newLine(t, r)
		q.join(t.Context(), "behind", &Attempt{Dialect: v502, home: leases[0].Endpoint})
		r.Pause()
		leases[0].Done(Served)
		r.Resume() // one look may end before it comes to the last one, not all
		time.Sleep(time.Second)
		q.want("behind")
		cancel()
		synctest.Wait()
		q.done("behind")
		for _, l := range leases[1:] {
			l.Done(Served)
		}
		r.wantQuiet(t)
	})
}

// TestEndpointsLost: those who wait for something that vanishes are told so.
func TestEndpointsLost(t *testing.T) {
	tests := []struct {
		name string
		lose func(r *rig)
	}{
		{"removed", func(r *rig) { r.SetMembers(0, nil) }},
		{"drained", func(r *rig) { r.Drain(addrA) }},
		{"of the other dialect", func(r *rig) {
			r.lock()
			r.members[0].learn(v48)
			r.unlock()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(waiting(addrA))
				r.open(t, addrA)
				holder := r.acquire(t, nil)
				q := newLine(t, r)
				q.join(t.Context(), "a", &Attempt{Dialect: v502})
				began := time.Now()
				test.lose(r)
				q.wg.Wait()
				if err := q.errs["a"]; !errors.Is(err, ErrUnreachable) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("after %v", took)
				}
				holder.Done(Served)
				r.wantQuiet(t)
			})
		})
	}
}

// TestRemovedWhileWaiting: who waits is never sent to an endpoint that is just
// being removed, whose idle connections are closed at that moment.
func TestRemovedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA, addrB)
		cfg.MaxConnections = 1
		r := newRigWith(cfg)
		r.daemon(t, addrA, &pyrotest.Daemon{})
		r.daemon(t, addrB, &pyrotest.Daemon{})
		x := r.connected(t, "x")
		l, holder := x.must(t), x.must(t)
		gone := l.Endpoint.Address.Addr
		l.Done(Served)
		settle := func(at time.Time) {
			r.of(t, gone, func(e *Endpoint) { e.full.settle = at })
		}
		settle(time.Now().Add(time.Hour)) // until when it is not to be had
		y := r.newClient(v502, "y")
		q := newLine(t, r)
		q.join(t.Context(), "y", y.a)
		settle(time.Time{}) // as if nobody had looked yet
		r.SetMembers(0, members(holder.Endpoint.Address.Addr))
		q.want()
		r.consistent(t)
		if s := r.Status(); len(s.Endpoints) != 1 {
			t.Errorf("the status is %+v", s)
		}
		holder.Done(Served)
		q.want("y")
		q.doneAll(1)
		r.wantQuiet(t)
	})
}

// TestDeadAmongWaiters: idle connections that turn out to be dead while others
// are being served make room for exactly as many.
func TestDeadAmongWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxAge = time.Minute
		cfg.IdleTimeout = 0
		r := newRigWith(cfg)
		r.daemon(t, addrA, &pyrotest.Daemon{})
		x, y := r.connected(t, "x"), r.connected(t, "y")
		var leases []*Lease
		for range 3 {
			leases = append(leases, x.must(t))
		}
		r.Pause()
		q := newLine(t, r)
		for i := range 6 {
			c := x
			if i%2 == 0 {
				c = y
			}
			q.join(t.Context(), fmt.Sprint(i), &Attempt{Dialect: v502, Handshake: c.a.Handshake, Nested: i > 2})
		}
		for _, l := range leases {
			l.Done(Served)
		}
		r.lock() // all idle ones are too old now
		for _, conn := range r.members[0].idle {
			conn.retire = time.Now().Add(-1)
		}
		r.unlock()
		r.Resume()
		synctest.Wait()
		q.doneAll(6)
		r.wantQuiet(t)
	})
}

// TestEvictedForNobody: a connection that had to go for one who has gone, too, is
// closed all the same.
func TestEvictedForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxConnections = 1
		r := newRigWith(cfg)
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		x, y := r.connected(t, "x"), r.newClient(v502, "y")
		r.lock()
		g, ok, _ := r.tryGrant(y.a, time.Now())
		r.unlock()
		if !ok || g.evicted == nil {
			t.Fatalf("granted %+v", g)
		}
		r.takeBack(g)
		synctest.Wait()
		if n := d.Open(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
		x.leave()
		y.leave()
		r.wantQuiet(t)
	})
}
