package router_test

import (
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestEnds: one side goes, or we do.
func TestEnds(t *testing.T) {
	run(t, func(m messages) []scenario {
		var (
			connect = m.connect()
			invoke  = m.invoke()
			result  = m.result()
			big     = m.big()
			half    = m.d.HeadLen() + 10
		)
		acquiring := step{says(connect), "acquire leg 1", router.Acquiring}
		greeting := step{connects, "to leg 1: CONNECT", router.Greeting}
		call := step{says(invoke), "to leg 1: INVOKE", router.Waiting}
		reply := step{answers(result), "to client: RESULT", router.Idle}
		sending := step{says(big[:100]), "to leg 1: part of INVOKE", router.Sending}
		replying := step{answers(result[:half]), "to client: part of RESULT", router.Replying}
		failed := func(outcome string) []string { return []string{"INVOKE " + outcome} }
		return []scenario{
			// The client's EOF.
			{name: "EOF when idle", reason: router.ReasonClientClosed, steps: opened(m,
				step{clientEOF, "release leg 1 as served; close", router.Closed})},
			{name: "EOF behind a oneway", reason: router.ReasonClientClosed, calls: "oneway=1", steps: opened(m,
				step{says(m.oneway()), "to leg 1: INVOKE", router.Idle},
				step{clientEOF, "release leg 1 as served; close", router.Closed})},
			{name: "EOF behind a call, which is answered", reason: router.ReasonClientClosed, calls: "ok=1", steps: opened(m, call,
				step{clientEOF, "end leg 1", router.Waiting},
				step{waits(time.Hour), "", router.Waiting},
				step{answers(result[:half]), "to client: part of RESULT", router.Replying},
				step{answers(result[half:]), "to client: rest of RESULT; release leg 1 as served; close", router.Closed})},
			{name: "EOF in a reply", reason: router.ReasonClientClosed, calls: "ok=1", steps: opened(m, call, replying,
				step{clientEOF, "end leg 1", router.Replying},
				step{answers(result[half:]), "to client: rest of RESULT; release leg 1 as served; close", router.Closed})},
			{name: "EOF behind a call that is not answered", reason: router.ReasonBackendClosed, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: opened(m, call,
					step{clientEOF, "end leg 1", router.Waiting},
					step{legEOF, "release leg 1 as broken; close", router.Closed})},
			{name: "EOF behind half a request", reason: router.ReasonClientClosed, steps: opened(m,
				step{says(invoke[:30]), "need", router.Idle},
				step{clientEOF, "release leg 1 as served; close", router.Closed})},
			{name: "EOF behind half a request and a call, which is answered", reason: router.ReasonClientClosed, calls: "ok=1", steps: opened(m,
				step{says(invoke, invoke[:30]), "to leg 1: INVOKE; need", router.Waiting},
				step{clientEOF, "end leg 1", router.Waiting},
				step{waits(requestTime), "", router.Waiting},
				step{answers(result), "to client: RESULT; release leg 1 as served; close", router.Closed})},
			{name: "EOF in a streamed request", reason: router.ReasonClientClosed, calls: "client_closed=1",
				failures: failed("client_closed"), steps: opened(m, sending,
					step{clientEOF, "release leg 1 as served; close", router.Closed})},
			{name: "EOF in a streamed oneway", reason: router.ReasonClientClosed, calls: "client_closed=1",
				failures: failed("client_closed"), steps: opened(m,
					step{says(m.message(wire.Invoke, 1000, wire.Oneway).Bytes()[:100]), "to leg 1: part of INVOKE", router.Sending},
					step{clientEOF, "release leg 1 as served; close", router.Closed})},

			// The client's reset.
			{name: "reset when idle", reason: router.ReasonClientReset, err: errReset, steps: opened(m,
				step{clientReset, "release leg 1 as served; close", router.Closed})},
			{name: "reset behind a oneway", reason: router.ReasonClientReset, err: errReset, calls: "oneway=1", steps: opened(m,
				step{says(m.oneway()), "to leg 1: INVOKE", router.Idle},
				step{clientReset, "release leg 1 as served; close", router.Closed})},
			{name: "reset behind a call", reason: router.ReasonClientReset, err: errReset, calls: "client_closed=1",
				failures: failed("client_closed"), steps: opened(m, call,
					step{clientReset, "release leg 1 as served; close", router.Closed})},
			{name: "reset in a streamed request", reason: router.ReasonClientReset, err: errReset, calls: "client_closed=1",
				failures: failed("client_closed"), steps: opened(m, sending,
					step{clientReset, "release leg 1 as served; close", router.Closed})},
			{name: "reset in a reply", reason: router.ReasonClientReset, err: errReset, calls: "client_closed=1",
				failures: failed("client_closed"), steps: opened(m, call, replying,
					step{clientReset, "release leg 1 as served; close", router.Closed})},
			{name: "reset while the last reply is awaited", reason: router.ReasonClientReset, err: errReset, calls: "client_closed=1",
				failures: failed("client_closed"), steps: opened(m, call,
					step{clientEOF, "end leg 1", router.Waiting},
					step{clientReset, "release leg 1 as served; close", router.Closed})},

			// The endpoint's end.
			{name: "endpoint's EOF when idle", reason: router.ReasonBackendClosed, steps: opened(m,
				step{legEOF, "release leg 1 as served; end client", router.Lingering},
				step{clientEOF, "close", router.Closed})},
			{name: "endpoint's EOF when waiting", reason: router.ReasonBackendClosed, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: opened(m, call,
					step{legEOF, "release leg 1 as broken; end client", router.Lingering},
					step{says(invoke), "", router.Lingering},
					step{waits(lingerTime), "close", router.Closed})},
			{name: "endpoint's EOF in a reply", reason: router.ReasonBackendClosed, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: opened(m, call, replying,
					step{legEOF, "release leg 1 as broken; end client", router.Lingering})},
			{name: "endpoint's EOF in a reply's header", reason: router.ReasonBackendClosed, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: opened(m, call,
					step{answers(result[:10]), "need", router.Waiting},
					step{legEOF, "release leg 1 as broken; end client", router.Lingering})},
			{name: "endpoint's EOF in a streamed request", reason: router.ReasonBackendClosed, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: opened(m, sending,
					step{legEOF, "release leg 1 as broken; end client", router.Lingering},
					step{says(big[100:]), "", router.Lingering})},
			{name: "endpoint's EOF in a streamed oneway", reason: router.ReasonBackendClosed, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: opened(m,
					step{says(m.message(wire.Invoke, 1000, wire.Oneway).Bytes()[:100]), "to leg 1: part of INVOKE", router.Sending},
					step{legEOF, "release leg 1 as broken; end client", router.Lingering})},
			{name: "endpoint's EOF behind half a request", reason: router.ReasonBackendClosed, steps: opened(m,
				step{says(invoke[:30]), "need", router.Idle},
				step{legEOF, "release leg 1 as served; end client", router.Lingering},
				step{waits(lingerTime), "close", router.Closed})},
			{name: "endpoint's EOF behind an early reply", reason: router.ReasonBackendClosed, calls: "exception=1", steps: opened(m, sending,
				step{answers(m.raised()), "to client: RESULT", router.Sending},
				step{legEOF, "release leg 1 as broken; end client", router.Lingering})},
			{name: "endpoint's reset when waiting", reason: router.ReasonBackendReset, err: errReset, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: opened(m, call,
					step{legReset, "release leg 1 as broken; end client", router.Lingering})},
			{name: "endpoint's reset when idle", reason: router.ReasonBackendReset, err: errReset, steps: opened(m,
				step{legReset, "release leg 1 as served; end client", router.Lingering})},

			// Failed writes to the client: what it had sent is still of use.
			{name: "client unwritable, then reset", reason: router.ReasonClientReset, err: errPipe, calls: "ok=1", steps: opened(m, call, reply,
				step{clientUnwritable, "", router.Idle},
				step{clientReset, "release leg 1 as served; close", router.Closed})},
			{name: "client unwritable, a oneway behind", reason: router.ReasonClientClosed, err: errPipe, calls: "ok=1 oneway=1", steps: opened(m, call, reply,
				step{clientUnwritable, "", router.Idle},
				step{says(m.oneway()), "to leg 1: INVOKE", router.Idle},
				step{clientEOF, "release leg 1 as served; close", router.Closed})},
			{name: "client unwritable in a reply, nothing more", reason: router.ReasonClientReset, err: errPipe, calls: "client_closed=1",
				failures: failed("client_closed"), steps: opened(m, call, replying,
					step{clientUnwritable, "", router.Replying},
					step{answers(result[half : half+5]), "", router.Replying},
					step{waits(lingerTime), "release leg 1 as served; close", router.Closed})},
			{name: "client unwritable, replies are still counted", reason: router.ReasonClientReset, err: errPipe, calls: "ok=3", steps: opened(m,
				step{says(invoke, invoke, invoke), "to leg 1: INVOKE, INVOKE, INVOKE", router.Waiting},
				replying,
				step{clientUnwritable, "", router.Replying},
				step{answers(result[half:]), "", router.Waiting},
				step{answers(result[:10]), "need", router.Waiting}, // a cut header is no garbage
				step{answers(result[10:], result), "", router.Idle},
				step{waits(lingerTime), "release leg 1 as served; close", router.Closed})},
			{name: "client unwritable, requests do not extend its time", reason: router.ReasonClientReset, err: errPipe, calls: "oneway=2", steps: opened(m,
				step{clientUnwritable, "", router.Idle},
				step{waits(lingerTime - 1), "", router.Idle},
				step{says(m.oneway(), m.oneway(), invoke[:30]), "to leg 1: INVOKE, INVOKE; need", router.Idle},
				step{waits(1), "release leg 1 as served; close", router.Closed})},
			{name: "client unwritable, endpoint's EOF", reason: router.ReasonBackendClosed, err: errPipe, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: opened(m, call,
					step{clientUnwritable, "", router.Waiting},
					step{legEOF, "release leg 1 as broken; close", router.Closed})},
			{name: "client unwritable while four wait", reason: router.ReasonClientReset, err: errPipe, calls: "client_closed=4 ok=1",
				failures: []string{"INVOKE client_closed", "INVOKE client_closed", "INVOKE client_closed", "INVOKE client_closed"}, steps: opened(m,
					step{says(invoke, invoke, invoke, invoke, invoke), "to leg 1: INVOKE, INVOKE, INVOKE, INVOKE; pause", router.Waiting},
					step{clientUnwritable, "", router.Waiting},
					step{answers(result), "resume; to leg 1: INVOKE", router.Waiting},
					step{clientReset, "release leg 1 as served; close", router.Closed})},

			// Failed writes to the endpoint: what it had sent is still for the client.
			{name: "endpoint unwritable, answered early", reason: router.ReasonBackendClosed, err: errPipe, calls: "exception=1", steps: opened(m, sending,
				step{legUnwritable, "", router.Sending},
				step{says(big[100:]), "", router.Sending},
				step{answers(m.raised()), "to client: RESULT", router.Sending},
				step{legEOF, "release leg 1 as broken; end client", router.Lingering})},
			{name: "endpoint unwritable, nothing more", reason: router.ReasonBackendReset, err: errPipe, calls: "backend_closed=1",
				failures: failed("backend_closed"), steps: opened(m, call,
					step{legUnwritable, "", router.Waiting},
					step{waits(lingerTime - 1), "", router.Waiting},
					step{answers(result[:half]), "to client: part of RESULT", router.Replying},
					step{waits(1), "release leg 1 as broken; end client", router.Lingering})},
			{name: "endpoint unwritable when idle", reason: router.ReasonBackendReset, err: errPipe, calls: "oneway=1", steps: opened(m,
				step{says(m.oneway()), "to leg 1: INVOKE", router.Idle},
				step{legUnwritable, "", router.Idle},
				step{says(invoke), "", router.Idle},
				step{waits(lingerTime), "release leg 1 as served; end client", router.Lingering})},
			{name: "endpoint unwritable, the client leaves", reason: router.ReasonClientClosed, err: errPipe, calls: "client_closed=1",
				failures: failed("client_closed"), steps: opened(m, sending,
					step{legUnwritable, "", router.Sending},
					step{clientEOF, "release leg 1 as served; close", router.Closed})},
			{name: "both unwritable", reason: router.ReasonClientReset, err: errPipe, calls: "client_closed=1",
				failures: failed("client_closed"), steps: opened(m, call,
					step{legUnwritable, "", router.Waiting},
					step{clientUnwritable, "", router.Waiting},
					step{waits(lingerTime), "release leg 1 as served; close", router.Closed})},

			// Drain.
			{name: "drain before CONNECT", reason: router.ReasonDrained, steps: []step{
				{says(connect[:30]), "need", router.Handshake},
				{drains, refusal, router.Lingering},
				{says(connect[30:]), "", router.Lingering},
			}},
			{name: "drain while acquiring", reason: router.ReasonDrained, steps: []step{
				{says(connect, invoke), "pause; acquire leg 1", router.Acquiring},
				{drains, "to client: CONNECTFAIL; cancel leg 1; end client; resume", router.Lingering},
			}},
			{name: "drain while greeting", reason: router.ReasonDrained, steps: []step{
				acquiring, greeting,
				{drains, "", router.Greeting},
				{answers(m.ok()), "to client: CONNECTOK; settle", router.Idle},
				{quiet, "release leg 1 as served; end client", router.Lingering},
			}},
			{name: "drain while greeting, a request behind", reason: router.ReasonDrained, calls: "ok=1", steps: []step{
				{says(connect, invoke), "pause; acquire leg 1", router.Acquiring},
				greeting,
				{drains, "", router.Greeting},
				{answers(m.ok()), "to client: CONNECTOK; resume; settle; to leg 1: INVOKE", router.Waiting},
				{quiet, "", router.Waiting},
				{answers(result), "to client: RESULT; settle", router.Idle},
				{quiet, "release leg 1 as served; end client", router.Lingering},
			}},
			{name: "drain while greeting, no other endpoint is tried", reason: router.ReasonDrained, steps: []step{
				{says(connect, invoke), "pause; acquire leg 1", router.Acquiring},
				greeting,
				{drains, "", router.Greeting},
				{legEOF, "release leg 1 as broken; to client: CONNECTFAIL; end client; resume", router.Lingering},
			}},
			{name: "drain when idle", reason: router.ReasonDrained, steps: opened(m,
				step{drains, "settle", router.Idle},
				step{quiet, "release leg 1 as served; end client", router.Lingering},
				step{clientEOF, "close", router.Closed})},
			{name: "drain when idle, a call was on its way", reason: router.ReasonDrained, calls: "ok=1", steps: opened(m,
				step{drains, "settle", router.Idle},
				call,
				step{quiet, "", router.Waiting},
				step{answers(result), "to client: RESULT; settle", router.Idle},
				step{quiet, "release leg 1 as served; end client", router.Lingering})},
			{name: "drain when idle, a oneway was on its way", reason: router.ReasonDrained, calls: "oneway=1", steps: opened(m,
				step{drains, "settle", router.Idle},
				step{says(m.oneway()), "to leg 1: INVOKE; settle", router.Idle},
				step{quiet, "release leg 1 as served; end client", router.Lingering})},
			{name: "drain when waiting", reason: router.ReasonDrained, calls: "ok=1", steps: opened(m, call,
				step{drains, "", router.Waiting},
				step{answers(result), "to client: RESULT; settle", router.Idle},
				step{quiet, "release leg 1 as served; end client", router.Lingering})},
			{name: "drain in a streamed request", reason: router.ReasonDrained, calls: "ok=1", steps: opened(m, sending,
				step{drains, "", router.Sending},
				step{moves(true, big[100:]), "to leg 1: rest of INVOKE", router.Waiting},
				step{answers(result[:half]), "to client: part of RESULT", router.Replying},
				step{moves(false, result[half:]), "to client: rest of RESULT; settle", router.Idle},
				step{quiet, "release leg 1 as served; end client", router.Lingering})},
			{name: "drain in a streamed oneway", reason: router.ReasonDrained, calls: "oneway=1", steps: func() []step {
				b := m.message(wire.Invoke, 1000, wire.Oneway).Bytes()
				return opened(m,
					step{says(b[:100]), "to leg 1: part of INVOKE", router.Sending},
					step{drains, "", router.Sending},
					step{moves(true, b[100:]), "to leg 1: rest of INVOKE; settle", router.Idle},
					step{quiet, "release leg 1 as served; end client", router.Lingering})
			}()},
			{name: "drain with half a request", reason: router.ReasonDrained, steps: opened(m,
				step{says(invoke[:30]), "need", router.Idle},
				step{drains, "settle", router.Idle},
				step{quiet, "release leg 1 as served; end client", router.Lingering})},
			{name: "drain while one waits", reason: router.ReasonDrained, calls: "ok=5", steps: opened(m,
				step{says(invoke, invoke, invoke, invoke, invoke), "to leg 1: INVOKE, INVOKE, INVOKE, INVOKE; pause", router.Waiting},
				step{drains, "", router.Waiting},
				step{answers(result, result), "to client: RESULT, RESULT; resume; to leg 1: INVOKE", router.Waiting},
				step{answers(result, result, result), "to client: RESULT, RESULT, RESULT; settle", router.Idle},
				step{quiet, "release leg 1 as served; end client", router.Lingering})},
			{name: "drain, client EOF", reason: router.ReasonClientClosed, calls: "ok=1", steps: opened(m, call,
				step{drains, "", router.Waiting},
				step{clientEOF, "end leg 1", router.Waiting},
				step{answers(result), "to client: RESULT; release leg 1 as served; close", router.Closed})},
			{name: "drain, client unwritable", reason: router.ReasonDrained, err: errPipe, steps: opened(m,
				step{clientUnwritable, "", router.Idle},
				step{drains, "settle", router.Idle},
				step{quiet, "release leg 1 as served; close", router.Closed})},
			{name: "drain twice", reason: router.ReasonDrained, steps: opened(m,
				step{drains, "settle", router.Idle},
				step{drains, "settle", router.Idle},
				step{quiet, "release leg 1 as served; end client", router.Lingering},
				step{quiet, "", router.Lingering},
				step{drains, "", router.Lingering})},
			{name: "quiet without a drain", reason: router.ReasonAborted, steps: opened(m,
				step{quiet, "", router.Idle})},

			// Abort.
			{name: "abort before CONNECT", reason: router.ReasonAborted, steps: []step{{aborts, "close", router.Closed}}},
			{name: "abort while acquiring", reason: router.ReasonAborted, steps: []step{
				acquiring, {aborts, "cancel leg 1; close", router.Closed}}},
			{name: "abort while greeting", reason: router.ReasonAborted, steps: []step{
				acquiring, greeting, {aborts, "release leg 1 as cancelled; close", router.Closed}}},
			{name: "abort when idle", reason: router.ReasonAborted, steps: opened(m,
				step{aborts, "release leg 1 as served; close", router.Closed})},
			{name: "abort when waiting", reason: router.ReasonAborted, calls: "aborted=1", failures: failed("aborted"),
				steps: opened(m, call, step{aborts, "release leg 1 as served; close", router.Closed})},
			{name: "abort in a streamed request", reason: router.ReasonAborted, calls: "aborted=1", failures: failed("aborted"),
				steps: opened(m, sending, step{aborts, "release leg 1 as served; close", router.Closed})},
			{name: "abort while lingering", reason: router.ReasonBackendClosed, steps: opened(m,
				step{legEOF, "release leg 1 as served; end client", router.Lingering},
				step{aborts, "close", router.Closed},
				step{aborts, "", router.Closed})},
		}
	})
}

// TestLate: events of legs that were given up, and events after the end, do no
// harm.
func TestLate(t *testing.T) {
	late := func(h *harness, p router.Port) {
		result := messages{wire.V502}.result()
		if taken := h.session.Data(h.now, p, result); taken != (router.Taken{Consumed: len(result)}) {
			h.t.Fatalf("took %+v", taken)
		}
		h.session.EOF(h.now, p, 0)
		h.session.Reset(h.now, p, errReset)
		h.session.WriteFailed(h.now, p, errPipe)
		h.session.Moved(h.now, p, 1)
		h.perform()
	}
	expect := func(h *harness, asks string, state router.State) {
		h.t.Helper()
		if got := h.taken(); got != asks || h.session.State() != state {
			h.t.Fatalf("asks %q while %s, want %q while %s", got, h.session.State(), asks, state)
		}
	}

	t.Run("a leg that was given up", func(t *testing.T) {
		m := messages{wire.V502}
		h := newHarness(t, newWorld(2))
		h.says(m.connect())
		h.connects()
		h.hangsUp(1)
		h.taken()
		late(h, 1)
		h.session.Unreachable(h.now, 1, errReset)
		expect(h, "", router.Acquiring)
		h.connects()
		late(h, 1)
		expect(h, "to leg 2: CONNECT", router.Greeting)
		h.answers(m.ok())
		late(h, 1)
		expect(h, "to client: CONNECTOK", router.Idle)
		h.says(m.invoke())
		late(h, 1)
		expect(h, "to leg 2: INVOKE", router.Waiting)
		h.finish()
	})
	t.Run("a lease that comes after all", func(t *testing.T) {
		h := newHarness(t, newWorld(1))
		h.says(messages{wire.V502}.connect())
		h.drains()
		h.taken()
		h.grantsLate()
		expect(h, "release leg 1 as cancelled", router.Lingering)
		h.finish()
	})
	t.Run("after the end", func(t *testing.T) {
		h := newHarness(t, newWorld(1))
		h.says(messages{wire.V502}.connect())
		h.aborts()
		h.taken()
		h.grantsLate()
		expect(h, "release leg 1 as cancelled", router.Closed)
		late(h, 1)
		late(h, router.Client)
		h.session.Unreachable(h.now, 1, errReset)
		h.session.Drain(h.now)
		h.session.Quiet(h.now)
		h.session.Abort(h.now)
		h.session.Tick(h.now + time.Hour)
		h.perform()
		expect(h, "", router.Closed)
		if sum := h.session.Summary(); sum.Reason != router.ReasonAborted || sum.Err != nil {
			t.Errorf("reason %s (%v)", sum.Reason, sum.Err)
		}
		h.finish()
	})
	t.Run("a leg that is not there yet", func(t *testing.T) {
		h := newHarness(t, newWorld(1))
		h.says(messages{wire.V502}.connect())
		h.taken()
		late(h, 1)
		expect(h, "", router.Acquiring)
		h.finish()
	})
}
