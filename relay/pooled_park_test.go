package relay_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Idle clients have no goroutine, and do when something happens what they would
// have done otherwise.
func TestPooledParked(t *testing.T) {
	const each = 15
	events := []struct {
		name  string
		act   func(c *pyrotest.Client, id string) error
		calls int // that run
		ends  bool
	}{
		{"call", func(c *pyrotest.Client, id string) error {
			_, err := c.Call(pyrotest.CallData(id, 500))
			return err
		}, 1, false},
		{"large call", func(c *pyrotest.Client, id string) error {
			_, err := c.Call(pyrotest.CallData(id, 300_000))
			return err
		}, 1, false},
		{"ping", func(c *pyrotest.Client, _ string) error { return c.Ping() }, 0, false},
		{"oneway", func(c *pyrotest.Client, id string) error { return c.Oneway(pyrotest.CallData(id, 500)) }, 1, false},
		{"oneway, FIN", func(c *pyrotest.Client, id string) error {
			return errors.Join(c.Oneway(pyrotest.CallData(id, 500)), c.CloseWrite())
		}, 1, true},
		{"oneway, RST", func(c *pyrotest.Client, id string) error {
			return errors.Join(c.Oneway(pyrotest.CallData(id, 500)), c.Reset())
		}, 1, true},
		{"FIN", func(c *pyrotest.Client, _ string) error { return c.CloseWrite() }, 0, true},
		{"RST", func(c *pyrotest.Client, _ string) error { return c.Reset() }, 0, true},
		{"garbage", func(c *pyrotest.Client, _ string) error {
			_, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			return err
		}, 0, true},
	}
	overSockets(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Call: true})
		base := runtime.NumGoroutine()
		const few = 2 * 2 * 4 // readers, and daemons' goroutines: two endpoints, four connections each
		var clients []*pyrotest.Client
		for i := range each * len(events) {
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			_, err := c.Call([]byte("data"))
			noError(t, err)
			clients = append(clients, c)
		}
		r.waitParked(base + few)
		inNumbers(len(clients), func(i int) {
			if e := events[i%len(events)]; e.act(clients[i], fmt.Sprint(i)) != nil {
				t.Errorf("%s failed", e.name)
			}
		})
		left := 0
		for i, c := range clients {
			e := events[i%len(events)]
			pyrotest.WaitFor(t, e.name+": the call runs", func() bool {
				return r.daemon().Ledger.Times(fmt.Sprint(i)) == e.calls
			})
			if e.ends {
				_ = c.Close()
				continue
			}
			left++
			if _, err := c.Call([]byte("once more\n")); err != nil {
				t.Errorf("after %s: %v", e.name, err)
			}
		}
		r.waitValue(float64(left), "sessions")
		r.waitRest()

		// And once more into the lot, and out of it by drain.
		r.waitParked(base + few)
		r.cancel()
		for i, c := range clients {
			if !events[i%len(events)].ends {
				_, err := c.Next()
				wantError(t, "at the drain", err, io.EOF)
				noError(t, c.Close())
			}
		}
	})
}

// A client that breaks while its call waits for an endpoint gives up its place.
func TestPooledQueueReset(t *testing.T) {
	noLeaks(t)
	release := make(chan struct{})
	r := start(t, &sockets{network: "tcp"}, setup{
		Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.AfterSignal(release, pyrotest.Echo)}},
		Cluster: func(c *backend.Config) { c.MaxConnections = 1 },
	})
	busy := r.connect(pyrotest.Client{})
	m := busy.InvokeMessage([]byte("busy\n"))
	noError(t, busy.Send(m))
	var waiting []*pyrotest.Client
	for i := range 4 {
		c := r.connect(pyrotest.Client{})
		noError(t, c.Send(c.InvokeMessage(pyrotest.CallData(fmt.Sprint(i), 1000))))
		waiting = append(waiting, c)
	}
	other := r.dial(pyrotest.Client{Handshake: "other"}) // a CONNECT waits as well
	noError(t, other.Send(other.ConnectMessage("some.object")))
	r.waitValue(5, "queue_length")
	noError(t, waiting[0].Reset())
	noError(t, waiting[1].Reset())
	noError(t, other.Reset())
	r.waitValue(2, "queue_length")
	close(release)
	_, err := busy.Await(m)
	noError(t, err)
	for _, c := range waiting[2:] {
		reply, err := c.Next()
		noError(t, err)
		if reply.Head.Type != wire.Result {
			t.Errorf("answered with %v", reply.Head.Type)
		}
	}
	r.waitRest()
	for i, want := range []int{0, 0, 1, 1} {
		if n := r.daemon().Ledger.Times(fmt.Sprint(i)); n != want {
			t.Errorf("call %d ran %d times", i, n)
		}
	}
}

// Idle sessions of an endpoint that is found down are closed where that is asked
// for, those with a call under way are not.
func TestOnDownClose(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, closes := range []bool{true, false} {
			release := make(chan struct{})
			ln := tr.listen(t)
			daemon := &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(release, pyrotest.Echo)}
			daemon.Start(ln)
			r := start(t, tr, setup{
				Endpoints: []net.Addr{ln.Addr()},
				Cluster: func(c *backend.Config) {
					c.CloseOnDown = closes
					c.Health = backend.HealthConfig{Interval: 20 * time.Millisecond, Timeout: time.Second, Rise: 1, Fall: 1,
						Serializer: wire.Serpent, Handshake: "hello"}
				},
			})
			idle, busy := r.connect(pyrotest.Client{}), r.connect(pyrotest.Client{})
			m := busy.InvokeMessage([]byte("call\n"))
			noError(t, busy.Send(m))
			pyrotest.WaitFor(t, "the call is running", func() bool { return daemon.Ledger.Times("call") == 1 })
			noError(t, ln.Close()) // the connections go on
			r.waitValue(0, "endpoint_up")
			close(release)
			if closes {
				_, err := idle.Next()
				wantError(t, "an idle client", err, io.EOF)
				noError(t, idle.Close())
			} else {
				_, err := idle.Call([]byte("idle\n"))
				noError(t, err)
			}
			_, err := busy.Await(m)
			noError(t, err)
			want := 0
			if closes {
				want = 1
				r.waitValue(1, "sessions_ended_total")
			}
			if n := r.reasons()["endpoint_down"]; n != want {
				t.Errorf("%d sessions were closed", n)
			}
			noError(t, busy.Close())
			if !closes {
				noError(t, idle.Close())
			}
			r.stop()
			daemon.Close()
		}
	})
}

// Connections that are too old are replaced, whoever has just used them.
func TestPooledMaxAge(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Call: true, Cluster: func(c *backend.Config) { c.MaxAge = time.Millisecond }})
		c := r.connect(pyrotest.Client{})
		for range 30 {
			_, err := c.Call([]byte("data"))
			noError(t, err)
			noError(t, c.Oneway([]byte("oneway")))
		}
		r.waitRest()
	})
}
