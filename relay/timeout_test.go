package relay_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// wantAfter checks that about so much virtual time has passed: the wheel may be
// up to two of its ticks late, and never early.
func wantAfter(t *testing.T, what string, since time.Time, want time.Duration) {
	t.Helper()
	if took := time.Since(since); took < want || took > want+300*time.Millisecond {
		t.Errorf("%s: after %v, want %v", what, took, want)
	}
}

// A client that connects and says nothing, or not enough, gets a CONNECTFAIL
// in the default dialect, or its own where that was enough to tell: seq 0,
// marshal.
func TestHandshakeTimeout(t *testing.T) {
	for _, d := range dialects {
		for _, send := range []int{0, 5, 20, 39} {
			inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
				r := start(t, tr, setup{Env: func(e *router.Env) { e.DefaultDialect = d }})
				began := time.Now()
				c := r.dial(pyrotest.Client{})
				_, err := c.Write(c.ConnectMessage("some.object").Bytes()[:send])
				noError(t, err)
				m, err := c.Next()
				noError(t, err)
				wantAfter(t, "CONNECTFAIL", began, 10*time.Second)
				want := d
				if send >= wire.PrefixLen {
					want = wire.V502 // the client has said so
				}
				h := m.Head
				if h.Type != wire.ConnectFail || h.Dialect != want || h.Seq != 0 || h.Serializer() != wire.Marshal {
					t.Errorf("answered with %+v", h)
				}
				if !strings.Contains(string(m.Data), "no CONNECT message in time") {
					t.Errorf("refused with %q", m.Data)
				}
				_, err = c.Next()
				wantError(t, "after the refusal", err, io.EOF)
				// What is not closed by its client is closed by us.
				time.Sleep(1900 * time.Millisecond)
				if n := r.value("sessions"); n != 1 {
					t.Errorf("%v sessions before the linger time's end", n)
				}
				time.Sleep(400 * time.Millisecond)
				if n := r.value("sessions"); n != 0 {
					t.Errorf("%v sessions after the linger time", n)
				}
			})
		}
	}
}

// Endpoints that cannot be connected, or do not answer, are given up one by one,
// each when its connect_timeout has passed.
func TestConnectTimeout(t *testing.T) {
	holes := map[string]func(*pyrotest.Network) *pyrotest.Daemon{
		"black hole": nil,
		"silent":     func(*pyrotest.Network) *pyrotest.Daemon { return &pyrotest.Daemon{OnConnect: pyrotest.Silence} },
		"deaf": func(*pyrotest.Network) *pyrotest.Daemon {
			return &pyrotest.Daemon{OnAccept: func(c *pyrotest.DaemonConn) { <-c.Closing() }}
		},
	}
	for name, daemon := range holes {
		t.Run(name, func(t *testing.T) {
			inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
				s := setup{Learn: true}
				for range 2 {
					if daemon != nil {
						s.Daemons = append(s.Daemons, daemon(tr.(memory).Network))
						continue
					}
					l := tr.listen(t)
					t.Cleanup(func() { l.Close() })
					tr.(memory).BlackHole(l.Addr().String())
					s.Endpoints = append(s.Endpoints, l.Addr())
				}
				r := start(t, tr, s)
				began := time.Now()
				c := r.dial(pyrotest.Client{})
				_, err := c.Connect("some.object")
				wantError(t, "no endpoint", err, pyrotest.ErrConnectFail)
				wantAfter(t, "CONNECTFAIL", began, 10*time.Second)
				c.Close()
				r.stop()

				s.Daemons = append(s.Daemons, &pyrotest.Daemon{})
				r = start(t, tr, setup{Learn: true, Daemons: s.Daemons, Endpoints: s.Endpoints})
				for range 6 {
					began := time.Now()
					c := r.connect(pyrotest.Client{})
					if took := time.Since(began); took > 11*time.Second {
						t.Errorf("connected after %v", took)
					}
					_, err := c.Call([]byte("data"))
					noError(t, err)
					c.Close()
				}
			})
		})
	}
}

// A client that gives up while no endpoint answers takes everything with it.
// (One that only says that it will send no more still wants its answer.)
func TestClientGivesUp(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		l := tr.listen(t)
		t.Cleanup(func() { l.Close() })
		tr.(memory).BlackHole(l.Addr().String())
		for _, s := range []setup{
			{Daemons: []*pyrotest.Daemon{{OnConnect: pyrotest.Silence}}},
			{Endpoints: []net.Addr{l.Addr()}},
		} {
			r := start(t, tr, s)
			c := r.dial(pyrotest.Client{})
			noError(t, c.Send(c.ConnectMessage("some.object")))
			tr.settle()
			began := time.Now()
			noError(t, c.Reset())
			r.waitIdle()
			wantAfter(t, "the end", began, 0)
		}
	})
}

// request_timeout counts from a request's first byte to its last, and nothing
// else: neither how long a call takes nor how long a client is idle.
func TestRequestTimeout(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			if m.Head.Has(wire.Oneway) || c.Pause(time.Hour) {
				pyrotest.Echo(c, m)
			}
		}}}})
		patient := r.connect(pyrotest.Client{Timeout: 3 * time.Hour})
		for range 3 {
			time.Sleep(time.Hour)
			_, err := patient.Call([]byte("data"))
			noError(t, err)
		}
		for _, cut := range []int{1, 20, 40, 60} {
			c := r.connect(pyrotest.Client{})
			for range 5 { // in time
				m := c.InvokeMessage(pyrotest.CallData("in time", 100))
				m.Head.Flags |= c.Dialect.Bit(wire.Oneway)
				_, err := c.Write(m.Bytes()[:cut])
				noError(t, err)
				time.Sleep(29 * time.Second)
				_, err = c.Write(m.Bytes()[cut:])
				noError(t, err)
			}
			tr.settle()
			began := time.Now()
			_, err := c.Write(c.InvokeMessage(make([]byte, 100)).Bytes()[:cut])
			noError(t, err)
			_, err = c.Next()
			wantError(t, "an incomplete request", err, io.EOF)
			wantAfter(t, "the end", began, 30*time.Second)
			c.Close()
		}
		r.stop()
		if n := r.value("rejected_total", "request_timeout"); n != 4 {
			t.Errorf("%v requests timed out", n)
		}
		if n := r.daemon().Ledger.Times("in time"); n != 20 {
			t.Errorf("%d oneway calls ran", n)
		}
	})
}
