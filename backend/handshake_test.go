package backend

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// accept answers a CONNECT with an object of those methods.
func accept(methods ...any) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		c.Reply(m, wire.ConnectOK, 0, pyrotest.Encode(m.Head.Serializer(), pyrotest.Dict{
			{Key: "handshake", Value: "hello"},
			{Key: "meta", Value: pyrotest.Dict{{Key: "methods", Value: methods}}},
		}))
	}
}

// says reports whether a CONNECTOK names the method.
func says(answer []byte, method string) bool { return bytes.Contains(answer, []byte(method)) }

// TestGreet: a daemon's answer serves clients with equal CONNECTs, and only those.
func TestGreet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		join := func(m pyrotest.Message) *client {
			b := m.Bytes()
			h, err := wire.ParseHead(b)
			if err != nil {
				t.Fatal(err)
			}
			return &client{rig: r, d: h.Dialect, a: &Attempt{Dialect: h.Dialect, Handshake: r.Join(&h, b), Connect: b}}
		}
		base := func(object string, handshake any) pyrotest.Message {
			return pyrotest.ConnectMessage(v502, wire.Serpent, object, handshake)
		}
		seq := base("x", "hello")
		seq.Head.Seq = 77
		annotated := base("x", "hello")
		annotated.Chunks = []wire.Chunk{{ID: [4]byte{'U', 'S', 'E', 'R'}, Value: []byte("ada")}}
		tests := []struct {
			name string
			m    pyrotest.Message
			hit  bool
		}{
			{"the first", base("x", "hello"), false},
			{"the same", base("x", "hello"), true},
			{"another sequence number", seq, true},
			{"a correlation id", base("x", "hello").WithCorrelation([16]byte{9}), true},
			{"both", seq.WithCorrelation([16]byte{9}), true},
			{"another object", base("y", "hello"), false},
			{"another handshake", base("x", "hullo"), false},
			{"an annotation", annotated, false},
			{"the same annotation", annotated, true},
			{"another serializer", pyrotest.ConnectMessage(v502, wire.JSON, "x", "hello"), false},
			{"another dialect", pyrotest.ConnectMessage(v48, wire.Serpent, "x", "hello"), false},
		}
		var clients []*client
		hits := 0.0
		for _, test := range tests {
			c := join(test.m)
			clients = append(clients, c)
			before := len(d.Conns())
			// One daemon in the lab that speaks both, which real ones do not.
			r.of(t, addrA, func(e *Endpoint) { e.learnt = 0 })
			if err := c.shake(t.Context()); err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			if hit := len(d.Conns()) == before; hit != test.hit {
				t.Errorf("%s: answered without a daemon: %v", test.name, hit)
			}
			if !says(c.answer, "echo") {
				t.Errorf("%s: answered %q", test.name, c.answer)
			}
			if h, err := wire.ParseHead(c.answer); err != nil || test.hit && (h.Seq != 0 || h.Correlation != [16]byte{}) {
				t.Errorf("%s: %+v, %v", test.name, h, err)
			}
			if test.hit {
				hits++
			}
		}
		if got := r.samples(t, "handshake_cache_hits_total", "cluster")["lab"]; got != hits {
			t.Errorf("handshake_cache_hits_total is %v, want %v", got, hits)
		}
		for _, c := range clients {
			c.leave()
		}
		r.wantQuiet(t)
		if n := len(r.handshakes); n > 0 {
			t.Errorf("%d handshakes are remembered of clients that have gone", n)
		}
	})
}

// TestGreetEnds: when what a daemon said is not believed any more.
func TestGreetEnds(t *testing.T) {
	refuse := atomic.Bool{}
	tests := []struct {
		name  string
		event func(t *testing.T, r *rig, d *pyrotest.Daemon, c *client)
		want  bool // an equal handshake is answered at once
	}{
		{"nothing", func(*testing.T, *rig, *pyrotest.Daemon, *client) {}, true},
		{"just before its time", func(*testing.T, *rig, *pyrotest.Daemon, *client) { time.Sleep(5 * time.Minute) }, true},
		{"just after", func(*testing.T, *rig, *pyrotest.Daemon, *client) { time.Sleep(5*time.Minute + 1) }, false},
		{"said again meanwhile", func(t *testing.T, r *rig, d *pyrotest.Daemon, c *client) {
			time.Sleep(4 * time.Minute)
			a, b := c.must(t), c.must(t)
			a.Done(Served)
			b.Done(Served)
			time.Sleep(4 * time.Minute)
		}, true},
		{"its last connection went", func(t *testing.T, r *rig, d *pyrotest.Daemon, c *client) {
			for _, conn := range d.Conns() {
				conn.Close()
			}
			synctest.Wait()
		}, false},
		{"not its last connection", func(t *testing.T, r *rig, d *pyrotest.Daemon, c *client) {
			a, b := c.must(t), c.must(t)
			a.Done(Spent)
			b.Done(Served)
			synctest.Wait()
		}, true},
		{"an equal one was refused", func(t *testing.T, r *rig, d *pyrotest.Daemon, c *client) {
			refuse.Store(true)
			other := r.newClient(v502, "x")
			_, err := r.Acquire(t.Context(), other.a)
			refused := (*RefusedError)(nil)
			if !errors.As(err, &refused) || !bytes.Contains(refused.Answer, []byte("who are you")) || refused.Endpoint.Address.Addr != addrA {
				t.Errorf("got %v", err)
			}
			refuse.Store(false)
			other.leave()
		}, false},
		{"its endpoint is drained", func(t *testing.T, r *rig, d *pyrotest.Daemon, c *client) {
			held := c.must(t) // so that a connection is left
			if err := r.Drain(addrA); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { held.Done(Served) })
		}, false},
		{"its endpoint was removed", func(t *testing.T, r *rig, d *pyrotest.Daemon, c *client) {
			held := c.must(t)
			r.SetMembers(0, members(addrB))
			t.Cleanup(func() { held.Done(Served) })
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(pooling(addrA))
				d := r.daemon(t, addrA, &pyrotest.Daemon{OnConnect: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
					if refuse.Load() {
						pyrotest.RejectConnect("who are you")(c, m)
						return
					}
					pyrotest.AcceptConnect(c, m)
				}})
				c := r.connected(t, "x")
				test.event(t, r, d, c)
				other := r.newClient(v502, "x")
				other.a.Connect = nil
				if got := r.Greet(other.a) != nil; got != test.want {
					t.Errorf("answered without a daemon: %v", got)
				}
				other.leave()
				c.leave()
				r.consistent(t)
				r.closeIdle(time.Now().Add(time.Hour))
			})
		})
	}
}

