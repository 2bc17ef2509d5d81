package relay_test

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// How clients leave.
var goodbyes = []struct {
	name string
	say  func(c *pyrotest.Client) error
}{
	{"FIN", func(c *pyrotest.Client) error { return c.CloseWrite() }},
	{"close", func(c *pyrotest.Client) error { return c.Close() }},
	{"RST", func(c *pyrotest.Client) error { return c.Reset() }},
}

// inNumbers runs n clients, some at a time.
func inNumbers(n int, client func(i int)) {
	var wg sync.WaitGroup
	const atOnce = 8
	for worker := range atOnce {
		wg.Go(func() {
			for i := worker; i < n; i += atOnce {
				client(i)
			}
		})
	}
	wg.Wait()
}

// An oneway call that has arrived whole is delivered, though its sender's FIN
// or RST has arrived as well, and leaves no session behind. (A poller that
// reports edges tells of both only once.)
func TestOnewayThenGone(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const clients = 60
		r := start(t, tr, setup{})
		for _, goodbye := range goodbyes {
			for _, calls := range []int{1, 3} {
				inNumbers(clients, func(i int) {
					d := dialects[i%2]
					c := r.connect(pyrotest.Client{Dialect: d})
					var stream []byte
					for n := range calls {
						m := c.InvokeMessage(pyrotest.CallData(fmt.Sprintf("%s %d %d %d", goodbye.name, calls, i, n), 50+i*100))
						m.Head.Flags |= d.Bit(wire.Oneway)
						stream = append(stream, m.Bytes()...)
					}
					_, err := c.Write(stream)
					if err = errors.Join(err, goodbye.say(c)); err != nil {
						t.Error(err)
					}
				})
			}
		}
		r.waitIdle()
		times := r.daemon().Ledger.All()
		if want := len(goodbyes) * clients * (1 + 3); len(times) != want {
			t.Errorf("%d oneway calls ran, of %d", len(times), want)
		}
		for id, n := range times {
			if n != 1 {
				t.Errorf("%s ran %d times", id, n)
			}
		}
	})
}

// The handshake, an oneway and the end all at once.
func TestOnewayWithoutWaiting(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const clients = 150
		r := start(t, tr, setup{})
		inNumbers(clients, func(i int) {
			c := r.dial(pyrotest.Client{Dialect: dialects[i%2]})
			m := c.InvokeMessage(pyrotest.CallData(fmt.Sprint(i), 50))
			m.Head.Flags |= c.Dialect.Bit(wire.Oneway)
			_, err := c.Write(append(c.ConnectMessage("some.object").Bytes(), m.Bytes()...))
			if err = errors.Join(err, c.CloseWrite()); err != nil {
				t.Error(err)
			}
		})
		r.waitValue(clients, "sessions_ended_total") // all have been accepted
		r.waitIdle()
		for i := range clients {
			if n := r.daemon().Ledger.Times(fmt.Sprint(i)); n != 1 {
				t.Errorf("call %d ran %d times", i, n)
			}
		}
	})
}

// A call whose sender says at once that there will be no more is answered.
func TestHalfClosedCalls(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{})
		inNumbers(200, func(i int) {
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			m := c.InvokeMessage(pyrotest.CallData(fmt.Sprint(i), 50+i*100))
			err := errors.Join(c.Send(m), c.CloseWrite())
			if err == nil {
				_, err = c.Await(m)
			}
			if err != nil {
				t.Errorf("call %d: %v", i, err)
				return
			}
			if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
				t.Errorf("call %d: %d more bytes, %v", i, n, err)
			}
			c.Close()
		})
		r.waitIdle()
		if ran := len(r.daemon().Ledger.All()); ran != 200 {
			t.Errorf("%d calls ran", ran)
		}
	})
}

