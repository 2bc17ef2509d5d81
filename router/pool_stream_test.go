package router_test

import (
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// TestPoolStreams: a client with a stream keeps its connection.
func TestPoolStreams(t *testing.T) {
	runPool(t, func(m messages) []scenario {
		invoke, result, stream := m.invoke(), m.result(), m.stream()
		call := step{says(invoke), "to leg 2: INVOKE", router.Waiting}
		begins := step{answers(stream), "to client: RESULT", router.Idle}
		next := step{answers(result), "to client: RESULT", router.Idle}
		streaming := []event{says(m.connect()), connects, says(invoke), answers(stream)}
		refusedPin := []step{
			{says(m.connect()), "to client: CONNECTOK", router.Idle},
			{says(invoke), "pause; acquire leg 1", router.Acquiring},
			{connects, "resume; to leg 1: INVOKE", router.Waiting},
			{answers(stream), "to client: RESULT; free leg 1 as spent", router.Idle},
		}
		return []scenario{
			{name: "held", reason: router.ReasonClientClosed, calls: "ok=3", steps: inPool(m, call, begins,
				call, next,
				step{waits(streamIdleTime - 1), "", router.Idle},
				call, step{waits(time.Hour), "", router.Waiting}, next,
				step{clientEOF, "free leg 2 as spent; close", router.Closed})},
			{name: "idle for too long", endpoints: 3, reason: router.ReasonAborted, calls: "ok=3", steps: inPool(m,
				step{says(invoke), "pause; acquire leg 2", router.Acquiring},
				step{connects, "resume; to leg 2: INVOKE", router.Waiting}, begins,
				call, next,
				step{waits(streamIdleTime - 1), "", router.Idle},
				step{waits(1), "stream timed out; free leg 2 as spent", router.Idle},
				step{says(invoke), "pause; acquire leg 3", router.Acquiring},
				step{connectsTo(2), "resume; to leg 3: INVOKE", router.Waiting}, // it stays there
				step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle})},
			{name: "another stream", reason: router.ReasonClientClosed, calls: "ok=2", steps: inPool(m, call, begins, call, begins,
				step{clientEOF, "free leg 2 as spent; close", router.Closed})},
			{name: "a oneway on it", reason: router.ReasonClientClosed, calls: "ok=2 oneway=1", steps: inPool(m, call, begins,
				step{says(m.oneway()), "to leg 2: INVOKE", router.Idle},
				call, next,
				step{clientEOF, "free leg 2 as spent; close", router.Closed})},
			{name: "behind a oneway", reason: router.ReasonClientClosed, calls: "ok=1 oneway=1", steps: inPool(m,
				step{says(m.oneway()), "to leg 2: INVOKE; to leg 2: PING; release leg 2 as resting", router.Idle},
				step{says(invoke), "to leg 3: INVOKE", router.Waiting},
				step{answers(m.ownPong(), stream), "to client: RESULT", router.Idle},
				step{clientEOF, "free leg 3 as spent; close", router.Closed})},
			{name: "behind a oneway, the daemon answers no PING of ours", reason: router.ReasonClientClosed, calls: "ok=2 oneway=1", steps: inPool(m,
				step{says(m.oneway()), "to leg 2: INVOKE; to leg 2: PING; release leg 2 as resting", router.Idle},
				step{says(invoke), "to leg 3: INVOKE", router.Waiting},
				step{answers(stream), "to client: RESULT", router.Idle},
				step{says(m.ownPong()), "to leg 3: PING", router.Waiting}, // the client's, which looks like ours
				step{answers(m.ownPong()), "to client: PING", router.Idle},
				step{clientEOF, "free leg 3 as spent; close", router.Closed})},
			{name: "as many are held as may be", first: streaming, reason: router.ReasonAborted, calls: "ok=2", steps: refusedPin},
			{name: "as many were held", first: streaming, reason: router.ReasonClientReset, calls: "ok=3", steps: append(refusedPin,
				step{func(h *harness) { h.w.all[0].resets(router.Client) }, "", router.Idle},
				step{says(invoke), "pause; acquire leg 2", router.Acquiring},
				step{connects, "resume; to leg 2: INVOKE", router.Waiting}, begins,
				step{clientReset, "free leg 2 as spent; close", router.Closed}), err: errReset},

			// The daemon.
			{name: "the daemon closes while idle", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call, begins,
				step{legEOF, "free leg 2 as spent", router.Idle},
				step{waits(2 * streamIdleTime), "", router.Idle},
				step{says(invoke), "pause; acquire leg 3", router.Acquiring})},
			{name: "the daemon resets while idle", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call, begins,
				step{legReset, "free leg 2 as spent", router.Idle},
				step{says(invoke), "pause; acquire leg 3", router.Acquiring})},
			{name: "the daemon closes while the client sends", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call, begins,
				step{says(invoke[:30]), "need", router.Idle},
				step{legEOF, "free leg 2 as spent", router.Idle},
				step{says(invoke[30:]), "pause; acquire leg 3", router.Acquiring})},
			{name: "the daemon sends what nobody asked for", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call, begins,
				step{answers(result), "free leg 2 as garbled", router.Idle},
				step{says(invoke), "pause; acquire leg 3", router.Acquiring})},
			{name: "the daemon closes in a call", reason: router.ReasonBackendClosed, calls: "backend_closed=1 ok=1",
				failures: []string{"INVOKE backend_closed"}, steps: inPool(m, call, begins, call,
					step{legEOF, "free leg 2 as broken; end client", router.Lingering})},
			{name: "found dead at the write", reason: router.ReasonAborted, calls: "ok=2", steps: inPool(m, call, begins,
				step{func(h *harness) { h.lines[2].failed = true }, "", router.Idle},
				step{says(invoke), "unwritten; pause; free leg 2 as torn; acquire leg 3", router.Acquiring},
				step{connects, "resume; to leg 3: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle})},

			// Two times run at once, and neither stops the other.
			{name: "half a request", reason: router.ReasonRequestTimeout, calls: "ok=1", steps: inPool(m, call, begins,
				step{says(invoke[:30]), "need", router.Idle},
				step{waits(requestTime - 1), "", router.Idle},
				step{waits(1), "free leg 2 as spent; end client", router.Lingering})},
			{name: "half a request behind the stream's beginning", reason: router.ReasonRequestTimeout, calls: "ok=1", steps: inPool(m, call,
				step{says(invoke[:30]), "need", router.Waiting},
				step{waits(requestTime - 2), "", router.Waiting}, begins,
				step{waits(1), "", router.Idle},
				step{waits(1), "free leg 2 as spent; end client", router.Lingering})},
			{name: "half a request when it has been idle for too long", reason: router.ReasonRequestTimeout, calls: "ok=1", steps: inPool(m, call, begins,
				step{waits(streamIdleTime - 1), "", router.Idle},
				step{says(invoke[:30]), "need", router.Idle},
				step{waits(1), "stream timed out; free leg 2 as spent", router.Idle},
				step{waits(requestTime - 2), "", router.Idle},
				step{waits(1), "end client", router.Lingering})},
			{name: "the client cannot be written to", reason: router.ReasonClientReset, err: errPipe, calls: "ok=1", steps: inPool(m, call,
				step{slows, "", router.Waiting},
				step{answers(stream), "to client: RESULT", router.Replying},
				step{clientUnwritable, "", router.Idle},
				step{waits(lingerTime), "free leg 2 as spent; close", router.Closed})},
			{name: "drain", reason: router.ReasonDrained, calls: "ok=1", steps: inPool(m, call, begins,
				step{drains, "settle", router.Idle},
				step{quiet, "free leg 2 as spent; close", router.Closed})},
			{name: "no time limit", setup: func(w *world) { w.route.StreamIdleTime = 0 }, reason: router.ReasonAborted, calls: "ok=1",
				steps: inPool(m, call, begins, step{waits(24 * time.Hour), "", router.Idle})},
		}
	})
}

// connectsTo is connects where the endpoint must be that one.
func connectsTo(i int) event {
	return func(h *harness) {
		h.connects()
		if got := h.session.Summary().Endpoint; got != endpoint(i).Addr {
			h.t.Fatalf("connected to %s", got)
		}
	}
}
