package health

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestAskServer: a daemon that is asked what kind of server it is, and what can be
// made of what it says. It is as well as before, whatever that is.
func TestAskServer(t *testing.T) {
	text := func(class string) []byte {
		return fmt.Appendf(nil, "'pyro daemon bound on x:1, NAT None, 2 objects registered. Servertype: <Pyro5.x.%s object at 0x7f>'", class)
	}
	for _, c := range []struct {
		name     string
		says     pyrotest.Script
		want     Server
		answered bool
	}{
		{"threads", pyrotest.ReplyData(text("SocketServer_Threadpool")), ThreadServer, true},
		{"multiplex", pyrotest.ReplyData(text("SocketServer_Multiplex")), MultiplexServer, true},
		{"something new", pyrotest.ReplyData(text("SocketServer_Async")), UnknownServer, true},
		{"an exception", pyrotest.RaiseException("no SocketServer_Multiplex"), UnknownServer, true},
		{"much", pyrotest.ReplySize(100_000), UnknownServer, true},
		{"nothing", pyrotest.Silence, UnknownServer, false},
		{"goes", pyrotest.Hangup, UnknownServer, false},
		{"out of turn", pyrotest.WrongSeq, UnknownServer, false},
		{"garbage", pyrotest.Garbage([]byte("SocketServer_Multiplex, and what is not Pyro")), UnknownServer, false},
	} {
		for _, d := range dialects {
			for _, s := range []wire.Serializer{wire.UnknownSerializer, wire.JSON, wire.Marshal, wire.Msgpack} {
				synctest.Test(t, func(t *testing.T) {
					got := ask(t, &pyrotest.Daemon{Dialect: d, OnInvoke: c.says}, Probe{Dialect: d, Serializer: s, AskServer: true})
					want := Result{Finding: Alive, Dialect: d, Server: c.want, Answered: c.answered}
					if got != want {
						t.Errorf("%s, %s, %s: %+v, want %+v", c.name, d, s, got, want)
					}
				})
			}
		}
	}
	synctest.Test(t, func(t *testing.T) { // in a serializer that is not safe nothing is asked
		daemon := &pyrotest.Daemon{OnInvoke: pyrotest.ReplyData(text("SocketServer_Multiplex"))}
		got := ask(t, daemon, Probe{Dialect: wire.V48, Serializer: wire.Pickle, AskServer: true})
		if want := (Result{Finding: Alive, Dialect: wire.V48}); got != want {
			t.Errorf("pickle: %+v", got)
		}
	})
}
