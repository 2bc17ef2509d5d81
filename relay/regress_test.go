package relay_test

import (
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// A client that has said its last and whose endpoints are given up one after the
// other has, for moments, no goroutine at all: its session is still settled
// once. (The rig compares sessions started, ended, logged and open.)
func TestFailoverOfTheHalfClosed(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		silent := func() *pyrotest.Daemon { return &pyrotest.Daemon{OnConnect: pyrotest.Silence} }
		r := start(t, tr, setup{
			Daemons:        []*pyrotest.Daemon{silent(), silent(), silent()},
			ConnectTimeout: 120 * time.Millisecond,
		})
		var clients sync.WaitGroup
		for range 150 {
			clients.Go(func() {
				c := r.dial(pyrotest.Client{Timeout: 20 * time.Second})
				if err := c.Send(c.ConnectMessage("some.object")); err != nil {
					t.Error(err)
					return
				}
				if err := c.CloseWrite(); err != nil {
					t.Error(err)
				}
				m, err := c.Next()
				if err != nil || m.Head.Type != wire.ConnectFail {
					t.Errorf("answered with %+v, %v", m.Head, err)
				}
			})
		}
		clients.Wait()
		r.waitValue(0, "sessions")
		if n := r.reasons()["no_endpoint"]; n != 150 {
			t.Errorf("ended by %v", r.reasons())
		}
	})
}

// What a client sends behind a oneway call that its daemon does not take may end
// the session, and then nothing may wait for that daemon.
func TestGarbageBehindAStuckOneway(t *testing.T) {
	inBubble(t, &pyrotest.Network{Buffer: 2000}, func(t *testing.T, tr transport) {
		hold := make(chan struct{})
		t.Cleanup(func() { close(hold) })
		r := start(t, tr, setup{
			Daemons:      []*pyrotest.Daemon{{OnInvoke: pyrotest.AfterSignal(hold, pyrotest.Echo)}},
			Env:          func(e *router.Env) { e.LingerTime = time.Second },
			DrainTimeout: 10 * time.Second,
			Serve:        relay.ErrDrainTimeout,
		})
		c := r.connect(pyrotest.Client{})
		noError(t, c.Oneway(make([]byte, 1900))) // the daemon is busy with this one,
		noError(t, c.Oneway(make([]byte, 1900))) // this one fills its buffers,
		stuck := pyrotest.Message{Head: wire.Head{
			Dialect: wire.V502, Type: wire.Invoke, SerializerID: 1, Flags: wire.V502.Bit(wire.Oneway),
		}, Data: make([]byte, 1000)}
		_, err := c.Write(append(stuck.Bytes(), "garbage that is no header at all, of forty bytes and more"...))
		noError(t, err)
		r.waitValue(1, "sessions")
		r.stop() // the rig fails the test where this does not return
	})
}
