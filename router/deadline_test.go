package router_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

const (
	callTime  = 5 * time.Second
	ghostTime = time.Minute // where a scenario has one
)

// within gives calls their time, and says what they are raised as.
func within(class router.TimeoutError, more ...func(*router.Route)) func(*world) {
	return func(w *world) {
		w.route.Timeouts.Call = callTime
		w.route.Policy.TimeoutError = class
		for _, f := range more {
			f(w.route)
		}
	}
}

func unwritten(err error) event {
	return func(h *harness) {
		h.session.WriteFailed(h.now, router.Client, err)
		h.perform()
	}
}

// TestTimeouts: calls in mode session that take too long.
func TestTimeouts(t *testing.T) {
	pyro, builtin := within(router.PyroTimeout), within(router.BuiltinTimeout)
	timedOut := []string{"INVOKE timeout"}
	run(t, func(m messages) []scenario {
		invoke, result, big := m.invoke(), m.result(), m.big()
		oversize := m.message(wire.Invoke, 4097).Bytes()
		id := [16]byte{7, 8, 9}
		nested := m.message(wire.Invoke, 10).WithCorrelation(id).Bytes()
		signed := m.signed(m.message(wire.Invoke, 10)).Bytes()
		call := step{says(invoke), "to leg 1: INVOKE", router.Waiting}
		reply := step{answers(result), "to client: RESULT", router.Idle}
		late := step{waits(callTime), "to client: RESULT", router.Idle}
		all := []scenario{
			{name: "in time", setup: pyro, reason: router.ReasonAborted, calls: "ok=2", steps: opened(m, call,
				step{waits(callTime - 1), "", router.Waiting}, reply, step{waits(time.Hour), "", router.Idle}, call, reply)},
			{name: "pyro", setup: pyro, reason: router.ReasonCallTimeout, err: router.ErrTimeout, calls: "timeout=1", failures: timedOut, steps: opened(m, call,
				step{waits(callTime), "to client: RESULT; end client; release leg 1 as timed out", router.Lingering})},
			{name: "builtin", setup: builtin, reason: router.ReasonAborted, calls: "ok=1 timeout=1", failures: timedOut, steps: opened(m, call, late,
				step{answers(result), "", router.Idle}, call, reply)},
			{name: "builtin, and the late reply never comes", setup: builtin, reason: router.ReasonClientClosed, calls: "timeout=1", failures: timedOut,
				steps: opened(m, call, late, step{clientEOF, "release leg 1 as abandoned; close", router.Closed})},
			{name: "builtin, the next waits for the late reply", setup: builtin, reason: router.ReasonAborted, calls: "ok=1 timeout=1", failures: timedOut,
				steps: opened(m, call, late, step{says(invoke), "pause", router.Waiting}, step{waits(callTime / 2), "", router.Waiting},
					step{answers(result), "resume; to leg 1: INVOKE", router.Waiting}, reply)},
			{name: "builtin, the wait for the late reply counts", setup: builtin, reason: router.ReasonAborted, calls: "timeout=2", failures: []string{timedOut[0], timedOut[0]},
				steps: opened(m, call, late, step{says(invoke), "pause", router.Waiting}, step{waits(callTime - 1), "", router.Waiting},
					step{answers(result), "resume; to leg 1: INVOKE", router.Waiting}, step{waits(1), "to client: RESULT", router.Idle})},
			{name: "builtin, the next waits in vain", setup: builtin, reason: router.ReasonAborted, calls: "ok=1 timeout=2", failures: []string{timedOut[0], timedOut[0]},
				steps: opened(m, call, late, step{says(invoke), "pause", router.Waiting},
					step{waits(callTime), "resume; to client: RESULT", router.Idle},
					step{answers(result), "", router.Idle}, call, reply)},
			{name: "builtin, the next waits for longer than the daemon is waited for", setup: func(w *world) {
				w.alter = func(c *backend.Config) { c.GhostTimeout = ghostTime }
				*w = *w.again()
				builtin(w)
				w.route.Timeouts.Call = 2 * ghostTime
			}, reason: router.ReasonCallTimeout, calls: "timeout=2", failures: []string{timedOut[0], timedOut[0]},
				steps: opened(m, call, step{waits(2 * ghostTime), "to client: RESULT", router.Idle}, step{says(invoke), "pause", router.Waiting},
					step{waits(ghostTime), "to client: RESULT; end client; release leg 1 as abandoned; resume", router.Lingering})},
			{name: "builtin, a oneway call does not wait", setup: builtin, reason: router.ReasonAborted, calls: "oneway=1 timeout=1", failures: timedOut,
				steps: opened(m, call, late, step{says(m.oneway()), "to leg 1: INVOKE", router.Idle})},
			{name: "builtin, a large late reply", setup: builtin, reason: router.ReasonAborted, calls: "ok=1 timeout=1", failures: timedOut,
				steps: opened(m, call, late, step{answers(m.message(wire.Result, 3000).Bytes()[:500]), "", router.Idle},
					step{answers(m.message(wire.Result, 3000).Bytes()[500:]), "", router.Idle}, call, reply)},
			{name: "builtin, drained with a late reply to come", setup: builtin, reason: router.ReasonDrained, calls: "timeout=1", failures: timedOut,
				steps: opened(m, call, late, step{drains, "settle", router.Idle}, step{quiet, "release leg 1 as abandoned; close", router.Closed})},
			{name: "builtin, the daemon goes instead", setup: builtin, reason: router.ReasonBackendClosed, calls: "timeout=1", failures: timedOut,
				steps: opened(m, call, late, step{legEOF, "release leg 1 as abandoned; end client", router.Lingering})},
			{name: "nested is builtin", setup: pyro, reason: router.ReasonAborted, calls: "timeout=1", failures: timedOut,
				steps: opened(m, step{says(nested), "to leg 1: INVOKE", router.Waiting}, late)},
			{name: "of two calls the first", setup: builtin, reason: router.ReasonAborted, calls: "ok=1 timeout=1", failures: timedOut, steps: opened(m, call,
				step{waits(time.Second), "", router.Waiting}, call,
				step{waits(callTime - time.Second), "to client: RESULT", router.Waiting},
				step{answers(result), "", router.Waiting}, reply)},
			{name: "of two calls both", setup: builtin, reason: router.ReasonAborted, calls: "timeout=2", failures: []string{timedOut[0], timedOut[0]}, steps: opened(m, call,
				step{waits(time.Second), "", router.Waiting}, call,
				step{waits(callTime - time.Second), "to client: RESULT", router.Waiting},
				step{waits(time.Second), "to client: RESULT", router.Idle},
				step{answers(result, result), "", router.Idle})},
			{name: "with a part of the reply there", setup: builtin, reason: router.ReasonCallTimeout, err: router.ErrTimeout, calls: "timeout=1", failures: timedOut,
				steps: opened(m, call, step{answers(result[:50]), "to client: part of RESULT", router.Replying},
					step{waits(callTime), "release leg 1 as timed out; close", router.Closed})},
			{name: "a request in pieces has its time from the last", setup: builtin, reason: router.ReasonAborted, calls: "timeout=1", failures: timedOut,
				steps: opened(m, step{says(big[:1000]), "to leg 1: part of INVOKE", router.Sending}, step{waits(time.Hour), "", router.Sending},
					step{says(big[1000:]), "to leg 1: rest of INVOKE", router.Waiting}, step{waits(callTime - 1), "", router.Waiting},
					step{waits(1), "to client: RESULT", router.Idle})},
			{name: "oneway has no time", setup: pyro, reason: router.ReasonAborted, calls: "oneway=1", steps: opened(m,
				step{says(m.oneway()), "to leg 1: INVOKE", router.Idle}, step{waits(time.Hour), "", router.Idle})},
			{name: "ping", setup: builtin, reason: router.ReasonCallTimeout, err: router.ErrTimeout, calls: "timeout=1", failures: []string{"PING timeout"}, steps: opened(m,
				step{says(m.ping()), "to leg 1: PING", router.Waiting},
				step{waits(callTime), "release leg 1 as timed out; end client", router.Lingering})},
			{name: "idle client", setup: func(w *world) { w.route.Timeouts.Idle = time.Minute }, reason: router.ReasonIdleTimeout, calls: "ok=1", steps: opened(m,
				step{waits(time.Minute - 1), "", router.Idle}, call, step{waits(time.Hour), "", router.Waiting}, reply,
				step{waits(time.Minute - 1), "", router.Idle}, step{waits(1), "release leg 1 as served; end client", router.Lingering})},
			{name: "idle client that has begun to say something", setup: func(w *world) { w.route.Timeouts.Idle = time.Minute }, reason: router.ReasonAborted, calls: "ok=1", steps: opened(m,
				step{waits(time.Minute - 1), "", router.Idle}, step{says(invoke[:30]), "need", router.Idle},
				step{waits(time.Second), "", router.Idle}, step{says(invoke[30:]), "to leg 1: INVOKE", router.Waiting}, reply)},
			{name: "client takes nothing", setup: pyro, reason: router.ReasonSendTimeout, err: router.ErrSendTimeout, calls: "ok=1", steps: opened(m, call,
				step{func(h *harness) { h.slows() }, "", router.Waiting}, step{answers(result), "to client: RESULT", router.Replying},
				step{unwritten(os.ErrDeadlineExceeded), "release leg 1 as served; close", router.Closed})},
			{name: "too large", reason: router.ReasonAborted, calls: "ok=1 too_large=1", failures: []string{"INVOKE too_large"}, steps: opened(m,
				step{says(oversize[:100]), "to client: RESULT", router.Sending},
				step{says(oversize[100:], invoke), "to leg 1: INVOKE", router.Waiting}, reply)},
		}
		if m.d == wire.V48 {
			all = append(all, scenario{name: "signed", setup: builtin, reason: router.ReasonCallTimeout, err: router.ErrTimeout, calls: "timeout=1", failures: timedOut,
				steps: opened(m, step{says(signed), "to leg 1: INVOKE", router.Waiting},
					step{waits(callTime), "release leg 1 as timed out; end client", router.Lingering})})
		}
		return all
	})
}