// A reply that its client is slow to take arrives whole, though the client has
// said meanwhile that it will ask no more.
func TestHalfCloseDuringReply(t *testing.T) {
	for _, size := range []int{600, 1000, 10_000, 60_000, 70_000, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			inBubble(t, &pyrotest.Network{Buffer: 500}, func(t *testing.T, tr transport) {
				r := start(t, tr, setup{
					Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.ReplySize(int64(size))}},
					Back:    memory{&pyrotest.Network{}},
				})
				c := r.connect(pyrotest.Client{})
				m := c.InvokeMessage([]byte("question"))
				noError(t, c.Send(m))
				tr.settle() // the reply is on its way, and stuck
				noError(t, c.CloseWrite())
				tr.settle()
				reply, err := c.Await(m)
				if err != nil || len(reply.Data) != size {
					t.Errorf("%d bytes of reply, %v", len(reply.Data), err)
				}
				if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
					t.Errorf("%d more bytes, %v", n, err)
				}
			})
		})
	}
}

// A client that dies in the middle of a call takes its connection to the daemon
// with it.
func TestClientDies(t *testing.T) {
	scenarios := []struct {
		name   string
		script pyrotest.Script
		do     func(r *rig, c *pyrotest.Client, m pyrotest.Message) error
	}{
		{"before the reply", pyrotest.Silence, func(r *rig, c *pyrotest.Client, m pyrotest.Message) error {
			err := c.Send(m)
			pyrotest.WaitFor(r, "the call is running", func() bool { return r.daemon().Ledger.Times(pyrotest.CallID(m)) > 0 })
			return err
		}},
		{"before a late reply", pyrotest.After(50*time.Millisecond, pyrotest.Echo), func(_ *rig, c *pyrotest.Client, m pyrotest.Message) error {
			return c.Send(m)
		}},
		{"right behind the request", pyrotest.Silence, func(_ *rig, c *pyrotest.Client, m pyrotest.Message) error {
			return c.Send(m)
		}},
		{"mid-request", pyrotest.Silence, func(_ *rig, c *pyrotest.Client, m pyrotest.Message) error {
			_, err := c.Write(m.Bytes()[:len(m.Bytes())/2])
			return err
		}},
		{"mid-reply", pyrotest.ReplySize(64 << 20), func(_ *rig, c *pyrotest.Client, m pyrotest.Message) error {
			if err := c.Send(m); err != nil {
				return err
			}
			_, err := io.ReadFull(c, make([]byte, 100_000))
			return err
		}},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnInvoke: s.script}}})
				for _, goodbye := range goodbyes[1:] {
					for _, size := range []int{1000, 1 << 20} {
						inNumbers(4, func(i int) {
							c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
							m := c.InvokeMessage(pyrotest.CallData(fmt.Sprint(goodbye.name, size, i), size))
							if err := errors.Join(s.do(r, c, m), goodbye.say(c)); err != nil {
								t.Error(err)
							}
						})
						r.waitIdle()
					}
				}
				for id, n := range r.daemon().Ledger.All() {
					if n > 1 {
						t.Errorf("call %s ran %d times", id, n)
					}
				}
			})
		})
	}
}

// Also in the middle of the handshake.
func TestClientDiesInHandshake(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{})
		for _, goodbye := range goodbyes {
			inNumbers(60, func(i int) {
				c := r.dial(pyrotest.Client{Dialect: dialects[i%2]})
				b := c.ConnectMessage("some.object").Bytes()
				if _, err := c.Write(b[:len(b)*i/59]); err != nil {
					t.Error(err)
				}
				if err := goodbye.say(c); err != nil {
					t.Error(err)
				}
			})
			r.waitIdle()
		}
	})
}

// A client that dies while its request is stuck behind a daemon that does not
// read leaves with the daemon: what it sent may have been a whole oneway call.
func TestClientDiesBehindDeafDaemon(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		deaf := &pyrotest.Daemon{OnInvoke: func(c *pyrotest.DaemonConn, _ pyrotest.Message) { <-c.Closing() }}
		r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{deaf}})
		c := r.connect(pyrotest.Client{})
		noError(t, c.Oneway([]byte("occupied")))
		written := make(chan struct{})
		go func() {
			defer close(written)
			_ = pyrotest.WriteSized(c, c.InvokeMessage(nil), 64<<20)
		}()
		r.waitStuck("relayed_bytes_total", "request")
		noError(t, c.Reset())
		<-written
		deaf.Close()
		r.waitIdle()
	})
}
