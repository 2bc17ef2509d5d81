package relay_test

import (
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// A client that goes while it is being told that its call has taken too long leaves
// nothing behind but the daemon's work.
func TestGoneWhileTold(t *testing.T) {
	inBubble(t, &pyrotest.Network{Buffer: 64}, func(t *testing.T, tr transport) {
		hold := make(chan struct{})
		daemon := &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(hold, pyrotest.Echo)}
		r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{daemon}, Route: timed(5*time.Second, router.PyroTimeout)})
		deaf := r.connect(pyrotest.Client{Dialect: wire.V502})
		noError(t, deaf.Send(deaf.InvokeMessage([]byte("x"))))
		time.Sleep(6 * time.Second)
		noError(t, deaf.CloseWrite())
		time.Sleep(time.Minute)
		if n := r.value("sessions"); n != 0 {
			t.Errorf("%v sessions are left", n)
		}
		close(hold)
	})
}
