package router_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestPoolFailures: requests for which there is no endpoint.
func TestPoolFailures(t *testing.T) {
	runPool(t, func(m messages) []scenario {
		var (
			invoke = m.invoke()
			result = m.result()
			big    = m.big()
			full   = lacks(backend.ErrQueueFull)
		)
		gone := step{poolDies, "", router.Idle}
		waits := func(b ...[]byte) step { return step{says(b...), "pause; acquire leg 2", router.Acquiring} }
		told := step{full, "resume; to client: RESULT", router.Idle}
		next := []step{
			{says(invoke), "pause; acquire leg 3", router.Acquiring},
			{connects, "resume; to leg 3: INVOKE", router.Waiting},
			{answers(result), "to client: RESULT; free leg 3 as served", router.Idle},
		}
		failed := []string{"INVOKE queue_full"}
		signed := m.signed(m.handshake()).Bytes()
		scenarios := []scenario{
			{name: "waited", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, gone, waits(invoke),
				step{connects, "resume; to leg 2: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 2 as served", router.Idle})},
			{name: "queue full", reason: router.ReasonAborted, calls: "ok=1 queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(invoke), told, next[0], next[1], next[2])},
			{name: "queue timeout", reason: router.ReasonAborted, calls: "queue_timeout=1", failures: []string{"INVOKE queue_timeout"},
				steps: inPool(m, gone, waits(invoke), step{lacks(backend.ErrQueueTimeout), "resume; to client: RESULT", router.Idle})},
			{name: "unreachable", down: []int{}, reason: router.ReasonAborted, calls: "no_endpoint=1", failures: []string{"INVOKE no_endpoint"},
				steps: inPool(m, gone, waits(invoke),
					step{lacks(&backend.UnreachableError{}), "resume; to client: RESULT", router.Idle})},
			{name: "refused", reason: router.ReasonAborted, calls: "handshake_refused=1", failures: []string{"INVOKE handshake_refused"},
				steps: inPool(m, gone, step{func(h *harness) { h.w.answers = rejects }, "", router.Idle}, waits(invoke),
					step{connects, "resume; to client: RESULT", router.Idle})},
			{name: "another request behind it", reason: router.ReasonAborted, calls: "ok=1 queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(invoke, invoke),
					step{full, "resume; to client: RESULT; pause; acquire leg 3", router.Acquiring}, next[1], next[2])},
			{name: "both fail", reason: router.ReasonAborted, calls: "queue_full=2", failures: []string{failed[0], failed[0]},
				steps: inPool(m, gone, waits(invoke, invoke),
					step{full, "resume; to client: RESULT; pause; acquire leg 3", router.Acquiring}, told)},
			{name: "large", reason: router.ReasonAborted, calls: "ok=1 queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(big[:100]),
					step{full, "resume; to client: RESULT", router.Sending},
					step{says(big[100:300]), "", router.Sending},
					step{says(big[300:]), "", router.Idle}, next[0], next[1], next[2])},
			{name: "large, another one behind it", reason: router.ReasonAborted, calls: "ok=1 queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(big[:100]),
					step{full, "resume; to client: RESULT", router.Sending},
					step{says(big[100:], invoke), "pause; acquire leg 3", router.Acquiring}, next[1], next[2])},
			{name: "large, half of another one behind it", reason: router.ReasonRequestTimeout, calls: "queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(big, invoke[:30]),
					step{full, "resume; to client: RESULT; need", router.Idle},
					step{func(h *harness) { h.waits(requestTime) }, "end client", router.Lingering})},
			{name: "large, EOF", reason: router.ReasonClientClosed, calls: "queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(big[:100]),
					step{full, "resume; to client: RESULT", router.Sending},
					step{clientEOF, "close", router.Closed})},
			{name: "large, drain", reason: router.ReasonDrained, calls: "queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(big[:100]),
					step{full, "resume; to client: RESULT", router.Sending},
					step{drains, "", router.Sending},
					step{says(big[100:]), "settle", router.Idle},
					step{quiet, "close", router.Closed})},
			{name: "oneway", reason: router.ReasonAborted, calls: "ok=1 queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(m.oneway(), invoke),
					step{full, "resume; pause; acquire leg 3", router.Acquiring}, next[1], next[2])},
			{name: "the client reads slowly", reason: router.ReasonAborted, calls: "ok=1 queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(invoke, invoke),
					step{slows, "", router.Acquiring},
					step{full, "resume; to client: RESULT; pause", router.Replying},
					step{reads, "resume; pause; acquire leg 3", router.Acquiring}, next[1], next[2])},
			{name: "the client cannot be written to", reason: router.ReasonClientReset, err: errPipe, calls: "queue_full=1", failures: failed,
				steps: inPool(m, gone, waits(invoke),
					step{clientUnwritable, "", router.Acquiring},
					step{full, "resume", router.Idle},
					step{func(h *harness) { h.waits(lingerTime) }, "close", router.Closed})},
			{name: "ping", reason: router.ReasonUnreachable, err: backend.ErrQueueFull, calls: "queue_full=1", failures: []string{"PING queue_full"},
				steps: inPool(m, gone, waits(m.ping(), invoke),
					step{full, "resume; end client", router.Lingering})},
		}
		if m.d == wire.V48 {
			scenarios = append(scenarios, scenario{name: "signed", reason: router.ReasonUnreachable, err: backend.ErrQueueFull,
				calls: "queue_full=1", failures: failed, steps: []step{
					{says(signed), "acquire leg 1", router.Acquiring},
					{connects, "free leg 1 as served; to client: CONNECTOK", router.Idle}, gone,
					waits(m.signed(m.message(wire.Invoke, 10)).Bytes()),
					{full, "resume; end client", router.Lingering}}})
		}
		return scenarios
	})
}

