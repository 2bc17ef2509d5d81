package relay_test

import (
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// Large bodies both ways, and small ones behind them on the same connections.
func TestPooledLargeBodies(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		script, sums := sumAndReply()
		r := start(t, tr, setup{
			Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: script, Discard: true}},
			Cluster: func(c *backend.Config) { c.MaxConnections = 1 },
		})
		for _, d := range dialects {
			one, other := r.connect(pyrotest.Client{Dialect: d, Discard: true}), r.connect(pyrotest.Client{Dialect: d, Discard: true})
			for _, size := range []int64{16 << 20, 1000, 100_000, 0, 3 << 20} {
				largeCall(t, one, sums, size)
				largeCall(t, other, sums, size/2+1)
			}
			noError(t, one.Close())
			noError(t, other.Close())
		}
	})
}

// A client that is slow to read a large reply gets all of it, and holds up
// nobody but itself.
func TestPooledSlowReader(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const size = 32 << 20
		daemon := &pyrotest.Daemon{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			if pyrotest.CallID(m) == "large" {
				pyrotest.ReplySize(size)(c, m)
				return
			}
			pyrotest.Echo(c, m)
		}}
		r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{daemon}})
		slow := r.connect(pyrotest.Client{Discard: true})
		m := slow.InvokeMessage([]byte("large\n"))
		noError(t, slow.Send(m))
		r.waitStuck("relayed_bytes_total", "reply")
		b := r.bystander(pyrotest.Client{})
		b.end()
		reply, err := slow.Await(m)
		noError(t, err)
		if reply.CRC != filler(t, size) || reply.Head.DataLen != size {
			t.Errorf("%d bytes with checksum %x", reply.Head.DataLen, reply.CRC)
		}
		r.waitRest()
		if _, err := slow.Call([]byte("small\n")); err != nil {
			t.Error(err)
		}
	})
}

// A stream keeps its connection, which ends with the client.
func TestPooledStream(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.ReplyStream("id")}}})
		for _, d := range dialects {
			c := r.connect(pyrotest.Client{Dialect: d})
			for range 3 {
				_, err := c.Call([]byte("data"))
				noError(t, err)
			}
			if n := r.value("endpoint_pinned"); n != 1 {
				t.Errorf("%v: %v connections are held", d, n)
			}
			noError(t, c.Close())
			r.waitValue(0, "endpoint_pinned")
		}
		r.waitIdle() // nobody else uses them
	})
}

// A stream that is left alone gives its connection up, and its client goes on.
func TestPooledStreamTimeout(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{
			Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.ReplyStream("id")}},
			Route: func(r *router.Route) { r.StreamIdleTime = 200 * time.Millisecond },
		})
		c := r.connect(pyrotest.Client{})
		for n := range 2 {
			_, err := c.Call([]byte("data"))
			noError(t, err)
			r.waitValue(float64(n+1), "stream_idle_timeouts_total")
			r.waitValue(0, "endpoint_pinned")
		}
		if n := r.logs.FilterMessageSnippet("stream idle").Len(); n != 2 {
			t.Errorf("%d lines in the log", n)
		}
	})
}
