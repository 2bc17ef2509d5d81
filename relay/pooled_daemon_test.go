package relay_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// echoAnd echoes, and sends another message and garbage behind it, all at once.
func echoAnd(another wire.Type, garbage int) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		m.Head.Type = wire.Result
		b := m.Bytes()
		m.Head.Type = another
		_, _ = c.Write(append(append(b, m.Bytes()...), make([]byte, garbage)...))
	}
}

// What daemons do to a call, and what its client sees of it.
func TestPooledDaemonFails(t *testing.T) {
	scenarios := []struct {
		name    string
		script  pyrotest.Script
		read    error  // the client's first read
		outcome string // of the call
		goes    bool   // the client's session ends
	}{
		{"hangs up", pyrotest.Hangup, io.EOF, "backend_closed", true},
		{"resets", pyrotest.ResetConn, io.EOF, "backend_closed", true},
		{"garbage", pyrotest.Garbage([]byte("Segmentation fault")), io.EOF, "backend_protocol_error", true},
		{"hangs up mid-reply", pyrotest.Steps(pyrotest.HalfReply, pyrotest.Hangup), io.ErrUnexpectedEOF, "backend_closed", true},
		{"another call's reply", pyrotest.WrongSeq, io.EOF, "backend_protocol_error", true},
		{"hangs up after the reply", pyrotest.Steps(pyrotest.Echo, pyrotest.Hangup), nil, "ok", false},
		{"resets after the reply", pyrotest.Steps(pyrotest.Echo, pyrotest.ResetConn), nil, "ok", false},
		{"answers twice", pyrotest.Steps(pyrotest.Echo, pyrotest.Echo), nil, "ok", false},
		{"answers twice at once", echoAnd(wire.Result, 0), nil, "ok", false},
		{"garbage after the reply", pyrotest.Steps(pyrotest.Echo, pyrotest.Garbage(make([]byte, 20_000))), nil, "ok", false},
		{"a pong and garbage after the reply", echoAnd(wire.Ping, 5000), nil, "ok", false},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				for _, d := range dialects {
					daemon := &pyrotest.Daemon{OnInvoke: pyrotest.InTurn(s.script, pyrotest.Echo)}
					r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{daemon}})
					c := r.connect(pyrotest.Client{Dialect: d})
					_, err := c.Call([]byte("call\n"))
					if !errors.Is(err, s.read) {
						t.Errorf("%v: the call ended with %v, want %v", d, err, s.read)
					}
					if n := r.value("calls_total", s.outcome); n != 1 {
						t.Errorf("%v: %v calls ended as %s", d, n, s.outcome)
					}
					tr.settle()
					if s.goes {
						noError(t, c.Close())
						c = r.connect(pyrotest.Client{Dialect: d})
					} else if s.name == "resets after the reply" { // which is found before the next use
						pyrotest.WaitFor(t, "the daemon has reset", func() bool { return len(r.pooledConns()) == 0 })
						tr.settle()
					} else {
						r.waitValue(0, "endpoint_connections") // nobody else will be sent what is left on it
					}
					reply, err := c.Call([]byte("again\n"))
					if err != nil || string(reply.Data) != "again\n" {
						t.Errorf("%v: the next call: %q, %v", d, reply.Data, err)
					}
					noError(t, c.Close())
					r.stop()
				}
			})
		})
	}
}

// A daemon that dies right behind the answer to a PING of ours is noticed by the
// client that waits for its call's reply. (A poller that reports edges tells of
// both only once.)
func TestPooledResetBehindPong(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{{OnPing: pyrotest.Steps(
			pyrotest.After(5*time.Millisecond, pyrotest.Pong), pyrotest.ResetConn)}}})
		inNumbers(60, func(i int) {
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			err := c.Oneway([]byte("oneway"))
			if err == nil {
				_, err = c.Call([]byte("data"))
			}
			if err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("the call ended with %v", err)
			}
			c.Close()
		})
		r.waitRest()
	})
}

// Connections that end while nobody uses them cost nobody a call.
func TestPooledDaemonClosesIdle(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Call: true})
		c := r.connect(pyrotest.Client{})
		for i := range 100 {
			id := fmt.Sprint(i)
			_, err := c.Call(pyrotest.CallData(id, 100))
			noError(t, err)
			if n := r.daemon().Ledger.Times(id); n != 1 {
				t.Errorf("call %s ran %d times", id, n)
			}
			for n, conn := range r.pooledConns() {
				if (i+n)%2 == 0 {
					_ = conn.Close()
				} else {
					_ = conn.Reset()
				}
			}
			tr.settle() // in memory nothing can be seen before it has arrived
		}
		r.waitRest()
	})
}

// A daemon that closes a connection which a client with a stream holds does not
// end the client's session.
func TestPooledDaemonClosesHeld(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.ReplyStream("id")}}})
		c := r.connect(pyrotest.Client{})
		for i := range 20 {
			_, err := c.Call([]byte("data"))
			noError(t, err)
			for _, conn := range r.pooledConns() {
				if i%2 == 0 {
					_ = conn.Close()
				} else {
					_ = conn.Reset()
				}
			}
			r.waitValue(0, "endpoint_pinned")
		}
	})
}

// An idempotent call is sent to another daemon when the first fails it.
func TestPooledResend(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		ledger := &pyrotest.Ledger{}
		var mu sync.Mutex
		failed := map[string]bool{}
		script := func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			mu.Lock()
			first := !failed[pyrotest.CallID(m)]
			failed[pyrotest.CallID(m)] = true
			mu.Unlock()
			if first && m.Head.Type == wire.Invoke && strings.HasPrefix(pyrotest.CallID(m), "fails") {
				pyrotest.Hangup(c, m)
				return
			}
			pyrotest.Echo(c, m)
		}
		r := start(t, tr, setup{
			Call:    true,
			Daemons: []*pyrotest.Daemon{{OnInvoke: script, Ledger: ledger}, {OnInvoke: script, Ledger: ledger}},
			Cluster: func(c *backend.Config) { c.RetryBudget = 100 },
			Route:   func(r *router.Route) { r.Idempotent = true },
		})
		c := r.connect(pyrotest.Client{})
		for i := range 8 {
			for _, prefix := range []string{"", "fails"} {
				id := fmt.Sprint(prefix, i)
				reply, err := c.Call(pyrotest.CallData(id, 10_000))
				noError(t, err)
				want := 1
				if prefix != "" {
					want = 2
				}
				if n := ledger.Times(id); n != want || pyrotest.CallID(reply) != id {
					t.Errorf("%s ran %d times, answered with %s", id, n, pyrotest.CallID(reply))
				}
			}
		}
		if n := r.value("resends_total"); n != 8 {
			t.Errorf("%v calls were sent again", n)
		}
		if n := r.value("calls_total", "ok"); n != 16 {
			t.Errorf("%v calls have ended well", n)
		}
	})
}
