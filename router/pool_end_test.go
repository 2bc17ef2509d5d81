package router_test

import (
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func unwrites(h *harness) { h.unwrites() }
func deafens(h *harness)  { h.deafens() }
func slows(h *harness)    { h.slows() }
func reads(h *harness)    { h.reads() }
func ships(h *harness)    { h.ships() }

func idempotent(w *world) { w.route.Idempotent = true }

// budget lets calls be sent again.
func budget(percent int) func(*backend.Config) {
	return func(c *backend.Config) { c.RetryBudget = percent }
}

// TestPoolEnds: one side goes, or we do, and what becomes of the connection.
func TestPoolEnds(t *testing.T) {
	runPool(t, func(m messages) []scenario {
		var (
			invoke = m.invoke()
			result = m.result()
			oneway = m.oneway()
			big    = m.big()
			half   = m.d.HeadLen() + 10
		)
		call := step{says(invoke), "to leg 2: INVOKE", router.Waiting}
		reply := step{answers(result), "to client: RESULT; free leg 2 as served", router.Idle}
		sending := step{says(big[:100]), "to leg 2: part of INVOKE", router.Sending}
		replying := step{answers(result[:half]), "to client: part of RESULT", router.Replying}
		waiting := []step{{poolDies, "", router.Idle}, {says(invoke), "pause; acquire leg 2", router.Acquiring}}
		granted := step{connects, "resume; to leg 2: INVOKE", router.Waiting}
		failed := func(outcome string) []string { return []string{"INVOKE " + outcome} }
		return []scenario{
			// The client leaves.
			{name: "half-close behind a call, which is answered", reason: router.ReasonClientClosed, calls: "ok=1", steps: inPool(m, call,
				step{clientEOF, "", router.Waiting},
				step{waits(time.Hour), "", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 2 as served; close", router.Closed})},
			{name: "half-close in a reply that is being written", reason: router.ReasonClientClosed, calls: "ok=1", steps: inPool(m, call,
				step{slows, "", router.Waiting},
				step{answers(result), "to client: RESULT", router.Replying},
				step{clientEOF, "", router.Replying},
				step{reads, "free leg 2 as served; close", router.Closed})},
			{name: "half-close in a streamed request", reason: router.ReasonClientClosed, calls: "client_closed=1",
				failures: failed("client_closed"), steps: inPool(m, sending,
					step{clientEOF, "free leg 2 as torn; close", router.Closed})},
			{name: "reset behind a call", reason: router.ReasonClientReset, err: errReset, calls: "client_closed=1",
				failures: failed("client_closed"), steps: inPool(m, call,
					step{clientReset, "free leg 2 as abandoned; close", router.Closed},
					step{answers(result), "", router.Closed})},
			{name: "reset in a reply", reason: router.ReasonClientReset, err: errReset, calls: "client_closed=1",
				failures: failed("client_closed"), steps: inPool(m, call, replying,
					step{clientReset, "free leg 2 as abandoned; close", router.Closed})},
			{name: "reset while a reply is being written", reason: router.ReasonClientReset, err: errReset, calls: "ok=1", steps: inPool(m, call,
				step{slows, "", router.Waiting},
				step{answers(result), "to client: RESULT", router.Replying},
				step{clientReset, "free leg 2 as served; close", router.Closed})},
			{name: "reset in a streamed request", reason: router.ReasonClientReset, err: errReset, calls: "client_closed=1",
				failures: failed("client_closed"), steps: inPool(m, sending,
					step{clientReset, "free leg 2 as torn; close", router.Closed})},
			{name: "reset while a request is being written", reason: router.ReasonClientReset, err: errReset, calls: "client_closed=1",
				failures: failed("client_closed"), steps: inPool(m,
					step{deafens, "", router.Idle},
					step{says(invoke), "to leg 2, perhaps", router.Sending},
					step{clientReset, "free leg 2 as torn; close", router.Closed})},
			{name: "reset while waiting for an endpoint", reason: router.ReasonClientReset, err: errReset, steps: inPool(m,
				waiting[0], waiting[1],
				step{clientReset, "cancel leg 2; close", router.Closed},
				step{(*harness).grantsLate, "release leg 2 as cancelled", router.Closed})},
			{name: "reset when idle", reason: router.ReasonClientReset, err: errReset, steps: inPool(m,
				step{clientReset, "close", router.Closed})},
			{name: "unwritable in a reply", reason: router.ReasonClientReset, err: errPipe, calls: "ok=1", steps: inPool(m, call, replying,
				step{clientUnwritable, "", router.Replying},
				step{answers(result[half:]), "free leg 2 as served", router.Idle},
				step{waits(lingerTime), "close", router.Closed})},
			{name: "unwritable behind a reply", reason: router.ReasonClientReset, err: errPipe, calls: "ok=1", steps: inPool(m, call,
				step{slows, "", router.Waiting},
				step{answers(result), "to client: RESULT", router.Replying},
				step{clientUnwritable, "free leg 2 as served", router.Idle},
				step{waits(lingerTime), "close", router.Closed})},
			{name: "unwritable, no reply", reason: router.ReasonClientReset, err: errPipe, calls: "client_closed=1",
				failures: failed("client_closed"), steps: inPool(m, call,
					step{clientUnwritable, "", router.Waiting},
					step{waits(lingerTime), "free leg 2 as abandoned; close", router.Closed})},

			// The daemon leaves.
			{name: "EOF when waiting", reason: router.ReasonBackendClosed, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: inPool(m, call,
					step{legEOF, "free leg 2 as broken; end client", router.Lingering})},
			{name: "reset in a reply", reason: router.ReasonBackendReset, err: errReset, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: inPool(m, call, replying,
					step{legReset, "free leg 2 as broken; end client", router.Lingering})},
			{name: "EOF in a streamed request", reason: router.ReasonBackendClosed, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: inPool(m, sending,
					step{legEOF, "free leg 2 as broken; end client", router.Lingering},
					step{says(big[100:]), "", router.Lingering})},
			{name: "EOF behind the reply, before the request is known to be written", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				step{deafens, "", router.Idle},
				step{says(invoke, invoke), "to leg 2, perhaps; pause", router.Sending},
				step{answers(result), "to client: RESULT", router.Sending},
				step{legEOF, "free leg 2 as spent; resume", router.Idle},
				step{ships, "pause; acquire leg 3", router.Acquiring})},
			{name: "reply behind the reply, before the request is known to be written", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				step{deafens, "", router.Idle},
				step{says(invoke, invoke), "to leg 2, perhaps; pause", router.Sending},
				step{answers(result), "to client: RESULT", router.Sending},
				step{answers(result), "free leg 2 as garbled; resume", router.Idle},
				step{ships, "pause; acquire leg 3", router.Acquiring})},
			{name: "EOF while idle", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call, reply,
				step{legEOF, "", router.Idle},
				step{says(invoke), "pause; acquire leg 3", router.Acquiring})},
			{name: "EOF while the reply is being written", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call,
				step{slows, "", router.Waiting},
				step{answers(result), "to client: RESULT", router.Replying},
				step{legEOF, "free leg 2 as spent", router.Replying},
				step{reads, "", router.Idle})},
			{name: "EOF while a oneway is being written", reason: router.ReasonAborted, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: inPool(m,
					step{deafens, "", router.Idle},
					step{says(oneway, invoke), "to leg 2, perhaps; pause", router.Sending},
					step{legEOF, "free leg 2 as broken; resume", router.Idle},
					step{ships, "pause; acquire leg 3", router.Acquiring})},
			{name: "EOF in a streamed oneway", reason: router.ReasonBackendClosed, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: inPool(m,
					step{says(m.message(wire.Invoke, 1000, wire.Oneway).Bytes()[:100]), "to leg 2: part of INVOKE", router.Sending},
					step{legEOF, "free leg 2 as broken; end client", router.Lingering})},
			{name: "unwritable in a oneway", reason: router.ReasonAborted, calls: "aborted=1 backend_closed=1",
				failures: []string{"INVOKE backend_closed", "INVOKE aborted"}, steps: inPool(m,
					step{deafens, "", router.Idle},
					step{says(oneway), "to leg 2, perhaps", router.Sending},
					step{legUnwritable, "free leg 2 as broken", router.Idle},
					step{says(invoke), "pause; acquire leg 3", router.Acquiring},
					step{(*harness).reads, "", router.Acquiring},
					step{func(h *harness) { h.deaf = false; h.connects() }, "resume; to leg 3: INVOKE", router.Waiting})},
			{name: "unwritable, answered early", reason: router.ReasonAborted, calls: "exception=1 ok=1", steps: inPool(m,
				step{deafens, "", router.Idle},
				step{says(invoke), "to leg 2, perhaps", router.Sending},
				step{legUnwritable, "", router.Waiting},
				step{says(invoke), "pause", router.Waiting},
				step{answers(m.raised()), "to client: RESULT; free leg 2 as torn; resume; pause; acquire leg 3", router.Acquiring},
				step{func(h *harness) { h.deaf = false; h.connects() }, "resume; to leg 3: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle}), err: errPipe},
			{name: "unwritable, nothing more", reason: router.ReasonBackendReset, err: errPipe, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: inPool(m,
					step{deafens, "", router.Idle},
					step{says(invoke), "to leg 2, perhaps", router.Sending},
					step{legUnwritable, "", router.Waiting},
					step{waits(lingerTime), "free leg 2 as broken; end client", router.Lingering})},

			// Found dead at the write.
			{name: "nothing was written", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				step{deafens, "", router.Idle},
				step{says(invoke), "to leg 2, perhaps", router.Sending},
				step{unwrites, "unwritten; free leg 2 as torn; acquire leg 3", router.Acquiring},
				step{waits(time.Hour), "", router.Acquiring},
				step{func(h *harness) { h.deaf = false; h.connects() }, "resume; to leg 3: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle})},
			{name: "nothing of a oneway was written", reason: router.ReasonAborted, calls: "aborted=1 oneway=1", steps: inPool(m,
				step{deafens, "", router.Idle},
				step{says(oneway, invoke), "to leg 2, perhaps; pause", router.Sending},
				step{unwrites, "unwritten; free leg 2 as torn; acquire leg 3", router.Acquiring},
				step{connects, "resume; to leg 3, perhaps; pause", router.Sending},
				step{unwrites, "unwritten; free leg 3 as torn; acquire leg 4", router.Acquiring},
				step{func(h *harness) { h.deaf = false; h.connects() },
					"resume; to leg 4: INVOKE; pause; to leg 4: PING; release leg 4 as resting; resume; to leg 5: INVOKE", router.Waiting}),
				failures: failed("aborted")},
			{name: "nothing of a large one was written", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				step{deafens, "", router.Idle},
				step{says(big[:100]), "to leg 2, perhaps", router.Sending},
				step{unwrites, "unwritten; free leg 2 as torn; acquire leg 3", router.Acquiring},
				step{func(h *harness) { h.deaf = false; h.connects() }, "resume; to leg 3: part of INVOKE", router.Sending},
				step{says(big[100:]), "to leg 3: rest of INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle})},
			{name: "nothing of its second half was written", reason: router.ReasonBackendReset, err: errPipe, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: inPool(m, sending,
					step{deafens, "", router.Sending},
					step{says(big[100:]), "to leg 2, perhaps", router.Sending},
					step{unwrites, "", router.Waiting},
					step{waits(lingerTime), "free leg 2 as broken; end client", router.Lingering})},
			{name: "nothing was written, and it was answered all the same", reason: router.ReasonAborted, calls: "exception=1", steps: inPool(m,
				step{deafens, "", router.Idle},
				step{says(invoke), "to leg 2, perhaps", router.Sending},
				step{answers(m.raised()), "to client: RESULT", router.Sending},
				step{unwrites, "free leg 2 as broken", router.Idle})},
			{name: "its connection ends before it is written", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				waiting[0], waiting[1],
				step{func(h *harness) { h.lazy = true; h.connects() }, "", router.Acquiring},
				step{func(h *harness) {
					_, lease := h.session.Leg()
					h.w.line(lease.Conn).ends(nil)
					h.lazy = false
					h.carryOut(dialing)
					h.goesOn()
				}, "resume; unwritten; pause; free leg 2 as torn; acquire leg 3", router.Acquiring},
				step{connects, "resume; to leg 3: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle})},

			// We leave.
			{name: "drain when idle", reason: router.ReasonDrained, steps: inPool(m,
				step{drains, "settle", router.Idle},
				step{quiet, "close", router.Closed})},
			{name: "drain when waiting for a reply", reason: router.ReasonDrained, calls: "ok=1", steps: inPool(m, call,
				step{drains, "", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 2 as served; settle", router.Idle},
				step{quiet, "close", router.Closed})},
			{name: "drain when waiting for an endpoint", reason: router.ReasonDrained, calls: "ok=1", steps: inPool(m,
				waiting[0], waiting[1],
				step{drains, "", router.Acquiring}, granted,
				step{answers(result), "to client: RESULT; free leg 2 as served; settle", router.Idle},
				step{quiet, "close", router.Closed})},
			{name: "drain when waiting in vain", reason: router.ReasonDrained, calls: "queue_timeout=1",
				failures: failed("queue_timeout"), steps: inPool(m,
					waiting[0], waiting[1],
					step{drains, "", router.Acquiring},
					step{lacks(backend.ErrQueueTimeout), "resume; to client: RESULT; settle", router.Idle},
					step{quiet, "close", router.Closed})},
			{name: "drain when a oneway waits in vain", reason: router.ReasonDrained, calls: "queue_timeout=1",
				failures: failed("queue_timeout"), steps: inPool(m,
					waiting[0],
					step{says(oneway), "pause; acquire leg 2", router.Acquiring},
					step{drains, "", router.Acquiring},
					step{lacks(backend.ErrQueueTimeout), "resume; settle", router.Idle},
					step{quiet, "close", router.Closed})},
			{name: "abort when waiting", reason: router.ReasonAborted, calls: "aborted=1", failures: failed("aborted"), steps: inPool(m, call,
				step{aborts, "free leg 2 as abandoned; close", router.Closed})},
			{name: "abort when granted", reason: router.ReasonAborted, steps: inPool(m,
				waiting[0], waiting[1],
				step{func(h *harness) { h.lazy = true; h.connects() }, "", router.Acquiring},
				step{func(h *harness) { h.aborts(); h.lazy = false; h.carryOut(control) }, "free leg 2 as cancelled; close", router.Closed})},
		}
	})
}
