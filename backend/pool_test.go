package backend

import (
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// pooling is a configuration of mode call with bounds that tests can reach.
func pooling(addresses ...string) Config {
	return Config{
		Members: members(addresses...), Adopt: adopt, MaxConnections: 4,
		Queue: 1024, QueueTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		HandshakeTTL: 5 * time.Minute, GhostTimeout: time.Minute, MaxPinned: 2,
	}
}

// TestReuse: one connection serves all calls that come one after the other, and
// of several the one that was used last.
func TestReuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		one, two := r.connected(t, "x"), r.connected(t, "x")
		for range 10 {
			one.mustCall(t)
			two.mustCall(t)
		}
		if n := len(d.Conns()); n != 1 {
			t.Fatalf("%d connections were opened", n)
		}
		first, second := one.must(t), two.must(t)

		if first.Conn == second.Conn {
			t.Fatal("two hold one connection")
		}
		first.Done(Served)
		second.Done(Served)
		if l := one.must(t); l.Conn != second.Conn {
			t.Error("it was not the connection used last")
		} else {
			l.Done(Served)
		}
		r.wantIdle(t, addrA, 2)
		one.leave()
		two.leave()
		r.wantQuiet(t)
	})
}

// TestIdleTimeout: what has not been used for idle_timeout is closed, the rest
// stays.
func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		stop := r.run(t)
		c := r.connected(t, "x")
		first, second := c.must(t), c.must(t)
		first.Done(Served)
		second.Done(Served)
		for range 5 {
			time.Sleep(30 * time.Second)
			c.mustCall(t)
		}
		synctest.Wait()
		if n := d.Open(); n != 1 {
			t.Errorf("%d connections are open", n)
		}
		r.wantIdle(t, addrA, 1)
		time.Sleep(62 * time.Second)
		synctest.Wait()
		if n := d.Open(); n != 0 {
			t.Errorf("%d connections are open after idle_timeout", n)
		}
		c.leave()
		stop()
		r.wantQuiet(t)
	})
}

// TestStopClosesIdle: when Run ends, idle connections are closed, and those that
// are given back later.
func TestStopClosesIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		stop := r.run(t)
		synctest.Wait()
		c := r.connected(t, "x")
		l, other := c.must(t), c.must(t)
		other.Done(Served)
		stop()
		synctest.Wait()
		if n := d.Open(); n != 1 {
			t.Errorf("%d connections are open, one is leased", n)
		}
		if _, err := c.on(l); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := d.Open(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
		if l := r.TryLease(c.a); l != nil {
			t.Error("a connection of a cluster that has stopped")
		}
		c.mustCall(t) // it serves all the same
		r.wantQuiet(t)
	})
}

// TestMaxAge: a connection is replaced when it is too old, between nine tenths
// of max_age and all of it.
func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxAge = time.Hour
		cfg.IdleTimeout = 0
		r := newRigWith(cfg)
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		time.Sleep(53 * time.Minute)
		c.mustCall(t)
		if n := len(d.Conns()); n != 1 {
			t.Fatalf("%d connections, although none is too old", n)
		}
		l := c.must(t)
		time.Sleep(8 * time.Minute)
		l.Done(Served) // too old as it is given back
		r.wantIdle(t, addrA, 0)
		c.mustCall(t)
		time.Sleep(61 * time.Minute)
		c.mustCall(t) // too old as it is taken
		synctest.Wait()
		if all, open := len(d.Conns()), d.Open(); all != 3 || open != 1 {
			t.Errorf("%d connections in all, %d open", all, open)
		}
		c.leave()
		r.wantQuiet(t)
	})
}

// TestMaxAgeJitter: connections that were opened together do not end together.
func TestMaxAgeJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxAge, cfg.MaxConnections = time.Hour, 50
		r := newRigWith(cfg)
		r.daemon(t, addrA, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		var leases []*Lease
		for range 50 {
			leases = append(leases, c.must(t))
		}
		var ages []time.Duration
		for _, l := range leases {
			ages = append(ages, time.Until(l.Conn.retire))
			l.Done(Served)
		}
		if low, high := slices.Min(ages), slices.Max(ages); low < 54*time.Minute || high > time.Hour || high-low < 3*time.Minute {
			t.Errorf("they retire after %v to %v", low, high)
		}
		c.leave()
		r.wantQuiet(t)
	})
}

// TestDeadIdle: a connection that the daemon has closed costs nobody a call.
func TestDeadIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		for range 3 {
			l, other := c.must(t), c.must(t)
			l.Done(Served)
			other.Done(Served)
			for _, conn := range d.Conns() {
				conn.Close()
			}
			synctest.Wait()
			r.wantIdle(t, addrA, 0)
			c.mustCall(t)
		}
		if failures := r.failures(t); len(failures) > 0 {
			t.Errorf("counted %v", failures)
		}
		c.leave()
		r.wantQuiet(t)
	})
}

