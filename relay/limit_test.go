package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// denied connects a client that must be refused with that text, in its own
// dialect and serializer.
func (r *rig) denied(c *pyrotest.Client, text string) {
	r.Helper()
	m := c.ConnectMessage("some.object").WithCorrelation([16]byte{1, 2})
	m.Head.Seq = 17
	noError(r, c.Send(m))
	reply, err := c.Next()
	noError(r, err)
	h := reply.Head
	if h.Type != wire.ConnectFail || h.Dialect != c.Dialect || h.Seq != 17 || h.Serializer() != c.Serializer {
		r.Errorf("answered with %+v", h)
	}
	if id, ok := reply.Correlation(); !ok || id != [16]byte{1, 2} {
		r.Errorf("correlation id %x, %v", id, ok)
	}
	if !strings.Contains(string(reply.Data), text) {
		r.Errorf("refused with %q, want %q", reply.Data, text)
	}
	_, err = c.Next()
	wantError(r, "after the refusal", err, io.EOF)
	noError(r, c.Close())
}

func TestMaxSessions(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			r := start(t, tr, setup{MaxSessions: 2})
			if n := r.value("sessions_limit"); n != 2 {
				t.Errorf("the limit is shown as %v", n)
			}
			first := r.connect(pyrotest.Client{Dialect: d})
			second := r.connect(pyrotest.Client{Dialect: d})
			for _, s := range []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Msgpack} {
				r.denied(r.dial(pyrotest.Client{Dialect: d, Serializer: s}), "pyro-dispatch: too many sessions on listener main")
				r.waitValue(2, "sessions")
			}
			noError(t, first.Close())
			var third *pyrotest.Client
			denied := -1
			pyrotest.WaitFor(t, "there is room for another client", func() bool {
				denied++
				third = r.dial(pyrotest.Client{Dialect: d})
				_, err := third.Connect("some.object")
				if err != nil {
					wantError(t, "one too many", err, pyrotest.ErrConnectFail)
					noError(t, third.Close())
				}
				return err == nil
			})
			for _, c := range []*pyrotest.Client{second, third} {
				_, err := c.Call([]byte("data"))
				noError(t, err)
				noError(t, c.Close())
			}
			r.stop()
			if n := r.value("rejected_total", "sessions_limit"); n != float64(4+denied) {
				t.Errorf("%v clients were denied", n)
			}
			if n := len(r.daemon().Conns()); n != 3 {
				t.Errorf("%d connections to the daemon", n)
			}
		}
	})
}

// Each listener has its own limit.
func TestMaxSessionsOfTwo(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Second: true, MaxSessions: 1})
		for _, a := range []net.Addr{r.addr, r.addr2} {
			_, err := r.dialTo(a, pyrotest.Client{}).Connect("some.object")
			noError(t, err)
		}
		r.denied(r.dial(pyrotest.Client{}), "too many sessions on listener main")
		r.denied(r.dialTo(r.addr2, pyrotest.Client{}), "too many sessions on listener second")
	})
}

// Clients that are one too many and say nothing are themselves limited.
func TestTooManyToTell(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{MaxSessions: 1})
		good := r.connect(pyrotest.Client{})
		const told = 64
		for range told {
			r.dial(pyrotest.Client{})
		}
		r.waitValue(1+told, "sessions_started_total")
		for range 10 {
			c := r.dial(pyrotest.Client{})
			_, err := c.Next()
			if err == nil {
				t.Error("a client beyond all limits got an answer")
			}
		}
		_, err := good.Call([]byte("data"))
		noError(t, err)
	})
}

// Those that are being refused take nobody's place.
func TestDeniedDoNotCount(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{MaxSessions: 1, MaxPerSource: 1})
		for range 3 {
			c := r.connect(pyrotest.Client{})
			for range 10 {
				r.dial(pyrotest.Client{}) // denied, and slow to hear of it
			}
			tr.settle()
			if n := r.value("sessions"); n != 1 {
				t.Errorf("%v sessions", n)
			}
			noError(t, c.Close())
			tr.settle()
		}
	})
}

func TestMaxPerSource(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{MaxPerSource: 2})
		from := func(ip string) *pyrotest.Client {
			conn, err := tr.(memory).DialFrom(context.Background(), ip, r.addr.String())
			noError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			return pyrotest.NewClient(conn, pyrotest.Client{})
		}
		connect := func(c *pyrotest.Client) *pyrotest.Client {
			_, err := c.Connect("some.object")
			noError(t, err)
			return c
		}
		first := connect(from("192.0.2.1"))
		connect(from("192.0.2.1"))
		r.denied(from("192.0.2.1"), "pyro-dispatch: too many sessions from 192.0.2.1")
		r.denied(from("::ffff:192.0.2.1"), "pyro-dispatch: too many sessions from 192.0.2.1")
		connect(from("192.0.2.2"))
		connect(from("2001:db8::1"))
		connect(from("2001:db8::1"))
		r.denied(from("2001:db8::1"), "pyro-dispatch: too many sessions from 2001:db8::1")
		noError(t, first.Close())
		tr.settle()
		connect(from("192.0.2.1"))
		r.denied(from("192.0.2.1"), "too many sessions")
	})
}

// A Unix socket's clients have no address, and share no limit by it.
func TestMaxPerSourceOnUnix(t *testing.T) {
	noLeaks(t)
	r := start(t, &sockets{network: "unix"}, setup{MaxPerSource: 1})
	for range 5 {
		r.connect(pyrotest.Client{})
	}
}

// faulty is a listener whose Accept fails some times.
type faulty struct {
	net.Listener
	fail int
	err  error
}

func (l *faulty) Accept() (net.Conn, error) {
	if l.fail > 0 {
		l.fail--
		return nil, l.err
	}
	return l.Listener.Accept()
}

// An error of accept, such as too many open files, is waited out.
func TestAcceptErrors(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		began := time.Now()
		r := start(t, tr, setup{Listener: func(l net.Listener) net.Listener {
			return &faulty{l, 10, errors.New("accept4: too many open files")}
		}})
		_, err := r.connect(pyrotest.Client{}).Call([]byte("data"))
		noError(t, err)
		// 5, 10, 20 … ms, and never more than a second.
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("the client was accepted after %v", took)
		}
		if n := r.value("accept_errors_total"); n != 10 {
			t.Errorf("%v errors counted", n)
		}
		if n := r.logs.FilterMessage("accept failed").Len(); n != 10 {
			t.Errorf("%v errors logged", n)
		}
	})
}

// Stopping does not wait for accept to succeed.
func TestStopWhileAcceptFails(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Listener: func(l net.Listener) net.Listener {
			return &faulty{l, 10, errors.New("accept4: too many open files")}
		}})
		time.Sleep(2 * time.Second)
		began := time.Now()
		r.stop()
		// The listener's own end is an error of accept as well, once it is seen.
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("stopped after %v", took)
		}
	})
}
