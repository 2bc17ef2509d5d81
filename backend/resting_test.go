package backend

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// onewayDaemon runs oneway calls in the connection's own thread, as Pyro4 does with
// batches: until it gets a signal.
func onewayDaemon(signal <-chan struct{}) *pyrotest.Daemon {
	return &pyrotest.Daemon{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		if m.Head.Has(wire.Oneway) {
			select {
			case <-signal:
			case <-c.Closing():
			}
			return
		}
		pyrotest.Echo(c, m)
	}}
}

// states checks an endpoint's counts.
func (r *rig) states(t *testing.T, when string, active, resting, ghosts, idle int) {
	t.Helper()
	synctest.Wait()
	r.consistent(t)
	r.of(t, addrA, func(e *Endpoint) {
		if e.active != active || e.resting != resting || e.ghosts != ghosts || len(e.idle) != idle {
			t.Errorf("%s: %d active, %d resting, %d ghosts, %d idle; want %d, %d, %d, %d", when,
				e.active, e.resting, e.ghosts, len(e.idle), active, resting, ghosts, idle)
		}
	})
}

// TestResting: while a client's oneway call may still run, its connection is for
// that client alone, whose next call goes there; and then for everybody.
func TestResting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		signal := make(chan struct{})
		d := r.daemon(t, addrA, onewayDaemon(signal))
		c, other := r.connected(t, "x"), r.connected(t, "x")
		l := c.must(t)
		rested := l.Conn
		c.oneway(t, l)
		r.states(t, "after a oneway call", 0, 1, 0, 0)

		l = other.must(t)
		if l.Conn == rested {
			t.Fatal("another client has it")
		}
		if _, err := other.on(l); err != nil {
			t.Fatal(err)
		}
		l = c.must(t)
		if l.Conn != rested || l.Pings != 1 {
			t.Fatalf("the client itself has another one, or %d pings", l.Pings)
		}
		c.oneway(t, l) // the second in a row
		r.states(t, "after two", 0, 1, 0, 1)
		l = c.must(t)
		if l.Conn != rested || l.Pings != 2 {
			t.Fatalf("the client itself has another one, or %d pings", l.Pings)
		}
		signal <- struct{}{}
		synctest.Wait() // nobody holds it yet, and one answer has come
		c.oneway(t, l)
		r.states(t, "after three, of which one is over", 0, 1, 0, 1)
		signal <- struct{}{}
		r.states(t, "after two are over", 0, 1, 0, 1)
		signal <- struct{}{}
		r.states(t, "after all are over", 0, 0, 0, 2)
		if n := len(d.Conns()); n != 2 {
			t.Errorf("%d connections", n)
		}
		if l := c.must(t); l.Pings != 0 {
			t.Errorf("%d pings", l.Pings)
		} else {
			l.Done(Served)
		}
		c.leave()
		other.leave()
		r.wantQuiet(t)
	})
}

// TestSettled: what came in while nobody held the connection does not count for the
// PING behind the holder's own call.
func TestSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		answer := make(chan struct{})
		r.daemon(t, addrA, &pyrotest.Daemon{OnPing: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			<-answer
			pyrotest.Pong(c, m)
		}})
		c := r.connected(t, "x")
		c.oneway(t, c.must(t))
		l := c.must(t)
		if l.Pings != 1 {
			t.Fatalf("%d pings", l.Pings)
		}
		answer <- struct{}{}
		synctest.Wait() // the reader has seen the answer, and the holder has not
		l.Settled()
		if _, err := l.Conn.Write(wire.AppendPing(nil, c.d, wire.Serpent, 1)); err != nil {
			t.Fatal(err)
		}
		l.Done(Doubtful)
		r.states(t, "in doubt", 0, 1, 0, 0)
		answer <- struct{}{}
		r.states(t, "answered", 0, 0, 0, 1)
		c.leave()
		r.wantQuiet(t)
	})
}

