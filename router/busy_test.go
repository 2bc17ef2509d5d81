package router_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestBusy: an endpoint that answers no health check is not well, unless a call of
// ours is under way there. A session, or a connection held by a stream, is none.
func TestBusy(t *testing.T) {
	m := messages{wire.V502}
	tests := []struct {
		name   string
		pool   bool
		events []event
		state  string // of the endpoint, a while behind them
	}{
		{"session, idle", false, []event{answers(m.ok())}, "down"},
		{"session, in a call", false, []event{answers(m.ok()), says(m.invoke())}, "up"},
		{"session, behind a call", false, []event{answers(m.ok()), says(m.invoke()), answers(m.result())}, "down"},
		{"session, in the second of two", false, []event{answers(m.ok()), says(m.invoke(), m.invoke()), answers(m.result())}, "up"},
		{"session, behind a oneway", false, []event{answers(m.ok()), says(m.oneway())}, "down"},
		{"call", true, []event{says(m.invoke())}, "up"},
		{"call, behind it", true, []event{says(m.invoke()), answers(m.result())}, "down"},
		{"call, held", true, []event{says(m.invoke()), answers(m.stream())}, "down"},
		{"call, held and in a call", true, []event{says(m.invoke()), answers(m.stream()), says(m.invoke())}, "up"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				checked := func(c *backend.Config) {
					c.Health = backend.HealthConfig{Interval: time.Second, Timeout: 100 * time.Millisecond, Rise: 1, Fall: 1,
						Serializer: wire.Serpent, Handshake: "hello"}
				}
				w := newWorld(1)
				if test.pool {
					w = newPool(1, checked)
				}
				w.alter = checked
				w = w.again()
				h := newHarness(t, w)
				h.says(m.connect())
				h.connects()
				for _, e := range test.events {
					e(h)
				}
				ctx, cancel := context.WithCancel(context.Background())
				var running sync.WaitGroup
				running.Go(func() { w.cluster.Run(ctx) })
				time.Sleep(5 * time.Second)
				if got := w.cluster.Status().Endpoints[0].State; got != test.state {
					t.Errorf("the endpoint is %s, want %s", got, test.state)
				}
				h.finish()
				cancel()
				running.Wait()
			})
		})
	}
}
