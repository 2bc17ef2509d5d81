package relay_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// A blob for one of several goes on to the next as long as nothing of it was written.
func TestDeliveryFailsOver(t *testing.T) {
	for name, greet := range map[string]pyrotest.Script{
		"refused": pyrotest.RejectConnect("what?"), "saturated": pyrotest.RejectConnect(pyrotest.NoFreeWorkers),
		"closed": pyrotest.Hangup, "garbled": pyrotest.Garbage([]byte("SSH-2.0-OpenSSH_9.9\r\n")),
	} {
		t.Run(name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				ledger := &pyrotest.Ledger{}
				bad := func() *pyrotest.Daemon { return &pyrotest.Daemon{OnConnect: greet, Ledger: ledger} }
				r := start(t, tr, setup{
					Call: true, Daemons: []*pyrotest.Daemon{bad(), {Ledger: ledger}, bad()},
					Route:   func(r *router.Route) { r.Answer = &router.Members{} },
					Cluster: func(c *backend.Config) { c.QueueTimeout = 20 * time.Millisecond },
					Calls:   blobRoute(func(*router.Route) {}),
				})
				for _, d := range dialects {
					c := r.connect(pyrotest.Client{Dialect: d})
					for i := range 6 {
						id := d.String() + string(rune('a'+i))
						if m, err := c.Do(blobCall(c, "topic", pyrotest.CallData(id, 100))); err != nil || pyrotest.CallID(m) != id {
							t.Errorf("%v: %+v %.200q, %v", d, m.Head, m.Data, err)
						}
						if n := ledger.Times(id); n != 1 {
							t.Errorf("%s ran %d times", id, n)
						}
					}
				}
			})
		})
	}
}

// A call of an idempotent route is sent again when its connection ends before the reply.
func TestDeliveryResends(t *testing.T) {
	for _, idempotent := range []bool{false, true} {
		overAll(t, func(t *testing.T, tr transport) {
			for _, size := range []int{100, 200_000} {
				var runs atomic.Int32
				script := func(c *pyrotest.DaemonConn, m pyrotest.Message) {
					if runs.Add(1) == 1 {
						pyrotest.Hangup(c, m)
						return
					}
					pyrotest.Echo(c, m)
				}
				r := start(t, tr, setup{
					Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: script}, {OnInvoke: script}},
					Cluster: func(c *backend.Config) { c.RetryBudget = 100 },
					Calls: blobRoute(func(r *router.Route) {
						r.Idempotent = idempotent
						r.Deliver.Listeners = nil
					}),
				})
				c := r.connect(pyrotest.Client{})
				m, err := c.Do(blobCall(c, "topic", pyrotest.CallData("x", size)))
				if err != nil || (pyrotest.CallID(m) == "x") != idempotent {
					t.Errorf("idempotent %v, %d bytes: %+v %.200q, %v", idempotent, size, m.Head, m.Data, err)
				}
				r.stop()
				if want := map[bool]int32{true: 2, false: 1}[idempotent]; runs.Load() != want {
					t.Errorf("idempotent %v, %d bytes: it ran %d times", idempotent, size, runs.Load())
				}
			}
		})
	}
}

// Draining waits for blobs that are under way, oneway ones too, and their clients.
func TestDrainDeliveries(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, oneway := range []bool{false, true} {
			release := make(chan struct{})
			ledger := &pyrotest.Ledger{}
			greet := pyrotest.InTurn(pyrotest.AcceptConnect, pyrotest.AfterSignal(release, pyrotest.AcceptConnect))
			r := start(t, tr, setup{
				Call: true, Daemons: []*pyrotest.Daemon{{OnConnect: greet, Ledger: ledger}},
				Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
			})
			c := r.connect(pyrotest.Client{})
			m := blobCall(c, "topic", pyrotest.CallData("x", 70_000))
			if oneway {
				m.Head.Flags |= m.Head.Dialect.Bit(wire.Oneway)
			}
			noError(t, c.Send(m))
			pyrotest.WaitFor(t, "it looks for the listener", func() bool { return len(r.daemon().Conns()) == 2 })
			r.drain()
			if oneway {
				noError(t, c.Close())
			}
			close(release)
			if !oneway {
				reply, err := c.Await(m)
				if err != nil || !strings.HasSuffix(string(reply.Data), "None") {
					t.Errorf("%+v %q, %v", reply.Head, reply.Data, err)
				}
				noError(t, c.Close())
			}
			pyrotest.WaitFor(t, "it is heard", func() bool { return ledger.Times("x") == 1 })
			r.stop()
		}
	})
}

