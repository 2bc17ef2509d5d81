package relay_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// timed bounds calls, and says what they are raised as.
func timed(call time.Duration, class router.TimeoutError) func(*router.Route) {
	return func(r *router.Route) { r.Timeouts.Call, r.Policy.TimeoutError = call, class }
}

func wantRaised(t *testing.T, m pyrotest.Message, err error, class string) {
	t.Helper()
	noError(t, err)
	if !m.Head.Has(wire.Exception) || !strings.Contains(string(m.Data), class) {
		t.Errorf("got %+v %q, want %s", m.Head, m.Data, class)
	}
}

// A call that takes too long is answered, and its late reply goes to nobody: with
// the builtin exception the client's next call gets its own; with Pyro's the
// connection ends. The daemon's work counts until it is over.
func TestCallTimeout(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			for _, call := range []bool{false, true} {
				for _, class := range []router.TimeoutError{router.PyroTimeout, router.BuiltinTimeout} {
					hold := make(chan struct{})
					daemon := &pyrotest.Daemon{OnInvoke: pyrotest.InTurn(pyrotest.AfterSignal(hold, pyrotest.Echo), pyrotest.Echo)}
					r := start(t, tr, setup{
						Daemons: []*pyrotest.Daemon{daemon}, Call: call, Route: timed(200*time.Millisecond, class),
					})
					c := r.connect(pyrotest.Client{Dialect: d})
					m, err := c.Call([]byte("slow"))
					name := map[router.TimeoutError]string{router.PyroTimeout: "errors.TimeoutError", router.BuiltinTimeout: "builtins.TimeoutError"}[class]
					wantRaised(t, m, err, name)
					if call || class == router.PyroTimeout {
						r.waitValue(1, "endpoint_ghosts")
					}
					switch {
					case call:
						m, err = c.Call([]byte("next")) // on another connection
						noError(t, err)
						if string(m.Data) != "next" {
							t.Errorf("answered with %q", m.Data)
						}
						close(hold)
					case class == router.PyroTimeout:
						_, err = c.Next()
						wantError(t, "after the exception", err, io.EOF)
						c.Close()
						r.waitValue(0, "sessions")
						if n := r.value("endpoint_ghosts"); n != 1 {
							t.Errorf("%v ghosts when the session has ended", n)
						}
						close(hold)
					default:
						close(hold)
						m, err = c.Call([]byte("next"))
						noError(t, err)
						if string(m.Data) != "next" {
							t.Errorf("answered with %q", m.Data)
						}
						r.waitValue(1, "late_replies_total")
					}
					r.waitValue(0, "endpoint_ghosts")
					if n := r.value("calls_total", "timeout"); n != 1 {
						t.Errorf("%v calls timed out", n)
					}
					c.Close()
					r.stop()
				}
			}
		}
	})
}

// A ghost is waited for no longer than ghost_timeout, in virtual time; the deadline
// is met to the wheel's tick.
func TestGhostTimeout(t *testing.T) {
	for _, call := range []bool{false, true} {
		inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
			daemon := &pyrotest.Daemon{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) { <-c.Closing() }}
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{daemon}, Call: call, Route: timed(5*time.Second, router.PyroTimeout)})
			c := r.connect(pyrotest.Client{Dialect: wire.V502})
			began := time.Now()
			m, err := c.Call([]byte("for ever"))
			wantRaised(t, m, err, "Pyro5.errors.TimeoutError")
			wantAfter(t, "the exception", began, 5*time.Second)
			c.Close()
			time.Sleep(50 * time.Second)
			if n := r.value("endpoint_ghosts"); n != 1 {
				t.Errorf("%v ghosts before ghost_timeout", n)
			}
			time.Sleep(11 * time.Second)
			if n := r.value("endpoint_ghosts"); n != 0 {
				t.Errorf("%v ghosts after ghost_timeout", n)
			}
		})
	}
}