// TestDoubtful: a connection that its daemon may be about to close is for nobody,
// not even for who had it, until a PING is answered.
func TestDoubtful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		answer := make(chan struct{})
		d := r.daemon(t, addrA, &pyrotest.Daemon{OnPing: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			select {
			case <-answer:
				pyrotest.Pong(c, m)
			case <-c.Closing():
			}
		}})
		c := r.connected(t, "x")
		doubt := func() *Conn {
			t.Helper()
			l := c.must(t)
			if _, err := l.Conn.Write(wire.AppendPing(nil, c.d, wire.Serpent, 0x5049)); err != nil {
				t.Fatal(err)
			}
			l.Done(Doubtful)
			return l.Conn
		}
		first := doubt()
		r.states(t, "in doubt", 0, 1, 0, 0)
		second := doubt()
		if second == first {
			t.Fatal("the client was given it again")
		}
		r.states(t, "both in doubt", 0, 2, 0, 0)
		answer <- struct{}{}
		r.states(t, "one is answered", 0, 1, 0, 1)
		for _, conn := range d.Conns() {
			conn.Close()
		}
		r.states(t, "closed", 0, 0, 0, 0)
		c.leave()
		r.wantQuiet(t)
	})
}

// TestEarlyPong: an answer that comes between the last byte and Done is counted.
func TestEarlyPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		r.daemon(t, addrA, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		l := c.must(t)
		if _, err := l.Conn.Write(wire.AppendPing(c.invoke(wire.Oneway).Bytes(), c.d, wire.Serpent, 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.Done(Resting)
		r.states(t, "answered before Done", 0, 0, 0, 1)
		for range 3 {
			c.mustCall(t)
		}
		c.leave()
		r.wantQuiet(t)
	})
}

// TestRestingCancelled: a lease of such a connection that is given back unused
// leaves it resting, and so does one that nobody waited for any more.
func TestRestingCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		signal := make(chan struct{})
		r.daemon(t, addrA, onewayDaemon(signal))
		c, other := r.connected(t, "x"), r.connected(t, "x")
		c.oneway(t, c.must(t))
		c.must(t).Done(Cancelled)
		r.states(t, "cancelled", 0, 1, 0, 0)

		r.Pause()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if l, err := c.lease(ctx); err == nil {
				l.Done(Cancelled)
			}
		}()
		synctest.Wait()
		r.lock() // granted and cancelled at the same moment
		r.paused = false
		r.serveAll()
		cancel()
		r.unlock()
		<-ended
		r.states(t, "cancelled in the queue", 0, 1, 0, 0)

		l, err := r.Acquire(t.Context(), c.a)
		if err != nil {
			t.Fatal(err)
		}
		r.lock()
		g := grant{endpoint: l.Endpoint, conn: l.Conn, verdict: l.grant.verdict}
		l.Conn.pings, l.Conn.restsFor = l.Pings, c.a // as they are before a grant is a lease
		r.putBack(g)
		r.unlock()
		l.Busy(false)
		r.states(t, "taken back", 0, 1, 0, 0)
		l = other.must(t)
		if l.Conn == g.conn {
			t.Error("another client has it")
		}
		l.Done(Served)
		close(signal)
		r.states(t, "over", 0, 0, 0, 2)
		c.leave()
		other.leave()
	})
}

// TestRestingInTheQueue: a client that waited while its oneway call was running is
// not sent to another endpoint that becomes free.
func TestRestingInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA, addrB))
		signal := make(chan struct{})
		r.daemon(t, addrA, onewayDaemon(signal))
		r.daemon(t, addrB, onewayDaemon(signal))
		c, other := r.connected(t, "x"), r.connected(t, "x")
		l := c.must(t)
		rested := l.Conn
		c.oneway(t, l)
		held := other.must(t)
		if held.Endpoint == rested.Endpoint {
			t.Fatal("both are at one endpoint")
		}
		r.Pause()
		q := newLine(t, r)
		q.join(t.Context(), "c", c.a)
		r.lock()
		r.paused = false // as if nobody had looked yet
		r.unlock()
		held.Done(Served)
		q.want("c")
		if l := q.leases["c"]; l.Conn != rested {
			t.Errorf("sent to %s", l.Endpoint.Address)
		}
		q.mu.Lock()
		l = q.leases["c"]
		q.mu.Unlock()
		l.Done(Cancelled)
		close(signal)
		synctest.Wait()
		c.leave()
		other.leave()
		r.wantQuiet(t)
	})
}

// TestRestingEnds: a connection that ends while it rests is forgotten, and the
// client goes on elsewhere.
func TestRestingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		d := r.daemon(t, addrA, onewayDaemon(make(chan struct{})))
		c := r.connected(t, "x")
		c.oneway(t, c.must(t))
		d.Conns()[0].Reset()
		r.states(t, "after its end", 0, 0, 0, 0)
		c.mustCall(t)
		l := c.must(t)
		d.Conns()[1].Reset()
		synctest.Wait()
		l.Done(Resting) // ended before
		r.states(t, "after another end", 0, 0, 0, 0)
		c.leave()
		r.wantQuiet(t)
	})
}