// TestSigned: a handshake with an HMAC is nobody else's.
func TestSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MinIdle = 2
		r := newRigWith(cfg)
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		stop := r.run(t)
		signed := func(seq uint16) *client {
			m := pyrotest.ConnectMessage(v48, wire.Serpent, "x", "hello")
			m.Head.Seq = seq
			m.Chunks = append(m.Chunks, wire.Chunk{ID: wire.ChunkHMAC, Value: make([]byte, 20)})
			b := m.Bytes()
			h, _ := wire.ParseHead(b)
			return &client{rig: r, d: v48, a: &Attempt{Dialect: v48, Handshake: r.Join(&h, b), Connect: b}}
		}
		for i := range 3 {
			c := signed(uint16(i))
			if !c.a.Handshake.Signed {
				t.Error("it is not known to be signed")
			}
			if err := c.shake(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := len(d.Conns()); n != i+1 {
				t.Errorf("%d connections after %d clients", n, i+1)
			}
			c.mustCall(t)
			time.Sleep(3 * time.Second)
		}
		again := signed(0) // byte by byte what was sent before
		again.a.Connect = nil
		if answer := r.Greet(again.a); answer != nil {
			t.Error("a signed CONNECT was answered out of the cache")
		}
		if n := len(d.Conns()); n != 3 {
			t.Errorf("%d connections: some were opened with a signature that was seen before", n)
		}
		stop()
	})
}

// TestFickle: a daemon that answers equal CONNECTs differently while it is the
// same daemon is neither believed nor taken for several versions.
func TestFickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		var n atomic.Int32
		d := r.daemon(t, addrA, &pyrotest.Daemon{OnConnect: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			accept(fmt.Sprintf("token%d", n.Add(1)))(c, m)
		}})
		first := r.connected(t, "x")
		first.mustCall(t)
		a, b := first.must(t), r.newClient(v502, "x")
		if err := b.shake(t.Context()); err != nil { // answered out of the cache, still
			t.Fatal(err)
		}
		a.Done(Served)
		c := r.newClient(v502, "x")
		l, err := r.Acquire(t.Context(), c.a) // its own CONNECT opens a second connection
		if err != nil {
			t.Fatal(err)
		}
		if !says(l.Answer, "token2") {
			t.Errorf("answered %q", l.Answer)
		}
		l.Done(Served)
		c.a.Connect = nil
		if answer := r.Greet(c.a); answer != nil {
			t.Error("it is believed all the same")
		}
		for _, each := range []*client{first, b, c} {
			for range 4 {
				each.mustCall(t)
			}
		}
		if n := len(d.Conns()); n != 2 {
			t.Errorf("%d connections: clients are kept apart", n)
		}
		for _, each := range []*client{first, b, c} {
			each.leave()
		}
		r.wantQuiet(t)
	})
}

// TestRestartIsNotFickle: another answer after all connections have ended is that
// of a new version.
func TestRestartIsNotFickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		old := r.daemon(t, addrA, &pyrotest.Daemon{OnConnect: accept("old")})
		c := r.connected(t, "x")
		c.mustCall(t)
		old.Close()
		synctest.Wait()
		r.daemon(t, addrA, &pyrotest.Daemon{OnConnect: accept("new")})
		c.mustCall(t) // there is no other version left
		other := r.newClient(v502, "x")
		other.a.Connect = nil
		if answer := r.Greet(other.a); !says(answer, "new") {
			t.Errorf("the next client is told %q", answer)
		}
		c.leave()
		other.leave()
		r.wantQuiet(t)
	})
}

// TestRefusalEndsTheSearch: a daemon's refusal is for the client; no other
// endpoint is asked, and nobody is to blame.
func TestRefusalEndsTheSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA, addrB)
		cfg.Breaker = BreakerConfig{ConsecutiveFailures: 1, Open: time.Minute}
		r := newRigWith(cfg)
		r.daemon(t, addrA, &pyrotest.Daemon{OnConnect: pyrotest.RejectConnect("no")})
		r.daemon(t, addrB, &pyrotest.Daemon{OnConnect: pyrotest.RejectConnect("no")})
		c := r.newClient(v502, "x")
		refused := (*RefusedError)(nil)
		if err := c.shake(t.Context()); !errors.As(err, &refused) {
			t.Fatalf("got %v", err)
		}
		if len(r.dialled) != 1 {
			t.Errorf("dialled %v", r.dialled)
		}
		if refused.Error() != addrA+" refused the handshake" {
			t.Errorf("the error is %v", refused)
		}
		for _, s := range r.Status().Endpoints {
			if s.Breaker != "closed" {
				t.Errorf("%s: breaker %s", s.Address, s.Breaker)
			}
		}
		c.leave()
		r.wantQuiet(t)
	})
}
