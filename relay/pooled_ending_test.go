package relay_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// pooledConns are the daemon's connections that have not ended.
func (r *rig) pooledConns() (open []*pyrotest.DaemonConn) {
	for _, c := range r.daemon().Conns() {
		select {
		case <-c.Ended():
		default:
			open = append(open, c)
		}
	}
	return open
}

// A client that leaves in the middle of a call costs its connection, and the
// daemon counts as at work until it is done.
func TestPooledClientDies(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		release := make(chan struct{})
		daemon := &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(release, pyrotest.Echo)}
		r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{daemon}})
		c := r.connect(pyrotest.Client{})
		noError(t, c.Send(c.InvokeMessage([]byte("call\n"))))
		pyrotest.WaitFor(t, "the call is running", func() bool { return daemon.Ledger.Times("call") == 1 })
		noError(t, c.Reset())
		if r.addr.Network() == "unix" { // which knows no reset: the client could still read
			close(release)
			r.waitValue(0, "sessions")
			r.waitRest()
			return
		}
		r.waitValue(1, "endpoint_ghosts")
		r.waitValue(0, "sessions")
		if n := r.value("endpoint_connections"); n != 1 {
			t.Errorf("%v connections", n)
		}
		close(release)
		r.waitValue(0, "endpoint_ghosts")
		r.waitIdle()
		r.waitValue(0, "endpoint_connections")

		again := r.connect(pyrotest.Client{})
		_, err := again.Call([]byte("again\n"))
		noError(t, err)
	})
}

// The same in the middle of a request, and of a reply.
func TestPooledClientDiesMidway(t *testing.T) {
	scenarios := []struct {
		name   string
		script pyrotest.Script
		do     func(c *pyrotest.Client, m pyrotest.Message) error
	}{
		{"mid-request", pyrotest.Echo, func(c *pyrotest.Client, m pyrotest.Message) error {
			_, err := c.Write(m.Bytes()[:len(m.Bytes())/2])
			return err
		}},
		{"mid-reply", pyrotest.ReplySize(16 << 20), func(c *pyrotest.Client, m pyrotest.Message) error {
			if err := c.Send(m); err != nil {
				return err
			}
			_, err := io.ReadFull(c, make([]byte, 100_000))
			return err
		}},
		{"behind a request", pyrotest.ReplySize(300_000), func(c *pyrotest.Client, m pyrotest.Message) error { return c.Send(m) }},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				daemon := &pyrotest.Daemon{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
					if strings.HasPrefix(pyrotest.CallID(m), "well") {
						pyrotest.Echo(c, m)
						return
					}
					s.script(c, m)
				}}
				r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{daemon}})
				well := r.connect(pyrotest.Client{Dialect: wire.V48})
				for _, goodbye := range goodbyes[1:] {
					for _, size := range []int{1000, 1 << 20} {
						inNumbers(8, func(i int) {
							c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
							m := c.InvokeMessage(pyrotest.CallData(fmt.Sprint(goodbye.name, size, i), size))
							if err := errors.Join(s.do(c, m), goodbye.say(c)); err != nil {
								t.Error(err)
							}
						})
						if _, err := well.Call([]byte("well\n")); err != nil {
							t.Errorf("somebody else: %v", err)
						}
						r.waitValue(1, "sessions")
						r.waitRest()
					}
				}
				for id, n := range daemon.Ledger.All() {
					if n > 1 && id != "well" {
						t.Errorf("call %s ran %d times", id, n)
					}
				}
			})
		})
	}
}

// A call for which there is no endpoint raises an exception, and the client goes
// on as if nothing had been when the daemon is back.
func TestPooledNoEndpoint(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		ln := tr.listen(t)
		first := &pyrotest.Daemon{}
		first.Start(ln)
		r := start(t, tr, setup{Call: true, Endpoints: []net.Addr{ln.Addr()}, Daemons: []*pyrotest.Daemon{}})
		c := r.connect(pyrotest.Client{})
		first.Close()
		tr.settle()
		for _, size := range []int{100, 1 << 20} {
			m := c.InvokeMessage(pyrotest.CallData("in vain", size))
			reply, err := c.Do(m)
			noError(t, err)
			if !reply.Head.Has(wire.Exception) || !strings.Contains(string(reply.Data), "no endpoint reachable") {
				t.Errorf("answered with %q", reply.Data)
			}
			noError(t, c.Oneway(pyrotest.CallData("in vain too", size)))
		}
		r.waitValue(4, "calls_total", "no_endpoint")

		again, err := net.Listen(ln.Addr().Network(), ln.Addr().String())
		if m, ok := tr.(memory); ok {
			again, err = m.Listen(ln.Addr().String())
		}
		noError(t, err)
		second := &pyrotest.Daemon{}
		second.Start(again)
		defer second.Close()
		_, err = c.Call([]byte("after all\n"))
		noError(t, err)
		if n := second.Ledger.All(); len(n) != 1 {
			t.Errorf("ran %v", n)
		}
		r.cancel()
		_, err = c.Next()
		wantError(t, "at the drain", err, io.EOF)
	})
}

// Calls that wait for an endpoint when we are told to stop are still answered.
func TestPooledDrain(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const clients = 12
		release := make(chan struct{})
		r := start(t, tr, setup{
			Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.AfterSignal(release, pyrotest.Echo)}},
			Cluster: func(c *backend.Config) { c.MaxConnections = 2 },
		})
		done := make(chan error)
		for i := range clients {
			c := r.connect(pyrotest.Client{})
			go func() {
				_, err := c.Call(pyrotest.CallData(fmt.Sprint(i), 1000))
				if err == nil {
					_, err = c.Next()
				}
				if errors.Is(err, io.EOF) {
					err = c.Close()
				}
				done <- err
			}()
		}
		r.waitValue(clients-2, "queue_length")
		r.drain()
		close(release)
		for range clients {
			noError(t, <-done)
		}
		r.stop()
		if n := r.reasons()["drained"]; n < clients {
			t.Errorf("ended by %v", r.reasons())
		}
	})
}

// Calls that are not answered in time are cut off, those that wait as well.
func TestPooledDrainTimeout(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{
			Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.Silence}},
			Cluster:      func(c *backend.Config) { c.MaxConnections, c.GhostTimeout = 1, 100*time.Millisecond },
			DrainTimeout: 100 * time.Millisecond, Serve: relay.ErrDrainTimeout,
		})
		for range 3 {
			c := r.connect(pyrotest.Client{})
			noError(t, c.Send(c.InvokeMessage([]byte("call\n"))))
		}
		r.waitValue(2, "queue_length")
	})
}