// TestDeadSocket: the end of an idle connection, or bytes that nobody asked for,
// are found before its next use although no Reader has told of them.
func TestDeadSocket(t *testing.T) {
	for name, end := range map[string]func(*pyrotest.DaemonConn){
		"closed":  func(c *pyrotest.DaemonConn) { c.Close() },
		"reset":   func(c *pyrotest.DaemonConn) { c.Reset() },
		"garbage": func(c *pyrotest.DaemonConn) { c.Write([]byte("?")) },
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			d := &pyrotest.Daemon{}
			d.Start(listener)
			t.Cleanup(d.Close)
			cfg := pooling(listener.Addr().String())
			cfg.Adopt, cfg.Name, cfg.Dialer, cfg.ConnectTimeout = nil, "lab", &net.Dialer{}, time.Minute
			r := &rig{set: metrics.New(metrics.Build{})}
			cfg.Metrics = r.set
			r.Cluster = NewCluster(cfg)
			c := r.connected(t, "x")
			l := c.must(t)
			l.Done(Served)
			if again := c.must(t); again.Conn != l.Conn {
				t.Fatal("it is not used again while it lives")
			} else {
				again.Done(Served)
			}
			end(d.Conns()[0])
			pyrotest.WaitFor(t, "the end arrives", func() bool { return !l.Conn.alive() })
			if l := r.TryLease(c.a); l != nil {
				t.Error("a dead connection was given out")
			}
			r.wantIdle(t, r.members[0].Address.Addr, 0)
			c.leave()
		})
	}
}

// TestDeadInTheQueue: a connection that ends between the grant and its use is
// not what a waiter gets.
func TestDeadInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		l := c.must(t)
		l.Done(Served)
		r.lock()
		g, ok, _ := r.tryGrant(c.a, time.Now())
		r.unlock()
		if !ok || g.conn != l.Conn {
			t.Fatalf("granted %+v", g)
		}
		d.Conns()[0].Close()
		synctest.Wait()
		if l, err := r.Cluster.open(t.Context(), c.a, g); l != nil || err != nil {
			t.Fatalf("got %+v, %v", l, err)
		}
		r.wantIdle(t, addrA, 0)
		c.leave()
		r.wantQuiet(t)
	})
}

// TestMinIdle: min_idle connections are kept for each handshake in use, within
// max_connections, without closing others, and not at an endpoint that is drained.
func TestMinIdle(t *testing.T) {
	tests := []struct {
		name       string
		clients    int // each with a handshake of its own
		minIdle    int
		max        int
		drained    bool
		want, held int // connections at B, and of those leased
	}{
		{"one handshake", 1, 2, 4, false, 2, 0},
		{"two handshakes", 2, 2, 8, false, 4, 0},
		{"no more than max_connections", 3, 2, 4, false, 4, 0},
		{"drained", 1, 2, 4, true, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := pooling(addrA, addrB)
				cfg.MinIdle, cfg.MaxConnections, cfg.IdleTimeout = test.minIdle, test.max, 0
				r := newRigWith(cfg)
				d := r.daemon(t, addrA, &pyrotest.Daemon{})
				r.daemon(t, addrB, &pyrotest.Daemon{})
				stop := r.run(t)
				if test.drained {
					if err := r.Drain(addrA); err != nil {
						t.Fatal(err)
					}
				}
				var clients []*client
				for i := range test.clients {
					clients = append(clients, r.connected(t, string(rune('a'+i))))
				}
				for range 10 {
					time.Sleep(time.Second)
					synctest.Wait()
					r.consistent(t)
				}
				if n := d.Open(); n != test.want {
					t.Errorf("%d connections, want %d", n, test.want)
				}
				for _, c := range clients {
					c.leave()
				}
				stop()
				r.wantQuiet(t)
			})
		})
	}
}

// TestMinIdleBesideSilent: an endpoint that does not answer keeps no other from
// having its idle connections, nor old ones from being closed.
func TestMinIdleBesideSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA, addrB, addrC)
		cfg.MinIdle, cfg.IdleTimeout = 1, 0
		r := newRigWith(cfg)
		r.network.BlackHole(addrA)
		r.network.BlackHole(addrB)
		d := r.daemon(t, addrC, &pyrotest.Daemon{})
		c := r.newClient(v502, "x")
		c.a.tried = map[*Endpoint]bool{r.members[0]: true, r.members[1]: true}
		if err := c.shake(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop := r.run(t)
		for _, conn := range d.Conns() {
			conn.Close()
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if n := d.Open(); n != 1 {
			t.Errorf("%d connections to the one that answers", n)
		}
		time.Sleep(time.Minute)
		r.consistent(t)
		c.leave()
		stop()
		r.wantQuiet(t)
	})
}
