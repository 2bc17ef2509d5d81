package router_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestPoolCalls: calls, each on a connection of the pool.
func TestPoolCalls(t *testing.T) {
	runPool(t, func(m messages) []scenario {
		var (
			head     = m.d.HeadLen()
			invoke   = m.invoke()
			result   = m.result()
			big      = m.big()
			bigReply = m.message(wire.Result, 3000).Bytes()
		)
		call := step{says(invoke), "to leg 2: INVOKE", router.Waiting}
		reply := step{answers(result), "to client: RESULT; free leg 2 as served", router.Idle}
		again := []step{
			{says(invoke), "to leg 3: INVOKE", router.Waiting},
			{answers(result), "to client: RESULT; free leg 3 as served", router.Idle},
		}
		return []scenario{
			{name: "call", reason: router.ReasonAborted, calls: "ok=2", steps: inPool(m, call, reply, again[0], again[1])},
			{name: "ping", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				step{says(m.ping()), "to leg 2: PING", router.Waiting},
				step{answers(m.ping()), "to client: PING; free leg 2 as served", router.Idle})},
			{name: "a call takes as long as it takes", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call,
				step{waits(24 * time.Hour), "", router.Waiting}, reply)},
			{name: "in pieces", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				step{says(invoke[:head]), "need", router.Idle},
				step{says(invoke[head:]), "to leg 2: INVOKE", router.Waiting},
				step{answers(result[:head-1]), "need", router.Waiting},
				step{answers(result[head-1 : head]), "to client: part of RESULT", router.Replying},
				step{answers(result[head:]), "to client: rest of RESULT; free leg 2 as served", router.Idle})},
			{name: "too slow a request", reason: router.ReasonRequestTimeout, steps: inPool(m,
				step{says(invoke[:head]), "need", router.Idle},
				step{waits(requestTime), "end client", router.Lingering})},
			{name: "large request", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m,
				step{says(big[:100]), "to leg 2: part of INVOKE", router.Sending},
				step{moves(true, big[100:500]), "to leg 2: part of INVOKE", router.Sending},
				step{says(big[500:]), "to leg 2: rest of INVOKE", router.Waiting}, reply)},
			{name: "large reply", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call,
				step{answers(bigReply[:100]), "to client: part of RESULT", router.Replying},
				step{moves(false, bigReply[100:2000]), "to client: part of RESULT", router.Replying},
				step{moves(false, bigReply[2000:]), "to client: rest of RESULT; free leg 2 as served", router.Idle})},
			{name: "reply before the request's end", reason: router.ReasonAborted, calls: "exception=1", steps: inPool(m,
				step{says(big[:100]), "to leg 2: part of INVOKE", router.Sending},
				step{answers(m.raised()), "to client: RESULT", router.Sending},
				step{says(big[100:]), "to leg 2: rest of INVOKE; to leg 2: PING; release leg 2 as doubtful", router.Idle})},
			{name: "reply before the request is written", reason: router.ReasonAborted, calls: "exception=1", steps: inPool(m,
				step{says(big[:100]), "to leg 2: part of INVOKE", router.Sending},
				step{(*harness).deafens, "", router.Sending},
				step{says(big[100:]), "to leg 2, perhaps", router.Sending},
				step{answers(m.raised()), "to client: RESULT", router.Sending},
				step{(*harness).ships, "to leg 2: rest of INVOKE; to leg 2: PING; release leg 2 as doubtful", router.Idle})},
			{name: "the client is slow to read", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call,
				step{(*harness).slows, "", router.Waiting},
				step{answers(result), "to client: RESULT", router.Replying},
				step{(*harness).reads, "free leg 2 as served", router.Idle})},

			// What a client says meanwhile waits.
			{name: "one call at a time", reason: router.ReasonAborted, calls: "ok=3", steps: inPool(m,
				step{says(invoke, m.ping(), invoke), "to leg 2: INVOKE; pause", router.Waiting},
				step{waits(time.Hour), "", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 2 as served; resume; to leg 3: PING; pause", router.Waiting},
				step{answers(m.ping()), "to client: PING; free leg 3 as served; resume; to leg 4: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 4 as served", router.Idle})},
			{name: "half a request behind one", reason: router.ReasonAborted, calls: "ok=2", steps: inPool(m, call,
				step{says(invoke[:30]), "need", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 2 as served", router.Idle},
				step{says(invoke[30:]), "to leg 3: INVOKE", router.Waiting},
				again[1])},
			{name: "half a request behind one, too slow", reason: router.ReasonRequestTimeout, calls: "ok=1", steps: inPool(m, call,
				step{says(invoke[:30]), "need", router.Waiting},
				step{waits(requestTime), "", router.Waiting},
				step{says(invoke[30:]), "", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 2 as served; end client", router.Lingering})},
			{name: "garbage behind a call, which is answered", reason: router.ReasonNotPyro, err: wire.ErrNotPyro, calls: "ok=1", steps: inPool(m,
				step{says(invoke, m.garbage()), "to leg 2: INVOKE; pause", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 2 as served; resume; end client", router.Lingering})},
			{name: "garbage when idle", reason: router.ReasonNotPyro, err: wire.ErrNotPyro, steps: inPool(m,
				step{says(m.garbage()), "end client", router.Lingering})},

			// Bad replies.
			{name: "PING for an INVOKE", reason: router.ReasonGarbled, err: errors.New("message out of turn"), calls: "backend_protocol_error=1",
				failures: []string{"INVOKE backend_protocol_error"}, steps: inPool(m, call,
					step{answers(m.ping()), "free leg 2 as garbled; end client", router.Lingering})},
			{name: "another call's reply", reason: router.ReasonGarbled, err: errors.New("sequence number 8, not 7"), calls: "backend_protocol_error=1",
				failures: []string{"INVOKE backend_protocol_error"}, steps: inPool(m, call,
					step{answers(m.otherSeq(m.message(wire.Result, 50))), "free leg 2 as garbled; end client", router.Lingering})},
			{name: "another PING's answer", reason: router.ReasonGarbled, err: errors.New("message out of turn"), calls: "backend_protocol_error=1",
				failures: []string{"PING backend_protocol_error"}, steps: inPool(m,
					step{says(m.ping()), "to leg 2: PING", router.Waiting},
					step{answers(m.otherSeq(m.message(wire.Ping, 4))), "free leg 2 as garbled; end client", router.Lingering})},
			{name: "garbage for a reply", reason: router.ReasonGarbled, err: wire.ErrNotPyro, calls: "backend_protocol_error=1",
				failures: []string{"INVOKE backend_protocol_error"}, steps: inPool(m, call,
					step{answers(m.garbage()), "free leg 2 as garbled; end client", router.Lingering})},
			{name: "garbage behind a reply", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call,
				step{answers(result, m.garbage()), "to client: RESULT; free leg 2 as garbled", router.Idle})},
			{name: "a second reply, to nobody", reason: router.ReasonAborted, calls: "ok=1", steps: inPool(m, call, reply,
				step{answers(result), "", router.Idle},
				step{says(invoke), "pause; acquire leg 3", router.Acquiring})},
			{name: "a second reply behind the first, which nobody reads", reason: router.ReasonClientReset, err: errPipe, calls: "ok=1", steps: inPool(m, call,
				step{clientUnwritable, "", router.Waiting},
				step{answers(result, result), "free leg 2 as served", router.Idle},
				step{waits(lingerTime), "close", router.Closed})},
		}
	})
}

// TestPoolExceptions: behind some exceptions a daemon closes the connection, so that
// nobody may have it until a PING of ours is answered.
func TestPoolExceptions(t *testing.T) {
	runPool(t, func(m messages) []scenario {
		oneway, pong, invoke, result, raised := m.oneway(), m.ownPong(), m.invoke(), m.result(), m.raised()
		call := step{says(invoke), "to leg 2: INVOKE", router.Waiting}
		raises := step{answers(raised), "to client: RESULT; to leg 2: PING; release leg 2 as doubtful", router.Idle}
		elsewhere := step{says(invoke), "pause; acquire leg 3", router.Acquiring}
		again := []step{
			{says(invoke), "to leg 3: INVOKE", router.Waiting},
			{answers(result), "to client: RESULT; free leg 3 as served", router.Idle},
		}
		return []scenario{
			{name: "answered", reason: router.ReasonAborted, calls: "exception=1 ok=1", steps: inPool(m, call, raises,
				step{answers(pong), "", router.Idle}, again[0], again[1])},
			{name: "in pieces", reason: router.ReasonAborted, calls: "exception=1", steps: inPool(m, call,
				step{answers(raised[:50]), "to client: part of RESULT", router.Replying},
				step{answers(raised[50:]), "to client: rest of RESULT; to leg 2: PING; release leg 2 as doubtful", router.Idle})},
			{name: "the client leaves before it is written", reason: router.ReasonClientReset, err: errReset, calls: "exception=1", steps: inPool(m, call,
				step{(*harness).slows, "", router.Waiting},
				step{answers(raised), "to client: RESULT", router.Replying},
				step{clientReset, "free leg 2 as spent; close", router.Closed})},
			{name: "nor may the same client", reason: router.ReasonAborted, calls: "exception=1", steps: inPool(m, call, raises,
				elsewhere)},
			{name: "closed", reason: router.ReasonAborted, calls: "exception=1", steps: inPool(m, call, raises,
				step{legEOF, "", router.Idle}, elsewhere)},
			{name: "behind a oneway", reason: router.ReasonAborted, calls: "exception=1 ok=1 oneway=1", steps: inPool(m,
				step{says(oneway), "to leg 2: INVOKE; to leg 2: PING; release leg 2 as resting", router.Idle}, again[0],
				step{answers(pong, raised), "to client: RESULT; to leg 3: PING; release leg 3 as doubtful", router.Idle},
				step{answers(pong), "", router.Idle},
				step{says(invoke), "to leg 4: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 4 as served", router.Idle})},
			{name: "with a stream", reason: router.ReasonClientClosed, calls: "exception=1 ok=1", steps: inPool(m, call,
				step{answers(m.message(wire.Result, 20, wire.ItemStream).Bytes()), "to client: RESULT", router.Idle}, call,
				step{answers(raised), "to client: RESULT", router.Idle},
				step{clientEOF, "free leg 2 as spent; close", router.Closed})},
		}
	})
}

// TestPoolOneways: the connection of a oneway call rests until a PING of ours is
// answered.
func TestPoolOneways(t *testing.T) {
	runPool(t, func(m messages) []scenario {
		oneway, pong, invoke, result := m.oneway(), m.ownPong(), m.invoke(), m.result()
		bigOneway := m.message(wire.Invoke, 1000, wire.Oneway).Bytes()
		sent := step{says(oneway), "to leg 2: INVOKE; to leg 2: PING; release leg 2 as resting", router.Idle}
		elsewhere := step{says(invoke), "pause; acquire leg 3", router.Acquiring}
		mine := step{says(invoke), "to leg 3: INVOKE", router.Waiting}
		reply := step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle}
		// Those that another client's call cannot use.
		other := func(asks string) step {
			return step{func(h *harness) {
				o := newHarness(h.t, h.w)
				o.says(m.connect())
				o.taken()
				o.says(invoke)
				h.note("%s", o.taken())
				o.end()
			}, asks, router.Idle}
		}
		return []scenario{
			{name: "answered", reason: router.ReasonAborted, calls: "ok=1 oneway=1", steps: inPool(m, sent,
				step{answers(pong), "", router.Idle}, mine, reply)},
			{name: "nobody else gets it", reason: router.ReasonAborted, calls: "aborted=1 oneway=1", steps: inPool(m, sent,
				other("pause; acquire leg 1"),
				step{answers(pong), "", router.Idle},
				other("to leg 1: INVOKE"))},
			{name: "the next call comes behind it", reason: router.ReasonAborted, calls: "ok=2 oneway=1", steps: inPool(m, sent, mine,
				step{answers(pong), "", router.Waiting}, reply,
				step{says(invoke), "to leg 4: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 4 as served", router.Idle})},
			{name: "pong and reply in one", reason: router.ReasonAborted, calls: "ok=1 oneway=1", steps: inPool(m, sent, mine,
				step{answers(pong, result), "to client: RESULT; free leg 3 as served", router.Idle})},
			{name: "pong in pieces", reason: router.ReasonAborted, calls: "ok=1 oneway=1", steps: inPool(m, sent, mine,
				step{answers(pong[:9]), "need", router.Waiting},
				step{answers(pong[9 : len(pong)-1]), "need", router.Waiting},
				step{answers(pong[len(pong)-1:], result[:50]), "to client: part of RESULT", router.Replying},
				step{answers(result[50:]), "to client: rest of RESULT; free leg 3 as served", router.Idle})},
			{name: "pong in pieces for nobody", reason: router.ReasonAborted, calls: "ok=1 oneway=1", steps: inPool(m, sent,
				step{answers(pong[:9]), "", router.Idle},
				step{answers(pong[9:]), "", router.Idle}, mine, reply)},
			{name: "half a pong, then a call", reason: router.ReasonAborted, calls: "ok=1 oneway=1", steps: inPool(m, sent,
				step{answers(pong[:len(pong)-1]), "", router.Idle}, mine,
				step{answers(pong[len(pong)-1:], result), "to client: RESULT; free leg 3 as served", router.Idle})},
			{name: "a PING of the client's behind it", reason: router.ReasonAborted, calls: "ok=1 oneway=1", steps: inPool(m, sent,
				step{says(m.ping()), "to leg 3: PING", router.Waiting},
				step{answers(pong, m.ping()), "to client: PING; free leg 3 as served", router.Idle})},
			{name: "three of them", reason: router.ReasonAborted, calls: "ok=1 oneway=3", steps: inPool(m, sent,
				step{says(oneway), "to leg 3: INVOKE; to leg 3: PING; release leg 3 as resting", router.Idle},
				step{answers(pong), "", router.Idle},
				step{says(oneway), "to leg 4: INVOKE; to leg 4: PING; release leg 4 as resting", router.Idle},
				step{answers(pong, pong[:3]), "", router.Idle},
				other("pause; acquire leg 1"),
				step{answers(pong[3:]), "", router.Idle},
				step{says(invoke), "to leg 5: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT; free leg 5 as served", router.Idle})},
			{name: "two at once", reason: router.ReasonAborted, calls: "oneway=2", steps: inPool(m,
				step{says(oneway, oneway), "to leg 2: INVOKE; pause; to leg 2: PING; release leg 2 as resting; resume; " +
					"to leg 3: INVOKE; to leg 3: PING; release leg 3 as resting", router.Idle})},
			{name: "large", reason: router.ReasonAborted, calls: "oneway=1", steps: inPool(m,
				step{says(bigOneway[:100]), "to leg 2: part of INVOKE", router.Sending},
				step{moves(true, bigOneway[100:]), "to leg 2: rest of INVOKE; to leg 2: PING; release leg 2 as resting", router.Idle})},
			{name: "the daemon is slow to read", reason: router.ReasonAborted, calls: "aborted=1 oneway=1",
				failures: []string{"INVOKE aborted"}, steps: inPool(m,
					step{(*harness).deafens, "", router.Idle},
					step{says(oneway, invoke), "to leg 2, perhaps; pause", router.Sending},
					step{(*harness).ships, "to leg 2: INVOKE; to leg 2: PING; release leg 2 as resting; resume; to leg 3: INVOKE", router.Waiting})},
			{name: "the connection ends at rest", reason: router.ReasonAborted, calls: "oneway=1", steps: inPool(m, sent,
				step{legEOF, "", router.Idle}, elsewhere)},
			{name: "garbage for a pong", reason: router.ReasonAborted, calls: "oneway=1", steps: inPool(m, sent,
				step{answers(m.garbage()), "", router.Idle}, elsewhere)},
			{name: "the client leaves", reason: router.ReasonClientClosed, calls: "oneway=1", steps: inPool(m, sent,
				step{clientEOF, "close", router.Closed},
				step{answers(pong), "", router.Closed})},
			{name: "the client leaves behind it", reason: router.ReasonClientClosed, calls: "oneway=1", steps: inPool(m,
				step{(*harness).deafens, "", router.Idle},
				step{says(oneway), "to leg 2, perhaps", router.Sending},
				step{clientEOF, "", router.Sending},
				step{(*harness).ships, "to leg 2: INVOKE; to leg 2: PING; release leg 2 as resting; close", router.Closed})},
		}
	})
}

// TestPoolSigned: where messages are signed, no PING of ours may be sent. The
// client keeps the connection on which its oneway call may still run.
func TestPoolSigned(t *testing.T) {
	m := messages{wire.V48}
	signed := func(msg pyrotest.Message) []byte { return m.signed(msg).Bytes() }
	connect := signed(m.handshake())
	oneway := signed(m.message(wire.Invoke, 10, wire.Oneway))
	invoke, result := signed(m.message(wire.Invoke, 10)), signed(m.message(wire.Result, 10))
	begin := func(steps ...step) []step {
		return append([]step{
			{says(connect), "acquire leg 1", router.Acquiring},
			{connects, "free leg 1 as served; to client: CONNECTOK", router.Idle},
			{says(oneway), "to leg 2: INVOKE", router.Idle},
		}, steps...)
	}
	scenarios := []scenario{
		{name: "the next call is behind it", reason: router.ReasonAborted, calls: "ok=2 oneway=1", steps: begin(
			step{says(invoke), "to leg 2: INVOKE", router.Waiting},
			step{answers(result), "to client: RESULT; free leg 2 as served", router.Idle},
			step{says(invoke), "to leg 3: INVOKE", router.Waiting},
			step{answers(result), "to client: RESULT; free leg 3 as served", router.Idle})},
		{name: "another oneway", reason: router.ReasonAborted, calls: "ok=1 oneway=2", steps: begin(
			step{says(oneway), "to leg 2: INVOKE", router.Idle},
			step{says(invoke), "to leg 2: INVOKE", router.Waiting},
			step{answers(result), "to client: RESULT; free leg 2 as served", router.Idle})},
		{name: "an exception", reason: router.ReasonAborted, calls: "exception=1 oneway=1", steps: begin(
			step{says(invoke), "to leg 2: INVOKE", router.Waiting},
			step{answers(signed(m.message(wire.Result, 10, wire.Exception))), "to client: RESULT; free leg 2 as spent", router.Idle})},
		{name: "no other call", reason: router.ReasonAborted, calls: "oneway=1", steps: begin(
			step{waits(streamIdleTime - 1), "", router.Idle},
			step{waits(1), "free leg 2 as abandoned", router.Idle})},
		{name: "the client leaves", reason: router.ReasonClientClosed, calls: "oneway=1", steps: begin(
			step{clientEOF, "free leg 2 as abandoned; close", router.Closed})},
		{name: "a stream", reason: router.ReasonClientClosed, calls: "ok=1 oneway=2", steps: begin(
			step{says(invoke), "to leg 2: INVOKE", router.Waiting},
			step{answers(signed(m.message(wire.Result, 20, wire.ItemStream))), "to client: RESULT", router.Idle},
			step{says(oneway), "to leg 2: INVOKE", router.Idle},
			step{clientEOF, "free leg 2 as spent; close", router.Closed})},
		{name: "as many are held as may be", alter: noPins, reason: router.ReasonAborted, calls: "oneway=1", steps: []step{
			{says(connect), "acquire leg 1", router.Acquiring},
			{connects, "free leg 1 as served; to client: CONNECTOK", router.Idle},
			{says(oneway), "to leg 2: INVOKE; free leg 2 as abandoned", router.Idle}}},
	}
	for _, s := range scenarios {
		s.call = true
		t.Run(s.name, func(t *testing.T) { s.run(t) })
	}
}
