package relay_test

import (
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Clients that do not read what they are told when their calls have taken too long do
// not keep others from being told in time.
func TestTimeoutsDoNotWait(t *testing.T) {
	for _, call := range []bool{false, true} {
		for _, class := range []router.TimeoutError{router.PyroTimeout, router.BuiltinTimeout} {
			inBubble(t, &pyrotest.Network{Buffer: 64}, func(t *testing.T, tr transport) {
				hold := make(chan struct{})
				daemon := &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(hold, pyrotest.Echo)}
				r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{daemon}, Call: call, Route: timed(5*time.Second, class)})
				for range 4 {
					deaf := r.connect(pyrotest.Client{Dialect: wire.V502})
					defer deaf.Close()
					noError(t, deaf.Send(deaf.InvokeMessage([]byte("x"))))
				}
				time.Sleep(time.Second)
				c := r.connect(pyrotest.Client{Dialect: wire.V502})
				began := time.Now()
				m, err := c.Call([]byte("x"))
				wantRaised(t, m, err, "TimeoutError")
				wantAfter(t, "the exception", began, 5*time.Second)
				close(hold)
			})
		}
	}
}

// Nor do those whose calls are dispatched.
func TestDispatchedTimeoutsDoNotWait(t *testing.T) {
	inBubble(t, &pyrotest.Network{Buffer: 64}, func(t *testing.T, tr transport) {
		hold := make(chan struct{})
		daemon := &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(hold, pyrotest.Echo)}
		r := start(t, tr, setup{
			Daemons: []*pyrotest.Daemon{daemon}, Cluster: pooledToo,
			Calls: blobRoute(func(r *router.Route) { r.Timeouts.Call = 5 * time.Second }),
		})
		for range 4 {
			deaf := r.connect(pyrotest.Client{Dialect: wire.V502})
			defer deaf.Close()
			noError(t, deaf.Send(blobCall(deaf, "topic", []byte("x"))))
		}
		time.Sleep(time.Second)
		c := r.connect(pyrotest.Client{Dialect: wire.V502})
		began := time.Now()
		m, err := c.Do(blobCall(c, "topic", []byte("x")))
		wantRaised(t, m, err, "TimeoutError")
		wantAfter(t, "the exception", began, 5*time.Second)
		close(hold)
	})
}

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