// A client is closed that makes no call for too long, parked or not.
func TestIdleTimeout(t *testing.T) {
	for _, call := range []bool{false, true} {
		inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
			r := start(t, tr, setup{Call: call, Route: func(r *router.Route) { r.Timeouts.Idle = time.Minute }})
			c := r.connect(pyrotest.Client{Dialect: wire.V502})
			time.Sleep(50 * time.Second)
			_, err := c.Call([]byte("x"))
			noError(t, err)
			began := time.Now()
			_, err = c.Next()
			wantError(t, "idle", err, io.EOF)
			wantAfter(t, "the end", began, time.Minute)
			c.Close()
			r.stop()
			if r.reasons()["idle_timeout"] != 1 {
				t.Errorf("ended by %v", r.reasons())
			}
		})
	}
	overAll(t, func(t *testing.T, tr transport) { // real sockets: the session is parked meanwhile
		r := start(t, tr, setup{Route: func(r *router.Route) { r.Timeouts.Idle = 2500 * time.Millisecond }})
		c := r.connect(pyrotest.Client{Dialect: wire.V48})
		_, err := c.Next()
		wantError(t, "idle", err, io.EOF)
	})
}

// A peer that takes nothing is given up, and one that takes its time is not.
func TestSendTimeout(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 32<<20)
	overAll(t, func(t *testing.T, tr transport) {
		for _, call := range []bool{false, true} {
			limit := func(r *router.Route) { r.Timeouts.Send = 300 * time.Millisecond }
			deaf := &pyrotest.Daemon{OnConnect: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
				pyrotest.AcceptConnect(c, m)
				<-c.Closing()
			}}
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{deaf}, Call: call, Route: limit})
			c := r.connect(pyrotest.Client{Dialect: wire.V502})
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				c.Send(c.InvokeMessage(big)) // fails when we are gone
			}()
			m, err := c.Next()
			wantRaised(t, m, err, "Pyro5.errors.TimeoutError")
			c.Close()
			<-sent
			r.waitValue(1, "calls_total", "send_timeout")
			r.stop()

			r = start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.ReplyData(big)}}, Call: call, Route: limit})
			c = r.connect(pyrotest.Client{Dialect: wire.V502})
			noError(t, c.Send(c.InvokeMessage([]byte("x"))))
			r.waitValue(1, "sessions_ended_total", "send_timeout")
			c.Close()
			r.stop()
		}
	})
}

// A call without a correlation id reaches the daemon with one, and is otherwise
// what its client sent; one with an id is that to the byte.
func TestCorrelation(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			for _, call := range []bool{false, true} {
				for _, size := range []int{0, 10, 60_000, 300_000} {
					got := make(chan pyrotest.Message, 2)
					daemon := &pyrotest.Daemon{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
						got <- m
						pyrotest.Echo(c, m)
					}}
					r := start(t, tr, setup{
						Daemons: []*pyrotest.Daemon{daemon}, Call: call,
						Route: func(r *router.Route) { r.Policy.Preserve = false },
					})
					c := r.connect(pyrotest.Client{Dialect: d})
					data := bytes.Repeat([]byte("d"), size)
					plain := c.InvokeMessage(data)
					plain.Chunks = []wire.Chunk{{ID: [4]byte{'U', 'S', 'E', 'R'}, Value: []byte("something")}}
					_, err := c.Do(plain)
					noError(t, err)
					m := <-got
					id, ok := m.Correlation()
					if !ok || id[6]>>4 != 4 || id[8]>>6 != 2 {
						t.Errorf("%s: id %x, %v", d, id, ok)
					}
					if want := plain.WithCorrelation(id); !bytes.Equal(want.Bytes(), m.Bytes()) {
						t.Errorf("%s: the daemon got %+v, want %+v", d, m.Head, want.Head)
					}
					own := c.InvokeMessage(data).WithCorrelation([16]byte{1, 2, 3})
					_, err = c.Do(own)
					noError(t, err)
					if m := <-got; !bytes.Equal(own.Bytes(), m.Bytes()) {
						t.Errorf("%s: a call with an id was altered", d)
					}
					c.Close()
					r.stop()
				}
			}
		}
	})
}
