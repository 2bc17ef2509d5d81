package router_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestNotKnownYet: while it is not known who listens, a call is not taken for one that
// there is nobody for, but fails as one does that finds no endpoint; its client stays.
func TestNotKnownYet(t *testing.T) {
	tests := []struct {
		name   string
		change func(m *pyrotest.Message, d wire.Dialect)
		class  string // "": the client is told nothing
	}{
		{"a client's", func(*pyrotest.Message, wire.Dialect) {}, "errors.CommunicationError"},
		{"a nested one", func(m *pyrotest.Message, _ wire.Dialect) { *m = m.WithCorrelation(testID) }, "errors.PyroError"},
		{"oneway", func(m *pyrotest.Message, d wire.Dialect) { m.Head.Flags |= d.Bit(wire.Oneway) }, ""},
	}
	for _, d := range dialects {
		for _, tt := range tests {
			for _, to := range []router.Deliver{{}, {To: router.ToAll}, {To: router.ToAll, Quorum: 2}, {To: router.ToAll, Quorum: -1}, {To: router.ToFirst}} {
				t.Run(fmt.Sprint(d, " ", tt.name, " ", to.To, " ", to.Quorum), func(t *testing.T) {
					w := &world{set: metrics.New(metrics.Build{})}
					x := newDispatch(t, d, []backend.Member{at(1, "")}, func(r *router.Route) {
						r.Calls = w.set.Calls("blobs", "topics")
						to.Unheard, to.Listeners = true, nobodyListens(false)
						r.Deliver, r.Policy.Preserve = to, false
					})
					var failed failures
					x.session = router.New(x.env, netip.MustParseAddr("198.51.100.7"), &failed, start)
					x.session.Data(start, router.Client, x.connect())
					x.told()
					m := x.blob(about("x"))
					tt.change(&m, d)
					b := m.Bytes()
					if taken := x.session.Data(start, router.Client, b); taken.Delivery != nil || taken.Consumed != len(b) {
						t.Errorf("taken %+v", taken)
					}
					told := x.told()
					switch {
					case tt.class == "" && told.Head.Type != 0:
						t.Errorf("told %+v %q", told.Head, told.Data)
					case tt.class != "" && !(told.Head.Has(wire.Exception) && bytes.Contains(told.Data, []byte(tt.class)) &&
						bytes.Contains(told.Data, []byte("pyro-dispatch: who listens is not known yet (route blobs"))):
						t.Errorf("told %+v %q", told.Head, told.Data)
					}
					if got, want := w.counts(t, "calls_total", "outcome"), map[string]float64{"no_endpoint": 1}; !cmp.Equal(got, want) {
						t.Errorf("counted %v, want %v", got, want)
					}
					if got := w.counts(t, "dispatched_unheard_total", "route"); len(got) != 0 {
						t.Errorf("counted as unheard: %v", got)
					}
					if len(failed) != 1 || failed[0].Outcome != metrics.NoEndpoint || !failed[0].HasCorrelation {
						t.Errorf("noted for the log: %+v", failed)
					}
					if x.session.State() != router.Idle {
						t.Errorf("%s afterwards", x.session.State())
					}
				})
			}
		}
	}
}

// failures are the calls that a session says have failed.
type failures []router.FailedCall

func (f *failures) CallFailed(c router.FailedCall) { *f = append(*f, c) }
func (f *failures) StreamTimedOut(string)          {}
func (f *failures) Circle(router.FoundCircle)      {}
