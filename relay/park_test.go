package relay_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// parked connects n clients that make a call, and waits until their sessions
// have no goroutines left. (Those of the daemon stay: one per connection.)
func (r *rig) parked(n int) (clients []*pyrotest.Client) {
	r.Helper()
	before := runtime.NumGoroutine()
	for i := range n {
		c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
		_, err := c.Call([]byte("data"))
		noError(r, err)
		clients = append(clients, c)
	}
	r.waitParked(before + n)
	return clients
}

func (r *rig) waitParked(goroutines int) {
	r.Helper()
	const others = 10 // the test's own may come and go
	pyrotest.WaitFor(r, "idle sessions are parked", func() bool { return runtime.NumGoroutine() <= goroutines+others })
}

// What may happen to a session that is parked, and that it does what it would
// have done otherwise. (Each client waits a second to be parked, so there are
// many at once.)
func TestParked(t *testing.T) {
	const each = 15
	events := []struct {
		name  string
		act   func(r *rig, c *pyrotest.Client, id string) error
		calls int // that run
		ends  bool
	}{
		{"call", func(_ *rig, c *pyrotest.Client, id string) error {
			_, err := c.Call(pyrotest.CallData(id, 500))
			return err
		}, 1, false},
		{"large call", func(_ *rig, c *pyrotest.Client, id string) error {
			_, err := c.Call(pyrotest.CallData(id, 300_000))
			return err
		}, 1, false},
		{"two calls", func(_ *rig, c *pyrotest.Client, id string) error {
			_, err := c.Call(pyrotest.CallData(id, 500))
			if err == nil {
				_, err = c.Call([]byte("the second\n"))
			}
			return err
		}, 1, false},
		{"ping", func(_ *rig, c *pyrotest.Client, _ string) error { return c.Ping() }, 0, false},
		{"oneway", func(_ *rig, c *pyrotest.Client, id string) error { return c.Oneway(pyrotest.CallData(id, 500)) }, 1, false},
		{"oneway, FIN", func(_ *rig, c *pyrotest.Client, id string) error {
			return errors.Join(c.Oneway(pyrotest.CallData(id, 500)), c.CloseWrite())
		}, 1, true},
		{"oneway, close", func(_ *rig, c *pyrotest.Client, id string) error {
			return errors.Join(c.Oneway(pyrotest.CallData(id, 500)), c.Close())
		}, 1, true},
		{"oneway, RST", func(_ *rig, c *pyrotest.Client, id string) error {
			return errors.Join(c.Oneway(pyrotest.CallData(id, 500)), c.Reset())
		}, 1, true},
		{"FIN", func(_ *rig, c *pyrotest.Client, _ string) error { return c.CloseWrite() }, 0, true},
		{"RST", func(_ *rig, c *pyrotest.Client, _ string) error { return c.Reset() }, 0, true},
		{"garbage", func(_ *rig, c *pyrotest.Client, _ string) error {
			_, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			return err
		}, 0, true},
	}
	overSockets(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{})
		base := runtime.NumGoroutine()
		clients := r.parked(each * len(events))
		inNumbers(len(clients), func(i int) {
			e := events[i%len(events)]
			if err := e.act(r, clients[i], fmt.Sprint(i)); err != nil {
				t.Errorf("%s: %v", e.name, err)
			}
		})
		for i, c := range clients {
			e := events[i%len(events)]
			pyrotest.WaitFor(t, e.name+": the call runs", func() bool {
				return r.daemon().Ledger.Times(fmt.Sprint(i)) == e.calls
			})
			if e.ends {
				_ = c.Close()
				continue
			}
			if _, err := c.Call([]byte("once more\n")); err != nil {
				t.Errorf("after %s: %v", e.name, err)
			}
		}
		left := 0
		for i := range clients {
			if !events[i%len(events)].ends {
				left++
			}
		}
		r.waitValue(float64(left), "sessions")

		// And once more into the lot, and out of it by drain.
		for i, c := range clients {
			if !events[i%len(events)].ends {
				_, err := c.Call([]byte("back to the lot\n"))
				noError(t, err)
			}
		}
		r.waitParked(base + left)
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

// Daemons may go, or speak out of turn, while sessions are parked. Clients see
// the end.
func TestParkedDaemon(t *testing.T) {
	overSockets(t, func(t *testing.T, tr transport) {
		const each = 10
		acts := []func(c *pyrotest.DaemonConn) error{
			func(c *pyrotest.DaemonConn) error { return c.Close() },
			func(c *pyrotest.DaemonConn) error { return c.Reset() },
			func(c *pyrotest.DaemonConn) error {
				_, err := c.Write(head(wire.V502, wire.Result, 0, 0))
				return err
			},
		}
		r := start(t, tr, setup{})
		clients := r.parked(each * len(acts))
		for i, c := range r.daemon().Conns() {
			noError(t, acts[i%len(acts)](c))
		}
		for _, c := range clients {
			_, err := c.Next()
			wantError(t, "after the daemon's end", err, io.EOF)
			noError(t, c.Close())
		}
		r.waitIdle()
	})
}

// Drain ends sessions that are parked.
func TestParkedDrain(t *testing.T) {
	overSockets(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{})
		clients := r.parked(40)
		for i, c := range clients[:20] { // these have said something when it comes
			noError(t, c.Oneway(pyrotest.CallData(fmt.Sprint(i), 100)))
		}
		r.stopWith(clients)
		for i := range 20 {
			if n := r.daemon().Ledger.Times(fmt.Sprint(i)); n != 1 {
				t.Errorf("oneway call %d ran %d times", i, n)
			}
		}
		if n := r.reasons()["drained"]; n != len(clients) {
			t.Errorf("ended by %v", r.reasons())
		}
	})
}