// TestPoolTimeouts: the same in mode call.
func TestPoolTimeouts(t *testing.T) {
	pyro, builtin := within(router.PyroTimeout), within(router.BuiltinTimeout)
	again := within(router.BuiltinTimeout, func(r *router.Route) { r.Idempotent = true })
	timedOut := []string{"INVOKE timeout"}
	runPool(t, func(m messages) []scenario {
		invoke, result, big := m.invoke(), m.result(), m.big()
		oversize := m.message(wire.Invoke, 4097).Bytes()
		call := step{says(invoke), "to leg 2: INVOKE", router.Waiting}
		late := step{waits(callTime), "free leg 2 as timed out; to client: RESULT", router.Idle}
		gone := step{poolDies, "", router.Idle}
		asks := step{says(invoke), "pause; acquire leg 2", router.Acquiring}
		return []scenario{
			{name: "pyro", setup: pyro, reason: router.ReasonAborted, calls: "timeout=1", failures: timedOut, steps: inPool(m, call, late)},
			{name: "builtin, and the next", setup: builtin, reason: router.ReasonAborted, calls: "ok=1 timeout=1", failures: timedOut, steps: inPool(m, call, late,
				step{says(invoke), "pause; acquire leg 3", router.Acquiring}, step{connects, "resume; to leg 3: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle})},
			{name: "while it waits for an endpoint", setup: builtin, reason: router.ReasonAborted, calls: "timeout=1", failures: timedOut, steps: inPool(m, gone, asks,
				step{waits(callTime - 1), "", router.Acquiring}, step{waits(1), "cancel leg 2; resume; to client: RESULT", router.Idle})},
			{name: "while it waits for an endpoint, and the next", setup: builtin, reason: router.ReasonAborted, calls: "ok=1 timeout=1", failures: timedOut, steps: inPool(m, gone, asks,
				step{waits(callTime), "cancel leg 2; resume; to client: RESULT", router.Idle},
				step{says(invoke), "pause; acquire leg 3", router.Acquiring}, step{connects, "resume; to leg 3: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle})},
			{name: "the wait counts", setup: builtin, reason: router.ReasonAborted, calls: "timeout=1", failures: timedOut, steps: inPool(m, gone, asks,
				step{waits(callTime - 1), "", router.Acquiring}, step{connects, "resume; to leg 2: INVOKE", router.Waiting},
				step{waits(1), "free leg 2 as timed out; to client: RESULT", router.Idle})},
			{name: "answered in time after a wait", setup: builtin, reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, gone, asks,
				step{waits(callTime - 2), "", router.Acquiring}, step{connects, "resume; to leg 2: INVOKE", router.Waiting},
				step{waits(1), "", router.Waiting}, step{answers(result), "to client: RESULT; free leg 2 as served", router.Idle})},
			{name: "of a request in pieces the wait does not count", setup: builtin, reason: router.ReasonAborted, calls: "timeout=1", failures: timedOut, steps: inPool(m, gone,
				step{says(big[:1000]), "pause; acquire leg 2", router.Acquiring},
				step{waits(callTime - 1), "", router.Acquiring}, step{connects, "resume; to leg 2: part of INVOKE", router.Sending},
				step{waits(1), "", router.Sending}, step{says(big[1000:]), "to leg 2: rest of INVOKE", router.Waiting}, late)},
			{name: "with a part of the reply there", setup: builtin, reason: router.ReasonCallTimeout, err: router.ErrTimeout, calls: "timeout=1", failures: timedOut,
				steps: inPool(m, call, step{answers(result[:50]), "to client: part of RESULT", router.Replying},
					step{waits(callTime), "free leg 2 as abandoned; close", router.Closed})},
			{name: "idempotent calls are not sent again after their time", setup: again, reason: router.ReasonAborted, calls: "timeout=1", failures: timedOut,
				steps: inPool(m, call, late)},
			{name: "while it is to be sent again", setup: again, endpoints: 2, alter: func(c *backend.Config) { c.RetryBudget, c.Balance = 20, backend.Hash }, reason: router.ReasonAborted, calls: "timeout=1", failures: timedOut,
				steps: inPool(m, call, step{legEOF, "free leg 2 as broken; acquire leg 3", router.Waiting},
					step{waits(callTime), "cancel leg 3; to client: RESULT", router.Idle},
					step{says(invoke), "pause; acquire leg 4", router.Acquiring})},
			{name: "idle client", setup: func(w *world) { w.route.Timeouts.Idle = time.Minute }, reason: router.ReasonIdleTimeout, steps: inPool(m,
				step{waits(time.Minute), "end client", router.Lingering})},
			{name: "too large", reason: router.ReasonAborted, calls: "too_large=1", failures: []string{"INVOKE too_large"}, steps: inPool(m,
				step{says(oversize[:100]), "to client: RESULT", router.Sending}, step{says(oversize[100:]), "", router.Idle})},
			{name: "large", setup: builtin, reason: router.ReasonAborted, calls: "timeout=1", failures: timedOut, steps: inPool(m,
				step{says(big[:1000]), "to leg 2: part of INVOKE", router.Sending}, step{says(big[1000:]), "to leg 2: rest of INVOKE", router.Waiting}, late)},
		}
	})
}

// TestTimeoutText: what a client reads when its call has taken too long.
func TestTimeoutText(t *testing.T) {
	for _, d := range dialects {
		for _, class := range []router.TimeoutError{router.PyroTimeout, router.BuiltinTimeout} {
			w := newWorld(1)
			within(class)(w)
			w.route.Policy.Preserve = false
			h := newHarness(t, w)
			m := messages{d}
			for _, s := range opened(m, step{event: says(m.invoke())}, step{event: func(h *harness) {}}) {
				s.event(h)
			}
			before := len(h.lines[router.Client].got.bytes)
			h.waits(callTime)
			got, err := pyrotest.ReadMessage(strings.NewReader(string(h.lines[router.Client].got.bytes[before:])))
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			name := map[router.TimeoutError]string{router.PyroTimeout: "errors.TimeoutError", router.BuiltinTimeout: "builtins.TimeoutError"}[class]
			for _, want := range []string{name, "route route", "endpoint " + endpoint(1).Addr, "5s", "correlation id "} {
				if !strings.Contains(string(got.Data), want) {
					t.Errorf("%s: no %q in %q", d, want, got.Data)
				}
			}
			h.finish()
		}
	}
}

// TestRefusedHasID: a call that is refused at once can be found in the log too, by the id
// that its client is told.
func TestRefusedHasID(t *testing.T) {
	for _, d := range dialects {
		w := newWorld(1)
		w.route.Policy.Preserve = false
		m := messages{d}
		h := opens(t, w, m)
		h.says(m.message(wire.Invoke, 4097).Bytes())
		told := toldLast(t, h)
		if text := string(told.Data); !strings.Contains(text, "message too large") || !strings.Contains(text, "correlation id ") {
			t.Errorf("%s: told %q", d, text)
		}
		h.finish()
	}
}