// TestPoolException: what a client is told whose call could not be sent.
func TestPoolException(t *testing.T) {
	id := [16]byte{7, 8, 9}
	for _, d := range dialects {
		for _, s := range []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Msgpack} {
			if d.SerializerID(s) == 0 {
				continue
			}
			for _, nested := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", d, s, nested), func(t *testing.T) {
					w := newPool(1, nil)
					h := newHarness(t, w)
					h.says(messages{d}.connect())
					h.connects()
					poolDies(h)
					request := messages{d}.message(wire.Invoke, 10)
					request.Head.Seq, request.Head.SerializerID = 4711, d.SerializerID(s)
					class, other := "CommunicationError", "PyroError"
					if nested {
						request = request.WithCorrelation(id)
						class, other = other, class
					}
					h.says(request.Bytes())
					before := len(h.lines[router.Client].got.bytes)
					h.lacks(h.wanted.Port, &backend.UnreachableError{Failures: []error{errReset}})

					m, err := pyrotest.ReadMessage(strings.NewReader(string(h.lines[router.Client].got.bytes[before:])))
					if err != nil {
						t.Fatal(err)
					}
					want := request.Head
					want.Type, want.Flags = wire.Result, d.Bit(wire.Exception)|request.Head.Flags&d.Bit(wire.HasCorrelation)
					want.AnnotationsLen, want.DataLen = m.Head.AnnotationsLen, m.Head.DataLen
					if diff := cmp.Diff(want, m.Head); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
					if got, ok := m.Correlation(); ok != nested || nested && got != id {
						t.Errorf("correlation id %x, %v", got, ok)
					}
					data := string(m.Data)
					const text = "pyro-dispatch: no endpoint reachable (route route, cluster cluster"
					if !strings.Contains(data, class) || strings.Contains(data, other) || !strings.Contains(data, text) {
						t.Errorf("raises %q", data)
					}
					want2 := []router.FailedCall{{
						Type: wire.Invoke, Outcome: metrics.NoEndpoint, HasCorrelation: nested,
						Err: &backend.UnreachableError{Failures: []error{errReset}},
					}}
					if nested {
						want2[0].Correlation = id
					}
					if diff := cmp.Diff(fmt.Sprint(want2), fmt.Sprint(h.failed)); diff != "" {
						t.Errorf("the log (-want +got):\n%s", diff)
					}
					h.finish()
				})
			}
		}
	}
}

// TestUnsentText: the client is told why, and after how long, and no address.
func TestUnsentText(t *testing.T) {
	where := " (route route, cluster cluster, after 1.5s)"
	for _, test := range []struct {
		err  error
		want string
	}{
		{backend.ErrQueueFull, "pyro-dispatch: queue full"},
		{fmt.Errorf("wrapped: %w", backend.ErrQueueTimeout), "pyro-dispatch: no endpoint had room in time"},
		{&backend.UnreachableError{Failures: []error{errReset}}, "pyro-dispatch: no endpoint reachable"},
		{&backend.RefusedError{Endpoint: &backend.Endpoint{Address: endpoint(1)}}, "pyro-dispatch: the daemon no longer accepts the handshake"},
	} {
		w := newPool(1, nil)
		h := newHarness(t, w)
		h.says(messages{wire.V502}.connect())
		h.connects()
		poolDies(h)
		h.says(messages{wire.V502}.invoke())
		h.waits(1500 * time.Millisecond)
		h.lacks(h.wanted.Port, test.err)
		if got := string(h.lines[router.Client].got.bytes); !strings.Contains(got, test.want+where) {
			t.Errorf("%v: told %q", test.err, got)
		}
		if got := h.session.Summary().Endpoint; got != "" {
			t.Errorf("the log would say it had been %s", got)
		}
		h.finish()
	}
}

// TestPoolInFlight: the gauge follows every call, those that are sent again too.
func TestPoolInFlight(t *testing.T) {
	m := messages{wire.V502}
	w := newPool(1, func(c *backend.Config) { c.RetryBudget = 20 })
	w.route.Idempotent = true
	h := newHarness(t, w)
	h.says(m.connect())
	h.connects()
	for i, step := range []struct {
		event event
		want  float64
	}{
		{says(m.oneway()), 0},
		{says(m.invoke()), 1},
		{answers(m.ownPong(), m.result()), 0},
		{deafens, 0},
		{says(m.invoke()), 1},
		{unwrites, 0},
		{connects, 1},
		{ships, 1},
		{legEOF, 1},
		{lacks(backend.ErrQueueFull), 0},
	} {
		step.event(h)
		if got := w.counts(t, "calls_in_flight", "route")["route"]; got != step.want {
			t.Errorf("step %d: %v calls in flight, want %v (%s)", i+1, got, step.want, h.taken())
		}
	}
	h.finish()
}
