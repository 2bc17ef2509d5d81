package router_test

import (
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestPoolResends: calls of an idempotent route are sent to another endpoint when
// the first fails them.
func TestPoolResends(t *testing.T) {
	runPool(t, func(m messages) []scenario {
		invoke, result := m.invoke(), m.result()
		half := m.d.HeadLen() + 10
		call := step{says(invoke), "to leg 2: INVOKE", router.Waiting}
		resent := []step{
			{legEOF, "free leg 2 as broken; acquire leg 3", router.Waiting},
			{connects, "to leg 3: INVOKE", router.Waiting},
		}
		reply := step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle}
		failed := []string{"INVOKE backend_closed"}
		with := func(s scenario) scenario {
			s.endpoints = 2
			s.alter = func(c *backend.Config) {
				budget(20)(c)
				c.Balance = backend.Hash // the handshake and the first call are the same one's
			}
			s.setup = idempotent
			return s
		}
		return []scenario{
			with(scenario{name: "EOF", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call, resent[0], resent[1], reply)}),
			with(scenario{name: "reset, the client has half-closed", reason: router.ReasonClientClosed, calls: "ok=1", steps: inPool(m, call,
				step{clientEOF, "", router.Waiting},
				step{legReset, "free leg 2 as broken; acquire leg 3", router.Waiting}, resent[1],
				step{answers(result), "to client: RESULT; free leg 3 as served; close", router.Closed})}),
			with(scenario{name: "while it is being written", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				step{deafens, "", router.Idle},
				step{says(invoke), "to leg 2, perhaps", router.Sending},
				step{legReset, "free leg 2 as broken; acquire leg 3", router.Waiting},
				step{ships, "", router.Waiting}, resent[1], reply)}),
			with(scenario{name: "a part was written", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				step{deafens, "", router.Idle},
				step{says(invoke), "to leg 2, perhaps", router.Sending},
				step{legUnwritable, "free leg 2 as broken; acquire leg 3", router.Waiting},
				step{func(h *harness) { h.deaf = false; h.connects() }, "to leg 3: INVOKE", router.Waiting}, reply)}),
			with(scenario{name: "the next connection is dead", reason: router.ReasonBackendClosed, calls: "backend_closed=1", steps: inPool(m, call, resent[0],
				step{func(h *harness) { h.lazy = true; h.connects() }, "", router.Waiting},
				step{func(h *harness) {
					_, lease := h.session.Leg()
					h.w.line(lease.Conn).ends(nil)
					h.lazy = false
					h.carryOut(dialing)
				}, "free leg 3 as broken; acquire leg 4", router.Waiting},
				step{lacks(backend.ErrQueueFull), "end client", router.Lingering}), failures: failed, err: backend.ErrQueueFull}),
			with(scenario{name: "what waits goes on waiting", reason: router.ReasonAborted, calls: "ok=2", steps: inPool(m,
				step{says(invoke, invoke), "to leg 2: INVOKE; pause", router.Waiting}, resent[0], resent[1],
				step{answers(result), "to client: RESULT; free leg 3 as served; resume; pause; acquire leg 4", router.Acquiring},
				step{connects, "resume; to leg 4: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 4 as served", router.Idle})}),
			with(scenario{name: "reset by the client meanwhile", reason: router.ReasonClientReset, err: errReset, calls: "client_closed=1",
				failures: []string{"INVOKE client_closed"}, steps: inPool(m, call, resent[0],
					step{clientReset, "cancel leg 3; close", router.Closed},
					step{(*harness).grantsLate, "release leg 3 as cancelled", router.Closed})}),
			with(scenario{name: "no other endpoint", reason: router.ReasonBackendClosed, err: backend.ErrUnreachable, calls: "backend_closed=1",
				failures: failed, steps: inPool(m, call, resent[0],
					step{lacks(backend.ErrUnreachable), "end client", router.Lingering})}),

			// Never.
			with(scenario{name: "not once the reply has begun", reason: router.ReasonBackendClosed, calls: "backend_closed=1", failures: failed,
				steps: inPool(m, call,
					step{answers(result[:half]), "to client: part of RESULT", router.Replying},
					step{legEOF, "free leg 2 as broken; end client", router.Lingering})}),
			with(scenario{name: "not a large one", reason: router.ReasonBackendClosed, calls: "backend_closed=1", failures: failed,
				steps: inPool(m, step{says(m.big()), "to leg 2: INVOKE", router.Waiting},
					step{legEOF, "free leg 2 as broken; end client", router.Lingering})}),
			with(scenario{name: "not a PING", reason: router.ReasonBackendClosed, calls: "backend_closed=1", failures: []string{"PING backend_closed"},
				steps: inPool(m, step{says(m.ping()), "to leg 2: PING", router.Waiting},
					step{legEOF, "free leg 2 as broken; end client", router.Lingering})}),
			with(scenario{name: "not for a client that is gone", reason: router.ReasonBackendClosed, err: errPipe, calls: "backend_closed=1", failures: failed,
				steps: inPool(m, call,
					step{clientUnwritable, "", router.Waiting},
					step{legEOF, "free leg 2 as broken; close", router.Closed})}),
			with(scenario{name: "not when the answer is garbage", reason: router.ReasonGarbled, err: wire.ErrNotPyro, calls: "backend_protocol_error=1",
				failures: []string{"INVOKE backend_protocol_error"},
				steps:    inPool(m, call, step{answers(m.garbage()), "free leg 2 as garbled; end client", router.Lingering})}),
			{name: "not without a budget", setup: idempotent, reason: router.ReasonBackendClosed, calls: "backend_closed=1", failures: failed,
				steps: inPool(m, call, step{legEOF, "free leg 2 as broken; end client", router.Lingering})},
			{name: "not without leave", alter: budget(20), reason: router.ReasonBackendClosed, calls: "backend_closed=1", failures: failed,
				steps: inPool(m, call, step{legEOF, "free leg 2 as broken; end client", router.Lingering})},
		}
	})
}
