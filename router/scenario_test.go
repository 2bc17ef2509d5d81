package router_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// scenario is a conversation: events, what the session asks for after each, in
// the words of the harness, and the state it is in then.
type scenario struct {
	name      string
	down      []int         // endpoints that cannot be connected, of two
	endpoints int           // in mode call; 1 where 0
	setup     func(*world)  // where the world is another
	deny      router.Reason // where the client is one too many
	call      bool          // in mode call
	alter     func(*backend.Config)
	first     []event // in mode call: what another client does before, if there is one
	steps     []step
	// What has been counted in the end.
	reason   router.Reason
	calls    string   // "outcome=calls", in alphabetical order
	failures []string // what the Observer heard
	err      error    // in the Summary
}

type step struct {
	event event
	asks  string
	state router.State
}

type event func(*harness)

func says(parts ...[]byte) event {
	return func(h *harness) { h.says(slices.Concat(parts...)) }
}

func answers(parts ...[]byte) event {
	return func(h *harness) { h.answers(slices.Concat(parts...)) }
}

// moves: n bytes of b's peer go on without being shown.
func moves(fromClient bool, b []byte) event {
	return func(h *harness) {
		p := router.Client
		if !fromClient {
			p = h.leg
		}
		h.lines[p].sent = append(h.lines[p].sent, b...)
		h.moves(p, int64(len(b)))
	}
}

func waits(d time.Duration) event { return func(h *harness) { h.waits(d) } }

func connects(h *harness)         { h.connects() }
func clientEOF(h *harness)        { h.hangsUp(router.Client) }
func clientReset(h *harness)      { h.resets(router.Client) }
func clientUnwritable(h *harness) { h.failsToWrite(router.Client) }
func legEOF(h *harness)           { h.hangsUp(h.leg) }
func legReset(h *harness)         { h.resets(h.leg) }
func legUnwritable(h *harness)    { h.failsToWrite(h.leg) }
func drains(h *harness)           { h.drains() }
func quiet(h *harness)            { h.settles() }
func aborts(h *harness)           { h.aborts() }

// opened puts the steps of an ordinary handshake in front.
func opened(m messages, steps ...step) []step {
	return append([]step{
		{says(m.connect()), "acquire leg 1", router.Acquiring},
		{connects, "to leg 1: CONNECT", router.Greeting},
		{answers(m.ok()), "to client: CONNECTOK", router.Idle},
	}, steps...)
}

// inPool puts an ordinary handshake in mode call in front, which a daemon answers.
// Its connection is idle then.
func inPool(m messages, steps ...step) []step {
	return append([]step{
		{says(m.connect()), "acquire leg 1", router.Acquiring},
		{connects, "free leg 1 as served; to client: CONNECTOK", router.Idle},
	}, steps...)
}

// runPool is run in mode call.
func runPool(t *testing.T, scenarios func(messages) []scenario) {
	run(t, func(m messages) []scenario {
		all := scenarios(m)
		for i := range all {
			all[i].call = true
		}
		return all
	})
}

// run plays the scenarios of both dialects.
func run(t *testing.T, scenarios func(messages) []scenario) {
	for _, d := range dialects {
		for _, s := range scenarios(messages{d}) {
			t.Run(fmt.Sprintf("%s/%s", d, s.name), func(t *testing.T) { s.run(t) })
		}
	}
}

func (s *scenario) run(t *testing.T) {
	w := newWorld(2)
	if s.call {
		w = newPool(max(1, s.endpoints), s.alter)
	}
	if s.setup != nil {
		s.setup(w)
	}
	for _, i := range s.down {
		w.dialer[endpoint(i).Addr] = syscall.ECONNREFUSED
	}
	var first *harness
	if s.first != nil {
		first = newHarness(t, w)
		for _, e := range s.first {
			e(first)
		}
	}
	h := newHarness(t, w)
	if s.deny != "" {
		h.session.Deny(s.deny, "one too many")
	}
	for i, step := range s.steps {
		step.event(h)
		asks, state := h.taken(), h.session.State()
		if asks != step.asks || state != step.state {
			t.Fatalf("step %d: %s\nasks  %q\nwants %q in state %s", i+1, state, asks, step.asks, step.state)
		}
	}
	if first != nil {
		first.end()
	}
	h.finish()

	sum := h.session.Summary()
	if sum.Reason != s.reason {
		t.Errorf("reason %s, want %s", sum.Reason, s.reason)
	}
	if s.err != nil && (sum.Err == nil || !strings.Contains(sum.Err.Error(), s.err.Error())) || s.err == nil && sum.Err != nil {
		t.Errorf("error %v, want %v", sum.Err, s.err)
	}
	if got := outcomes(w.counts(t, "calls_total", "outcome")); got != s.calls {
		t.Errorf("calls %q, want %q", got, s.calls)
	}
	rejected := map[string]float64{}
	if s.reason.Rejected() {
		rejected[string(s.reason)] = 1
	}
	if diff := cmp.Diff(rejected, w.counts(t, "rejected_total", "reason")); diff != "" {
		t.Errorf("rejected (-want +got):\n%s", diff)
	}
	var failures []string
	for _, f := range h.failed {
		failures = append(failures, f.Type.String()+" "+f.Outcome.String())
	}
	if diff := cmp.Diff(s.failures, failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

func outcomes(counts map[string]float64) string {
	var words []string
	for outcome, n := range counts {
		words = append(words, fmt.Sprintf("%s=%v", outcome, n))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// refused is what the client got, which ends in a CONNECTFAIL.
func refused(t *testing.T, b []byte) (h wire.Head, data string) {
	t.Helper()
	h, err := wire.ParseHead(b)
	if err != nil || h.Type != wire.ConnectFail || h.Len() != int64(len(b)) {
		t.Fatalf("not one CONNECTFAIL: %q (%v)", b, err)
	}
	return h, string(b[int64(len(b))-int64(h.DataLen):])
}
