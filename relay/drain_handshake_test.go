package relay_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Clients that have no endpoint yet are refused; one that is being greeted is
// let in, and then out.
func TestDrainHandshakes(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			arrived, release := make(chan struct{}, 1), make(chan struct{})
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnConnect: pyrotest.Steps(
				func(*pyrotest.DaemonConn, pyrotest.Message) { arrived <- struct{}{} },
				pyrotest.AfterSignal(release, pyrotest.AcceptConnect),
			)}}})
			silent := r.dial(pyrotest.Client{Dialect: d})
			half := r.dial(pyrotest.Client{Dialect: d})
			_, err := half.Write(half.ConnectMessage("some.object").Bytes()[:50])
			noError(t, err)
			greeted := r.dial(pyrotest.Client{Dialect: d})
			noError(t, greeted.Send(greeted.ConnectMessage("some.object")))
			r.waitValue(3, "sessions")
			<-arrived
			r.drain()
			for _, c := range []*pyrotest.Client{silent, half} {
				m, err := c.Next()
				noError(t, err)
				if m.Head.Type != wire.ConnectFail || !strings.Contains(string(m.Data), "pyro-dispatch is shutting down") {
					t.Errorf("answered with %+v, %q", m.Head, m.Data)
				}
				_, err = c.Next()
				wantError(t, "after the refusal", err, io.EOF)
				noError(t, c.Close())
			}
			close(release)
			m, err := greeted.Next()
			noError(t, err)
			if m.Head.Type != wire.ConnectOK {
				t.Errorf("answered with %+v", m.Head)
			}
			_, err = greeted.Next()
			wantError(t, "after CONNECTOK", err, io.EOF)
			noError(t, greeted.Close())
			r.stop()
			if n := r.reasons()["drained"]; n < 3 {
				t.Errorf("ended by %v", r.reasons())
			}
		}
	})
}

func TestDrainWhileAcquiring(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		l := tr.listen(t)
		t.Cleanup(func() { l.Close() })
		tr.(memory).BlackHole(l.Addr().String())
		r := start(t, tr, setup{Endpoints: []net.Addr{l.Addr()}})
		c := r.dial(pyrotest.Client{Dialect: wire.V48, Serializer: wire.Marshal})
		m := c.ConnectMessage("some.object")
		m.Head.Seq = 9
		noError(t, c.Send(m))
		tr.settle()
		began := time.Now()
		r.drain()
		reply, err := c.Next()
		noError(t, err)
		if h := reply.Head; h.Type != wire.ConnectFail || h.Dialect != wire.V48 || h.Seq != 9 || h.Serializer() != wire.Marshal {
			t.Errorf("answered with %+v", h)
		}
		c.Close()
		r.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("drained after %v", took)
		}
	})
}
