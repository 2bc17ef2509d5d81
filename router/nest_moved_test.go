package router_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestBudgetOfSlowRequest: the time that calls have which are nested in one begins when
// that is complete, as its own does.
func TestBudgetOfSlowRequest(t *testing.T) {
	policy := router.Policy{Margin: 200 * time.Millisecond, MinBudget: 100 * time.Millisecond}
	for _, annotate := range []bool{false, true} {
		policy.Annotate = annotate
		inBothModes(t, func(t *testing.T, d wire.Dialect, pooled bool) {
			f := nested(t, d, pooled, policy)
			f.parent.answers(f.m.result())
			big := f.m.big()
			f.parent.says(big[:1000])
			if f.parent.session.State() == router.Acquiring {
				f.parent.connects()
			}
			f.parent.waits(2 * callTime)
			f.child.waits(2 * callTime)
			f.parent.says(big[1000:])
			request := lastRequest(t, f.parent)
			f.id, _ = request.Correlation()
			call := f.m.message(wire.Invoke, 10).WithCorrelation(f.id)
			for _, c := range request.Chunks {
				if c.ID == wire.ChunkCall {
					call.Chunks = append(call.Chunks, c)
				}
			}
			f.says(call)
			f.child.waits(callTime - policy.Margin - 1)
			if got := f.child.session.State(); got != router.Waiting {
				t.Fatalf("%s before its time, told %q", got, toldLast(t, f.child).Data)
			}
			f.child.waits(1)
			if m := toldLast(t, f.child); !strings.Contains(string(m.Data), "no reply in time") {
				t.Errorf("told %+v %q", m.Head, m.Data)
			}
			f.parent.waits(callTime - policy.Margin)
			f.finish()
		})
	}
}

// TestCircleOfResent: a call that was sent again is where it was sent last.
func TestCircleOfResent(t *testing.T) {
	for _, d := range dialects {
		for _, annotate := range []bool{false, true} {
			w := newPool(2, func(c *backend.Config) {
				budget(20)(c)
				c.Balance = backend.Hash
			})
			idempotent(w)
			w.route.Policy = router.Policy{Circular: router.CircularReject, Annotate: annotate}
			w.env.Graph = inflight.New(100)
			f := family{m: messages{d}}
			f.parent = opens(t, w, f.m)
			f.parent.says(f.m.invoke())
			if f.parent.session.State() == router.Acquiring {
				f.parent.connects()
			}
			first := f.parent.session.Summary().Endpoint
			f.parent.hangsUp(f.parent.leg)
			f.parent.connects()
			second := f.parent.session.Summary().Endpoint
			if first == second {
				t.Fatal("it was not sent elsewhere")
			}
			request := lastRequest(t, f.parent)
			f.id, _ = request.Correlation()
			call := f.m.message(wire.Invoke, 10).WithCorrelation(f.id)
			for _, c := range request.Chunks {
				if c.ID == wire.ChunkCall {
					call.Chunks = append(call.Chunks, c)
				}
			}
			f.child = opens(t, w, f.m)
			f.says(call)
			at := f.child.session.Summary().Endpoint
			if got := len(f.child.circles) > 0; got != (at == second) {
				t.Errorf("%s, annotated: %v: sent to %s, again to %s; a call to %s is a circle: %v", d, annotate, first, second, at, got)
			}
			if len(f.child.circles) == 0 {
				f.child.answers(f.m.result())
			}
			f.parent.answers(f.m.result())
			f.finish()
		}
	}
}

// TestResentIntoCircle: a call is not sent again to an endpoint that waits for it.
func TestResentIntoCircle(t *testing.T) {
	for _, d := range dialects {
		for _, policy := range []router.Circular{router.CircularReject, router.CircularAllow} {
			w := newPool(2, budget(20))
			idempotent(w)
			w.route.Policy = router.Policy{Circular: policy}
			w.env.Graph = inflight.New(100)
			f := family{m: messages{d}}
			f.parent = opens(t, w, f.m)
			f.parent.says(f.m.invoke())
			if f.parent.session.State() == router.Acquiring {
				f.parent.connects()
				f.parent.answers(f.m.result())
				f.parent.says(f.m.invoke())
			}
			if f.id, _ = lastRequest(t, f.parent).Correlation(); f.id == [16]byte{} {
				t.Fatal("the parent has no id")
			}
			f.child = opens(t, w, f.m)
			f.calls()
			at := f.parent.session.Summary().Endpoint
			if f.child.session.Summary().Endpoint == at || len(f.child.circles) > 0 {
				t.Fatalf("both went to %s: %+v", at, f.child.circles)
			}
			was := f.child.session.Summary().Endpoint
			w.dialer[was] = errReset // so there is no other than the parent's
			poolDies(f.child)
			f.child.waits(time.Second)
			f.child.hangsUp(f.child.leg)
			f.child.connects()
			clear(w.dialer)
			if got := f.child.circles; len(got) != 1 || !got[0].Certain || got[0].Rejected != (policy == router.CircularReject) {
				t.Errorf("%s, the parent at %s, sent again from %s to %s, found %+v", d, at, was, f.child.session.Summary().Endpoint, got)
			}
			if policy == router.CircularAllow {
				f.child.answers(f.m.result())
			} else if m := toldLast(t, f.child); !m.Head.Has(wire.Exception) || !strings.Contains(string(m.Data), "errors.PyroError") ||
				!strings.Contains(string(m.Data), "circular call: "+at+" → "+at) {
				t.Errorf("told %+v %q", m.Head, m.Data)
			}
			if got := f.child.session.State(); got != router.Idle {
				t.Errorf("the client's session is %s", got)
			}
			f.parent.answers(f.m.result())
			f.calls() // it goes on
			f.child.answers(f.m.result())
			f.finish()
		}
	}
}
