package router_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// family is a call that has reached its endpoint, and a client that may be that
// endpoint's process.
type family struct {
	m             messages
	parent, child *harness
	id            [16]byte // the parent's, which we made
}

// nested makes a family whose route has the policy, with calls of callTime.
func nested(t *testing.T, d wire.Dialect, pooled bool, p router.Policy) family {
	w := newWorld(1)
	if pooled {
		w = newPool(1, nil)
	}
	w.route.Timeouts.Call = callTime
	w.route.Policy = p
	w.env.Graph = inflight.New(100)
	f := family{m: messages{d}}
	f.parent = opens(t, w, f.m)
	f.parent.says(f.m.invoke())
	if f.parent.session.State() == router.Acquiring {
		f.parent.connects()
	}
	f.child = opens(t, w, f.m)
	f.id, _ = lastRequest(t, f.parent).Correlation()
	if f.id == [16]byte{} {
		t.Fatal("the parent has no id")
	}
	return f
}

func opens(t *testing.T, w *world, m messages) *harness {
	h := newHarness(t, w)
	h.says(m.connect())
	if h.session.State() == router.Acquiring {
		h.connects()
	}
	if w.lines == nil {
		h.answers(m.ok())
	}
	return h
}

// calls sends a nested call.
func (f *family) calls() {
	f.says(f.m.message(wire.Invoke, 10).WithCorrelation(f.id))
}

func (f *family) says(m pyrotest.Message) {
	f.child.says(m.Bytes())
	if f.child.session.State() == router.Acquiring {
		f.child.connects()
	}
}

func (f *family) finish() {
	f.child.end()
	f.parent.end()
	f.parent.w.account(f.parent.t)
	if n := f.parent.w.env.Graph.Len(); n != 0 {
		f.parent.t.Errorf("%d calls are left in the graph", n)
	}
}

// lastRequest is the last that an endpoint was sent for h.
func lastRequest(t *testing.T, h *harness) (last pyrotest.Message) {
	t.Helper()
	r := bytes.NewReader(h.reaches(h.leg).got.bytes)
	for r.Len() > 0 {
		m, err := pyrotest.ReadMessage(r)
		if err != nil {
			t.Fatal(err)
		}
		last = m
	}
	return last
}

// toldLast is the last message that h's client got.
func toldLast(t *testing.T, h *harness) (last pyrotest.Message) {
	t.Helper()
	r := bytes.NewReader(h.lines[router.Client].got.bytes)
	for r.Len() > 0 {
		m, err := pyrotest.ReadMessage(r)
		if err != nil {
			t.Fatal(err)
		}
		last = m
	}
	return last
}

// inBothModes runs a test for both dialects and modes.
func inBothModes(t *testing.T, test func(t *testing.T, d wire.Dialect, pooled bool)) {
	for _, d := range dialects {
		for _, pooled := range []bool{false, true} {
			name := d.String() + "/session"
			if pooled {
				name = d.String() + "/call"
			}
			t.Run(name, func(t *testing.T) { test(t, d, pooled) })
		}
	}
}

// TestCircles: a call that comes back to the endpoint that waits for it.
func TestCircles(t *testing.T) {
	inBothModes(t, func(t *testing.T, d wire.Dialect, pooled bool) {
		for _, c := range []struct {
			name     string
			policy   router.Circular
			rejected bool
		}{
			{"reject", router.CircularReject, true},
			{"auto, and threads for all we know", router.CircularAuto, false},
			{"allow", router.CircularAllow, false},
		} {
			f := nested(t, d, pooled, router.Policy{Circular: c.policy})
			f.calls()
			at := endpoint(1).Addr
			want := router.FoundCircle{
				Circle:  inflight.Circle{Correlation: f.id, Names: []string{at, at}},
				Certain: true, Rejected: c.rejected,
			}
			if diff := cmp.Diff([]router.FoundCircle{want}, f.child.circles); diff != "" {
				t.Errorf("%s: found (-want +got):\n%s", c.name, diff)
			}
			if got := f.parent.w.env.Graph.Circles(); len(got) != 1 || got[0].Rejected != c.rejected {
				t.Errorf("%s: reported %+v", c.name, got)
			}
			if !c.rejected {
				f.child.answers(f.m.result())
			} else if m := toldLast(t, f.child); !m.Head.Has(wire.Exception) ||
				!strings.Contains(string(m.Data), "errors.PyroError") || !strings.Contains(string(m.Data), want.Circle.String()) {
				t.Errorf("%s: told %+v %q", c.name, m.Head, m.Data)
			}
			f.parent.answers(f.m.result())
			f.calls() // the parent is over: nothing waits
			if len(f.child.circles) != 1 {
				t.Errorf("%s: found %+v", c.name, f.child.circles)
			}
			f.child.answers(f.m.result())
			f.finish()
		}
	})
}

