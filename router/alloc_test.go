package router_test

import (
	"testing"

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

func BenchmarkCall(b *testing.B) {
	for _, d := range dialects {
		b.Run(d.String(), func(b *testing.B) {
			h := open(b, d)
			invoke, result := messages{d}.invoke(), messages{d}.result()
			b.ReportAllocs()
			for b.Loop() {
				h.session.Data(h.now, router.Client, invoke)
				h.session.Sent(h.now, h.leg)
				h.session.Data(h.now, h.leg, result)
				h.session.Sent(h.now, router.Client)
			}
		})
	}
}
