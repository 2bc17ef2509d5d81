package router_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// forestall makes a parent whose call has the only connection that its endpoint may
// have, and a client of that call's method that has said nothing yet.
func forestall(t *testing.T, d wire.Dialect, pooled bool) family {
	full := func(c *backend.Config) { c.MaxConnections, c.Queue = 1, 10 }
	w := newWorld(1)
	if pooled {
		w = newPool(1, full)
	} else {
		w.alter = full
		w = w.again()
	}
	w.route.Policy.Preserve = false
	w.route.Timeouts.Call = callTime
	w.env.Graph = inflight.New(100)
	f := family{m: messages{d}}
	f.parent = opens(t, w, f.m)
	f.parent.says(f.m.invoke())
	if f.parent.session.State() == router.Acquiring {
		f.parent.connects()
	}
	f.child = newHarness(t, w)
	f.id, _ = lastRequest(t, f.parent).Correlation()
	return f
}

// TestForestalled: a client whose CONNECT would wait for the call that it is made for
// is answered as the daemon answered an equal one, and its call with the circle.
func TestForestalled(t *testing.T) {
	inBothModes(t, func(t *testing.T, d wire.Dialect, pooled bool) {
		f := forestall(t, d, pooled)
		f.child.says(handshakeOf(f, false).Bytes())
		if m := toldLast(t, f.child); m.Head.Type != wire.ConnectOK {
			t.Fatalf("told %+v %q", m.Head, m.Data)
		}
		f.child.says(f.m.message(wire.Invoke, 10).WithCorrelation(f.id).Bytes())
		at := endpoint(1).Addr
		if m := toldLast(t, f.child); !m.Head.Has(wire.Exception) || !strings.Contains(string(m.Data), "errors.PyroError") ||
			!strings.Contains(string(m.Data), "circular call: "+at+" → "+at) {
			t.Errorf("told %+v %q", m.Head, m.Data)
		}
		if got := f.child.circles; len(got) != 1 || !got[0].Rejected {
			t.Errorf("found %+v", got)
		}
		f.parent.answers(f.m.result())
		f.finish()
	})
}

// TestForestalledAgain: such a client is not lost. In mode session it is connected for
// the first call that can be served, as if it had been from the beginning.
func TestForestalledAgain(t *testing.T) {
	ends := map[string]struct {
		end  func(f *family)
		told string // "": the call is answered
	}{
		"served": {end: func(f *family) {
			f.child.connects()
			f.child.answers(f.m.ok())
			f.child.answers(f.m.result())
		}},
		"unreachable": {end: func(f *family) { f.child.lacks(f.child.leg, backend.ErrUnreachable) }, told: "no endpoint reachable"},
		"refused": {end: func(f *family) {
			f.child.connects()
			f.child.answers(f.m.fail())
		}, told: "no longer accepts"},
		"gone": {end: func(f *family) {
			f.child.connects()
			f.child.answers(f.m.ok()[:45])
			f.child.hangsUp(f.child.leg)
		}, told: "no endpoint reachable"},
		"too late to connect": {end: func(f *family) { f.child.waits(callTime) }, told: "no reply in time"},
		"too late to greet": {end: func(f *family) {
			f.child.connects()
			f.child.waits(callTime)
		}, told: "no reply in time"},
	}
	for _, d := range dialects {
		for name, tt := range ends {
			t.Run(d.String()+"/"+name, func(t *testing.T) {
				f := forestall(t, d, false)
				call := f.m.message(wire.Invoke, 10).WithCorrelation(f.id).Bytes()
				f.child.says(handshakeOf(f, false).Bytes())
				for range 2 { // a call and its repetition
					f.child.says(call)
					if m := toldLast(t, f.child); !strings.Contains(string(m.Data), "circular call: ") {
						t.Fatalf("told %+v %q", m.Head, m.Data)
					}
				}
				if got := len(f.child.circles); got != 2 {
					t.Errorf("found %d circles", got)
				}
				f.parent.answers(f.m.result())
				f.parent.hangsUp(router.Client) // which leaves its connection to the child
				before := f.child.lines[router.Client].got.n
				f.child.says(call)
				tt.end(&f)
				after := f.child.lines[router.Client].got.n
				m := toldLast(t, f.child)
				if after != before+1 || m.Head.Type != wire.Result || m.Head.Has(wire.Exception) != (tt.told != "") ||
					!strings.Contains(string(m.Data), tt.told) {
					t.Errorf("told %d messages, the last %+v %q", after-before, m.Head, m.Data)
				}
				if f.child.closed || f.child.session.State() != router.Idle {
					t.Errorf("the client's session is %s", f.child.session.State())
				}
				f.finish()
			})
		}
	}
}

// TestForestalledUnknown: where no daemon has answered an equal CONNECT, it is refused.
func TestForestalledUnknown(t *testing.T) {
	inBothModes(t, func(t *testing.T, d wire.Dialect, pooled bool) {
		f := forestall(t, d, pooled)
		f.child.says(handshakeOf(f, true).Bytes())
		m := toldLast(t, f.child)
		if m.Head.Type != wire.ConnectFail || !strings.Contains(string(m.Data), "circular call: ") {
			t.Errorf("told %+v %q", m.Head, m.Data)
		}
		if got := f.child.session.Summary().Reason; got != router.ReasonCircular {
			t.Errorf("ended by %s", got)
		}
		f.parent.answers(f.m.result())
		f.finish()
	})
}

// handshakeOf is the family's CONNECT with the parent's id, or another one.
func handshakeOf(f family, other bool) pyrotest.Message {
	m := f.m.handshake()
	if other {
		m.Chunks = append(m.Chunks, wire.Chunk{ID: [4]byte{'U', 'S', 'E', 'R'}, Value: []byte("x")})
	}
	return m.WithCorrelation(f.id)
}

// TestExcusedConnect: an endpoint whose method waits for a CONNECT to be answered is not to
// blame for its call's time.
func TestExcusedConnect(t *testing.T) {
	for _, d := range dialects {
		for _, connecting := range []bool{false, true} {
			f := nested(t, d, false, router.Policy{Margin: 200 * time.Millisecond})
			child := newHarness(t, f.parent.w)
			if connecting {
				child.says(handshakeOf(f, false).Bytes())
				child.connects()
				child.waits(callTime - 200*time.Millisecond)
			}
			leg := f.parent.leg
			f.parent.waits(callTime)
			want := map[bool]backend.Outcome{false: backend.TimedOut, true: backend.Abandoned}[connecting]
			if got := f.parent.released[leg]; got != want {
				t.Errorf("%s, connecting: %v: released as %v, want %v", d, connecting, got, want)
			}
			child.end()
			f.finish()
		}
	}
}