// TestBudget: a nested call has less time than is left of its parent, and fails
// first; where too little is left, it fails at once.
func TestBudget(t *testing.T) {
	policy := router.Policy{Margin: 200 * time.Millisecond, MinBudget: 100 * time.Millisecond}
	inBothModes(t, func(t *testing.T, d wire.Dialect, pooled bool) {
		f := nested(t, d, pooled, policy)
		f.parent.waits(time.Second)
		f.child.waits(time.Second)
		f.calls()
		f.child.waits(callTime - time.Second - policy.Margin - 1)
		if got := f.child.session.State(); got != router.Waiting {
			t.Fatalf("%s before its time", got)
		}
		f.child.waits(1)
		if m := toldLast(t, f.child); !strings.Contains(string(m.Data), "builtins.TimeoutError") {
			t.Errorf("told %+v %q", m.Head, m.Data)
		}
		f.parent.waits(callTime - time.Second - policy.Margin)
		if got := f.parent.session.State(); got != router.Waiting {
			t.Errorf("%s: the parent should still wait", got)
		}
		f.finish()

		f = nested(t, d, pooled, policy)
		late := callTime - policy.Margin - policy.MinBudget + 1
		f.parent.waits(late)
		f.child.waits(late)
		f.calls()
		if m := toldLast(t, f.child); !strings.Contains(string(m.Data), "builtins.TimeoutError") ||
			!strings.Contains(string(m.Data), "too little time left") {
			t.Errorf("told %+v %q", m.Head, m.Data)
		}
		if n := f.child.w.counts(t, "calls_total", "outcome")["no_budget"]; n != 1 {
			t.Errorf("%v calls without a budget", n)
		}
		f.finish()
	})
}

// TestDepth: a chain of calls may be only so long.
func TestDepth(t *testing.T) {
	inBothModes(t, func(t *testing.T, d wire.Dialect, pooled bool) {
		f := nested(t, d, pooled, router.Policy{MaxDepth: 1})
		f.calls()
		if m := toldLast(t, f.child); !strings.Contains(string(m.Data), "errors.PyroError") ||
			!strings.Contains(string(m.Data), "nested too deeply") {
			t.Errorf("told %+v %q", m.Head, m.Data)
		}
		f.finish()
	})
}

// TestExcused: a daemon that closes the connection of a call whose nested call has
// failed is not to blame.
func TestExcused(t *testing.T) {
	inBothModes(t, func(t *testing.T, d wire.Dialect, pooled bool) {
		for _, childFails := range []bool{false, true} {
			f := nested(t, d, pooled, router.Policy{})
			f.calls()
			if childFails {
				f.child.hangsUp(f.child.leg)
			} else {
				f.child.answers(f.m.result())
			}
			leg := f.parent.leg
			f.parent.hangsUp(leg)
			want := map[bool]backend.Outcome{false: backend.Broken, true: backend.Excused}[childFails]
			if got := f.parent.released[leg]; got != want {
				t.Errorf("child fails: %v: released as %v, want %v", childFails, got, want)
			}
			f.finish()
		}
	})
}

// TestAnnotation: the annotation of a call tells whose child another one is, also
// where its id is a program's own.
func TestAnnotation(t *testing.T) {
	inBothModes(t, func(t *testing.T, d wire.Dialect, pooled bool) {
		f := nested(t, d, pooled, router.Policy{Circular: router.CircularReject, Annotate: true})
		var chain []byte
		for _, c := range lastRequest(t, f.parent).Chunks {
			if c.ID == wire.ChunkCall {
				chain = c.Value
			}
		}
		if got, err := inflight.ParseChain(chain); err != nil || len(got) != 1 {
			t.Fatalf("annotated with %x: %v, %v", chain, got, err)
		}
		other := f.m.message(wire.Invoke, 10).WithCorrelation([16]byte{1, 2, 3})
		other.Chunks = append(other.Chunks, wire.Chunk{ID: wire.ChunkCall, Value: chain})
		f.says(other)
		if got := f.child.circles; len(got) != 1 || !got[0].Certain || !got[0].Rejected {
			t.Errorf("found %+v", got)
		}
		f.finish()
	})
}

// TestExhausted: a call that would wait for the connections that its own chain has.
func TestExhausted(t *testing.T) {
	for _, d := range dialects {
		for _, c := range []struct {
			policy   router.Circular
			rejected bool
		}{{router.CircularAuto, true}, {router.CircularReject, true}, {router.CircularAllow, false}} {
			w := newPool(1, func(c *backend.Config) { c.MaxConnections, c.Queue = 1, 10 })
			w.route.Policy.Circular = c.policy
			w.route.Timeouts.Call = callTime
			w.env.Graph = inflight.New(100)
			f := family{m: messages{d}}
			f.child = opens(t, w, f.m)
			f.parent = opens(t, w, f.m)
			f.parent.says(f.m.invoke())
			if f.parent.session.State() == router.Acquiring {
				f.parent.connects()
			}
			w.route.Policy.Preserve = false
			f.parent.answers(f.m.result())
			f.parent.says(f.m.invoke())
			f.id, _ = lastRequest(t, f.parent).Correlation()
			f.child.says(f.m.message(wire.Invoke, 10).WithCorrelation(f.id).Bytes())
			rejected := f.child.session.State() != router.Acquiring
			if rejected != c.rejected {
				t.Errorf("%s, %d: %s", d, c.policy, f.child.session.State())
			}
			if m := toldLast(t, f.child); rejected && !strings.Contains(string(m.Data), "circular call: ") {
				t.Errorf("told %q", m.Data)
			}
			f.parent.answers(f.m.result())
			if !rejected {
				f.child.connects()
				f.child.answers(f.m.result())
			}
			f.finish()
		}
	}
}