// TestRestingCounts: a connection that rests takes a slot.
func TestRestingCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxConnections = 1
		r := newRigWith(cfg)
		signal := make(chan struct{})
		r.daemon(t, addrA, onewayDaemon(signal))
		c, other := r.connected(t, "x"), r.connected(t, "x")
		c.oneway(t, c.must(t))
		served := make(chan error)
		go func() {
			_, err := other.call(t.Context())
			served <- err
		}()
		synctest.Wait()
		if n := r.Status().Waiting; n != 1 {
			t.Errorf("%d wait", n)
		}
		close(signal)
		if err := <-served; err != nil {
			t.Error(err)
		}
		c.leave()
		other.leave()
		r.wantQuiet(t)
	})
}

// TestGhosts: a call that was given up counts as load until the daemon is done
// with it, or ghost_timeout has passed.
func TestGhosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		signal := make(chan struct{})
		d := r.daemon(t, addrA, &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(signal, pyrotest.Echo)})
		c := r.connected(t, "x")
		abandon := func() {
			l := c.must(t)
			if _, err := l.Conn.Write(c.invoke().Bytes()); err != nil {
				t.Fatal(err)
			}
			l.Done(Abandoned)
			if !l.Conn.Haunting() {
				t.Error("what comes is taken to be for somebody")
			}
		}
		for range 4 {
			abandon()
		}
		r.states(t, "four given up", 0, 0, 4, 0)
		if got := r.samples(t, "endpoint_ghosts", "endpoint")[addrA]; got != 4 {
			t.Errorf("endpoint_ghosts is %v", got)
		}
		if l := r.TryLease(c.a); l != nil {
			t.Error("there is a slot")
		}
		signal <- struct{}{}
		r.states(t, "one is done", 0, 0, 3, 0)
		time.Sleep(time.Minute)
		r.states(t, "ghost_timeout", 0, 0, 0, 0)
		if n := d.Open(); n != 3 { // they still run
			t.Errorf("%d connections", n)
		}
		close(signal)
		synctest.Wait()
		if n := d.Open(); n != 0 {
			t.Errorf("%d connections", n)
		}
		// One that ended before is none.
		l := c.must(t)
		d.Conns()[len(d.Conns())-1].Reset()
		synctest.Wait()
		l.Done(Abandoned)
		r.states(t, "ended before", 0, 0, 0, 0)
		c.leave()
		r.wantQuiet(t)
	})
}

// TestPins: no more connections than may be are kept by clients without calls.
func TestPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		r.daemon(t, addrA, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		a, b, third := c.must(t), c.must(t), c.must(t)
		for i, l := range []*Lease{a, a, b, b, third} {
			if got := l.Pin(); got != (l != third) {
				t.Errorf("pin %d: %v", i, got)
			}
		}
		if got := r.samples(t, "endpoint_pinned", "endpoint")[addrA]; got != 2 {
			t.Errorf("endpoint_pinned is %v", got)
		}
		if got := r.samples(t, "pins_refused_total", "cluster")["lab"]; got != 1 {
			t.Errorf("pins_refused_total is %v", got)
		}
		a.Done(Spent)
		if !third.Pin() {
			t.Error("a place is free, and not given")
		}
		b.Done(Spent)
		third.Done(Served)
		c.leave()
		r.wantQuiet(t)
	})
}

// TestStay: a client whose stream lives at an endpoint stays there, waits for it,
// and moves where that cannot be.
func TestStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA, addrB))
		r.daemon(t, addrA, &pyrotest.Daemon{})
		r.daemon(t, addrB, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		l := c.must(t)
		home := l.Endpoint.Address.Addr
		c.a.Stay(l)
		l.Done(Spent)
		for range 6 {
			if addr := c.mustCall(t); addr != home {
				t.Fatalf("went to %s", addr)
			}
		}
		var leases []*Lease
		for range 4 {
			leases = append(leases, c.must(t))
		}
		time.AfterFunc(time.Second, func() { leases[0].Done(Served) })
		if addr := c.mustCall(t); addr != home {
			t.Errorf("did not wait, but went to %s", addr)
		}
		if err := r.Drain(home); err != nil {
			t.Fatal(err)
		}
		if addr := c.mustCall(t); addr == home {
			t.Error("stayed at an endpoint that is drained")
		}
		for _, l := range leases[1:] {
			l.Done(Served)
		}
		c.leave()
		r.wantQuiet(t)
	})
}
