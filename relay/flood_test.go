package relay_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// A client that sends thousands of requests without waiting is made to wait,
// and answered.
func TestPipelinedFlood(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{})
		b := r.bystander(pyrotest.Client{})
		var flooding sync.WaitGroup
		for i, d := range dialects {
			c := r.connect(pyrotest.Client{Dialect: d})
			const n = 2000
			request := func(k int) pyrotest.Message {
				m := c.InvokeMessage(pyrotest.CallData(fmt.Sprintf("flood %d %d", i, k), 20))
				if k%3 == 1 {
					m.Head.Type = wire.Ping
				}
				return m
			}
			var requests []pyrotest.Message
			var stream []byte
			for k := range n {
				requests = append(requests, request(k))
				stream = append(stream, requests[k].Bytes()...)
			}
			flooding.Go(func() {
				if _, err := c.Write(stream); err != nil {
					t.Error(err)
				}
			})
			flooding.Go(func() {
				for k := range n {
					if _, err := c.Await(requests[k]); err != nil {
						t.Errorf("reply %d: %v", k, err)
						return
					}
				}
			})
		}
		b.progress()
		flooding.Wait()
		b.end()
		for id, times := range r.daemon().Ledger.All() {
			if times != 1 {
				t.Errorf("%s ran %d times", id, times)
			}
		}
	})
}

// A client that does not read its replies holds up itself and its daemon's
// thread, within bounds, until the drain timeout.
func TestClientNeverReads(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, size := range []int64{20_000, 64 << 20} {
			large := func(c *pyrotest.DaemonConn, m pyrotest.Message) {
				if pyrotest.CallID(m) == "large" {
					pyrotest.ReplySize(size)(c, m)
					return
				}
				pyrotest.Echo(c, m)
			}
			r := start(t, tr, setup{
				Daemons:      []*pyrotest.Daemon{{OnInvoke: large}},
				DrainTimeout: 50 * time.Millisecond,
				Serve:        relay.ErrDrainTimeout,
			})
			c := r.connect(pyrotest.Client{})
			written := make(chan struct{})
			go func() {
				defer close(written)
				for range 8 * (64 << 20) / size {
					if c.Send(c.InvokeMessage([]byte("large\n"))) != nil {
						return
					}
				}
			}()
			r.waitStuck("relayed_bytes_total", "reply")
			if n := r.value("relayed_bytes_total", "reply"); n > r.inTransit() {
				t.Errorf("%v bytes are on their way", n)
			}
			r.bystander(pyrotest.Client{}).end()
			r.stop()
			<-written
		}
	})
}

// A daemon that does not read holds up those that call it, within bounds, until
// the drain timeout.
func TestDaemonNeverReads(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, size := range []int64{1000, 20_000, 64 << 20} {
			deaf := func(c *pyrotest.DaemonConn, m pyrotest.Message) {
				if pyrotest.CallID(m) == "deaf" {
					<-c.Closing()
				}
				pyrotest.Echo(c, m)
			}
			r := start(t, tr, setup{
				Daemons:      []*pyrotest.Daemon{{OnInvoke: deaf}},
				DrainTimeout: 50 * time.Millisecond,
				Serve:        relay.ErrDrainTimeout,
			})
			c := r.connect(pyrotest.Client{})
			noError(t, c.Send(c.InvokeMessage([]byte("deaf\n")))) // is still running when we drain
			written := make(chan struct{})
			go func() {
				defer close(written)
				for range (64 << 20) / size {
					m := c.InvokeMessage(nil)
					m.Head.Flags |= c.Dialect.Bit(wire.Oneway)
					if pyrotest.WriteSized(c, m, size) != nil {
						return
					}
				}
			}()
			r.waitStuck("relayed_bytes_total", "request")
			if n := r.value("relayed_bytes_total", "request"); n > r.inTransit() {
				t.Errorf("%v bytes are on their way", n)
			}
			r.bystander(pyrotest.Client{}).end()
			r.stop()
			<-written
		}
	})
}

// inTransit is the most that can be under way in one direction: in the relay
// and in the buffers of connections on either side of it.
func (r *rig) inTransit() float64 {
	if _, real := r.transport.(*sockets); real {
		return 32 << 20 // the kernel's
	}
	return 512 << 10
}

// Many clients that connect and say little or nothing are no harm to others.
func TestSilentCrowd(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{})
		b := r.bystander(pyrotest.Client{})
		var crowd []*pyrotest.Client
		for i := range 300 {
			c := r.dial(pyrotest.Client{})
			if i%2 == 0 {
				m := c.ConnectMessage("some.object").Bytes()
				_, err := c.Write(m[:i*len(m)/300])
				noError(t, err)
			}
			crowd = append(crowd, c)
		}
		b.progress()
		for _, c := range crowd {
			noError(t, c.Close())
		}
		r.waitValue(1, "sessions")
		b.end()
		r.waitIdle()
	})
}