// At the end of the drain timeout everything is cut off, also what goes on for clients
// that have gone.
func TestAbortDeliveries(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		skipWithoutResets(t, tr)
		for _, stays := range []bool{false, true} {
			r := start(t, tr, setup{
				Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.Silence}},
				DrainTimeout: 50 * time.Millisecond, Serve: map[bool]error{true: relay.ErrDrainTimeout}[stays],
				Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
			})
			c := r.connect(pyrotest.Client{})
			noError(t, c.Send(blobCall(c, "topic", []byte("x"))))
			r.waitValue(1, "calls_in_flight", "blobs", "cluster")
			if !stays {
				noError(t, c.Reset())
				r.waitValue(0, "calls_in_flight", "blobs", "cluster")
			}
			r.stop()
		}
	})
}

// A client that goes takes nothing from the listeners that have its blob, and costs no
// more than the ghosts' time.
func TestDeliveryOutlivesClient(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		skipWithoutResets(t, tr)
		release := make(chan struct{})
		r := start(t, tr, setup{
			Call: true, Daemons: []*pyrotest.Daemon{
				{OnInvoke: pyrotest.AfterSignal(release, pyrotest.Echo)}, {OnInvoke: pyrotest.Silence},
			},
			Cluster: func(c *backend.Config) { c.GhostTimeout = 300 * time.Millisecond },
			Calls:   blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
		})
		c := r.connect(pyrotest.Client{})
		noError(t, c.Send(blobCall(c, "topic", []byte("x"))))
		r.waitValue(2, "endpoint_leases")
		noError(t, c.Reset())
		r.waitValue(0, "calls_in_flight", "blobs", "cluster")
		close(release)
		r.waitValue(1, "dispatched_legs_total", "blobs", "cluster", "ok")
		r.waitValue(1, "dispatched_legs_total", "blobs", "cluster", "timeout")
		r.waitValue(0, "sessions")
	})
}

// A client that does not read its answer holds up nobody's connection.
func TestDeliveryToSlowReader(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{
			Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.InTurn(pyrotest.ReplySize(3<<20), pyrotest.Echo, pyrotest.Echo, pyrotest.Echo)}},
			Cluster: func(c *backend.Config) { c.MaxConnections = 2 },
			Calls:   blobRoute(func(*router.Route) {}),
		})
		slow, quick := r.connect(pyrotest.Client{}), r.connect(pyrotest.Client{})
		asked := blobCall(slow, "topic", []byte("x"))
		noError(t, slow.Send(asked))
		r.waitValue(1, "dispatched_legs_total", "blobs", "cluster", "ok")
		for range 3 {
			if m, err := quick.Do(blobCall(quick, "topic", []byte("data"))); err != nil || string(m.Data) != "data" {
				t.Errorf("%+v %q, %v", m.Head, m.Data, err)
			}
		}
		if m, err := slow.Await(asked); err != nil || len(m.Data) != 3<<20 {
			t.Errorf("%+v %d bytes, %v", m.Head, len(m.Data), err)
		}
		r.waitValue(0, "buffer_memory_bytes")
	})
}

// Connections that cannot be written to without waiting are used again all the same.
func TestDeliveryReusesConnections(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{
			Call: true, Route: func(r *router.Route) { r.Answer = &router.Members{} },
			Calls: blobRoute(func(*router.Route) {}),
		})
		c := r.connect(pyrotest.Client{})
		for range 5 {
			if m, err := c.Do(blobCall(c, "topic", []byte("data"))); err != nil || string(m.Data) != "data" {
				t.Errorf("%+v %q, %v", m.Head, m.Data, err)
			}
		}
		if n := len(r.daemon().Conns()); n != 1 {
			t.Errorf("made %d connections", n)
		}
	})
}

// skipWithoutResets: a client at a Unix socket that closes it may still read, as far as
// we can tell.
func skipWithoutResets(t *testing.T, tr transport) {
	if s, ok := tr.(*sockets); ok && s.network == "unix" {
		t.Skip("no resets")
	}
}
