package router_test

import (
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestAllocations: a call through an open session costs no garbage.
func TestAllocations(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		h := open(t, d)
		annotated := m.message(wire.Invoke, 25).WithCorrelation(testID).Bytes()
		result, oneway, half := m.result(), m.oneway(), len(m.invoke())/2
		calls := map[string]func(){
			"call": func() {
				h.session.Data(h.now, router.Client, annotated)
				h.session.Sent(h.now, h.leg)
				h.session.Data(h.now, h.leg, result)
				h.session.Sent(h.now, router.Client)
			},
			"oneway": func() {
				h.session.Data(h.now, router.Client, oneway)
				h.session.Sent(h.now, h.leg)
			},
			"call in pieces": func() {
				h.session.Data(h.now, router.Client, annotated[:half])
				h.session.Data(h.now, router.Client, annotated)
				h.session.Sent(h.now, h.leg)
				h.session.Data(h.now, h.leg, result[:10])
				h.session.Sent(h.now, router.Client)
				h.session.Data(h.now, h.leg, result)
				h.session.Sent(h.now, router.Client)
			},
		}
		for name, call := range calls {
			if n := testing.AllocsPerRun(200, call); n != 0 {
				t.Errorf("%s: a %s allocates %v times", d, name, n)
			}
		}
		if h.session.State() != router.Idle || h.session.Actions() != nil {
			t.Errorf("%s: not idle", d)
		}
	}
}

// openPool is open in mode call, with a connection idle and a breaker.
func openPool(t testing.TB, d wire.Dialect) *harness {
	h := newHarness(t, newPool(1, func(c *backend.Config) {
		c.Breaker = backend.BreakerConfig{ConsecutiveFailures: 5, FailureRatio: 50, MinimumCalls: 20, Window: time.Minute, Open: time.Second, Probes: 1}
	}))
	h.says(messages{d}.connect())
	h.connects()
	return h
}

// pooledCall makes a call on a connection of the pool, and says how many times
// it freed a lease.
func (h *harness) pooledCall(invoke, result []byte) (freed int) {
	h.session.Data(h.now, router.Client, invoke)
	port, _ := h.session.Leg()
	h.session.Sent(h.now, port)
	h.session.Data(h.now, port, result)
	h.session.Sent(h.now, router.Client)
	if lease, o := h.session.Freed(); lease != nil {
		lease.Done(o)
		freed++
	}
	return freed
}

// TestPooledAllocations: in mode call there is the lease, and the breaker's
// closures for its verdict.
func TestPooledAllocations(t *testing.T) {
	const most = 2
	for _, d := range dialects {
		h := openPool(t, d)
		invoke, result := messages{d}.invoke(), messages{d}.result()
		calls, freed := 0, 0
		n := testing.AllocsPerRun(200, func() {
			calls++
			freed += h.pooledCall(invoke, result)
		})
		if n > most {
			t.Errorf("%s: a call allocates %v times, more than %d", d, n, most)
		}
		if h.session.State() != router.Idle || h.session.Actions() != nil || freed != calls {
			t.Errorf("%s: %s behind %d calls, %d leases freed", d, h.session.State(), calls, freed)
		}
	}
}

func BenchmarkCall(b *testing.B) {
	for _, d := range dialects {
		invoke, result := messages{d}.invoke(), messages{d}.result()
		b.Run(d.String()+"/session", func(b *testing.B) {
			h := open(b, d)
			b.ReportAllocs()
			for b.Loop() {
				h.session.Data(h.now, router.Client, invoke)
				h.session.Sent(h.now, h.leg)
				h.session.Data(h.now, h.leg, result)
				h.session.Sent(h.now, router.Client)
			}
		})
		b.Run(d.String()+"/call", func(b *testing.B) {
			h := openPool(b, d)
			b.ReportAllocs()
			for b.Loop() {
				h.pooledCall(invoke, result)
			}
		})
	}
}
