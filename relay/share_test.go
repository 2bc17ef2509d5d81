package relay_test

import (
	"context"
	"net"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// A listener that is with another has no limit of its own: the clients of both count,
// wherever they are, and who is one too many hears whose limit it is.
func TestSharedMaxSessions(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Second: true, Shared: true, MaxSessions: 2})
		if n := r.value("sessions_limit"); n != 2+2 { // of both, each with the limit that it has
			t.Errorf("the limits are shown as %v", n)
		}
		for _, order := range [][2]net.Addr{{r.addr, r.addr2}, {r.addr2, r.addr2}, {r.addr, r.addr}} {
			var connected []*pyrotest.Client
			for _, a := range order {
				c := r.dialTo(a, pyrotest.Client{})
				_, err := c.Connect("some.object")
				noError(t, err)
				connected = append(connected, c)
			}
			r.denied(r.dial(pyrotest.Client{}), "too many sessions on listener main")
			r.denied(r.dialTo(r.addr2, pyrotest.Client{}), "too many sessions on listener main")
			for _, c := range connected {
				noError(t, c.Close())
			}
			tr.settle()
		}
	})
}

// Nor has it a bound of its own for clients from one address, or for those that are told
// why they are one too many.
func TestSharedBounds(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Second: true, Shared: true, MaxSessions: 3, MaxPerSource: 1})
		from := func(ip string, a net.Addr) *pyrotest.Client {
			conn, err := tr.(memory).DialFrom(context.Background(), ip, a.String())
			noError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			return pyrotest.NewClient(conn, pyrotest.Client{Timeout: r.patience()})
		}
		first := from("192.0.2.1", r.addr2)
		_, err := first.Connect("some.object")
		noError(t, err)
		r.denied(from("192.0.2.1", r.addr), "too many sessions from 192.0.2.1")
		noError(t, first.Close())
		tr.settle()
		_, err = from("192.0.2.1", r.addr).Connect("some.object")
		noError(t, err)

		const told = 64
		for i := range told {
			from("192.0.2.1", []net.Addr{r.addr, r.addr2}[i%2])
		}
		tr.settle()
		if _, err := from("192.0.2.1", r.addr2).Next(); err == nil {
			t.Error("a client beyond all limits got an answer")
		}
		tr.settle()
		if n := r.value("rejected_total", "sessions_limit"); n != 1 {
			t.Errorf("%v clients were closed unheard", n)
		}
	})
}
