package router_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestCalls: what is said once an endpoint has been found.
func TestCalls(t *testing.T) {
	run(t, func(m messages) []scenario {
		var (
			head   = m.d.HeadLen()
			invoke = m.invoke()
			result = m.result()
			big    = m.big()
			// The most that goes on whole, and the least that does not.
			stored   = m.message(wire.Invoke, int(testLimits.StoreAndForward)-head).Bytes()
			streamed = m.message(wire.Invoke, int(testLimits.StoreAndForward)-head+1).Bytes()
			bigReply = m.message(wire.Result, 3000).Bytes()
			oneways  = []byte{}
		)
		for range 10 {
			oneways = append(oneways, m.oneway()...)
		}
		call := step{says(invoke), "to leg 1: INVOKE", router.Waiting}
		reply := step{answers(result), "to client: RESULT", router.Idle}
		garbled := errors.New("message")
		return []scenario{
			{name: "call", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m, call, reply)},
			{name: "exception", reason: router.ReasonAborted, calls: "exception=1", steps: opened(m, call,
				step{answers(m.raised()), "to client: RESULT", router.Idle})},
			{name: "item stream is no exception", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m, call,
				step{answers(m.message(wire.Result, 9, wire.Exception, wire.ItemStream).Bytes()), "to client: RESULT", router.Idle})},
			{name: "batch", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m,
				step{says(m.message(wire.Invoke, 40, wire.Batch).Bytes()), "to leg 1: INVOKE", router.Waiting}, reply)},
			{name: "ping", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m,
				step{says(m.ping()), "to leg 1: PING", router.Waiting},
				step{answers(m.ping()), "to client: PING", router.Idle})},
			{name: "ping with the oneway flag is answered", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m,
				step{says(m.message(wire.Ping, 4, wire.Oneway).Bytes()), "to leg 1: PING", router.Waiting},
				step{answers(m.ping()), "to client: PING", router.Idle})},
			{name: "oneway", reason: router.ReasonAborted, calls: "oneway=1", steps: opened(m,
				step{says(m.oneway()), "to leg 1: INVOKE", router.Idle})},
			{name: "empty messages", reason: router.ReasonAborted, calls: "ok=2", steps: opened(m,
				step{says(m.message(wire.Invoke, 0).Bytes()), "to leg 1: INVOKE", router.Waiting},
				step{answers(m.message(wire.Result, 0).Bytes()), "to client: RESULT", router.Idle},
				step{says(m.message(wire.Ping, 0).Bytes()), "to leg 1: PING", router.Waiting},
				step{answers(m.message(wire.Ping, 0).Bytes()), "to client: PING", router.Idle})},
			{name: "a call takes as long as it takes", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m, call,
				step{waits(24 * time.Hour), "", router.Waiting}, reply)},

			// Requests go on when they are complete, or large.
			{name: "small request in pieces", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m,
				step{says(invoke[:5]), "need", router.Idle},
				step{says(invoke[5:head]), "need", router.Idle},
				step{says(invoke[head : len(invoke)-1]), "need", router.Idle},
				step{says(invoke[len(invoke)-1:]), "to leg 1: INVOKE", router.Waiting}, reply)},
			{name: "largest stored request", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m,
				step{says(stored[:len(stored)-1]), "need", router.Idle},
				step{says(stored[len(stored)-1:]), "to leg 1: INVOKE", router.Waiting}, reply)},
			{name: "smallest streamed request", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m,
				step{says(streamed[:head-1]), "need", router.Idle},
				step{says(streamed[head-1 : head]), "to leg 1: part of INVOKE", router.Sending},
				step{says(streamed[head:100]), "to leg 1: part of INVOKE", router.Sending},
				step{says(streamed[100:]), "to leg 1: rest of INVOKE", router.Waiting}, reply)},
			{name: "streamed request waits for its annotations", reason: router.ReasonAborted, calls: "ok=1", steps: func() []step {
				msg := m.message(wire.Invoke, 1000)
				msg.Chunks = []wire.Chunk{{ID: [4]byte{'T', 'E', 'S', 'T'}, Value: make([]byte, 200)}}
				b := msg.Bytes()
				annotated := len(b) - 1000
				return opened(m,
					step{says(b[:head+100]), "need", router.Idle},
					step{says(b[head+100 : annotated-1]), "need", router.Idle},
					step{says(b[annotated-1 : annotated]), "to leg 1: part of INVOKE", router.Sending},
					step{says(b[annotated:]), "to leg 1: rest of INVOKE", router.Waiting}, reply)
			}()},
			{name: "moved request", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m,
				step{says(big[:100]), "to leg 1: part of INVOKE", router.Sending},
				step{moves(true, big[100:500]), "to leg 1: part of INVOKE", router.Sending},
				step{moves(true, big[500:]), "to leg 1: rest of INVOKE", router.Waiting}, reply)},
			{name: "moved oneway", reason: router.ReasonAborted, calls: "oneway=1", steps: func() []step {
				b := m.message(wire.Invoke, 1000, wire.Oneway).Bytes()
				return opened(m,
					step{says(b[:100]), "to leg 1: part of INVOKE", router.Sending},
					step{moves(true, b[100:]), "to leg 1: rest of INVOKE", router.Idle})
			}()},
			{name: "one request and a half", reason: router.ReasonAborted, calls: "ok=2", steps: opened(m,
				step{says(invoke, invoke[:30]), "to leg 1: INVOKE; need", router.Waiting},
				step{says(invoke[30:]), "to leg 1: INVOKE", router.Waiting},
				step{answers(result), "to client: RESULT", router.Waiting}, reply)},

			// Replies go on as they come.
			{name: "reply in pieces", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m, call,
				step{answers(result[:head-1]), "need", router.Waiting},
				step{answers(result[head-1 : head]), "to client: part of RESULT", router.Replying},
				step{answers(result[head : head+9]), "to client: part of RESULT", router.Replying},
				step{answers(result[head+9:]), "to client: rest of RESULT", router.Idle})},
			{name: "moved reply", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m, call,
				step{answers(bigReply[:100]), "to client: part of RESULT", router.Replying},
				step{moves(false, bigReply[100:2000]), "to client: part of RESULT", router.Replying},
				step{moves(false, bigReply[2000:]), "to client: rest of RESULT", router.Idle})},
			{name: "reply before the request's end", reason: router.ReasonAborted, calls: "exception=1 ok=1", steps: opened(m,
				step{says(big[:100]), "to leg 1: part of INVOKE", router.Sending},
				step{answers(m.raised()), "to client: RESULT", router.Sending},
				step{says(big[100:]), "to leg 1: rest of INVOKE", router.Idle},
				call, reply)},

			// Pipelining.
			{name: "four at once", reason: router.ReasonAborted, calls: "ok=4", steps: opened(m,
				step{says(invoke, invoke, m.ping(), invoke), "to leg 1: INVOKE, INVOKE, PING, INVOKE", router.Waiting},
				step{answers(result, result), "to client: RESULT, RESULT", router.Waiting},
				step{answers(m.ping(), result), "to client: PING, RESULT", router.Idle})},
			{name: "the fifth waits", reason: router.ReasonAborted, calls: "aborted=4 ok=2",
				failures: []string{"INVOKE aborted", "INVOKE aborted", "INVOKE aborted", "INVOKE aborted"}, steps: opened(m,
					step{says(invoke, invoke, invoke, invoke, invoke, invoke), "to leg 1: INVOKE, INVOKE, INVOKE, INVOKE; pause", router.Waiting},
					step{answers(result), "to client: RESULT; resume; to leg 1: INVOKE; pause", router.Waiting},
					step{answers(result), "to client: RESULT; resume; to leg 1: INVOKE", router.Waiting})},
			{name: "oneways do not wait", reason: router.ReasonAborted, calls: "aborted=4 oneway=10",
				failures: []string{"INVOKE aborted", "INVOKE aborted", "INVOKE aborted", "INVOKE aborted"}, steps: opened(m,
					step{says(invoke, invoke, invoke, invoke), "to leg 1: INVOKE, INVOKE, INVOKE, INVOKE", router.Waiting},
					step{says(oneways), "to leg 1: INVOKE, INVOKE, INVOKE, INVOKE, INVOKE, INVOKE, INVOKE, INVOKE, INVOKE, INVOKE", router.Waiting})},
			{name: "a request that waits is not late", reason: router.ReasonAborted, calls: "aborted=4 ok=1",
				failures: []string{"INVOKE aborted", "INVOKE aborted", "INVOKE aborted", "INVOKE aborted"}, steps: opened(m,
					step{says(invoke, invoke, invoke, invoke, invoke[:30]), "to leg 1: INVOKE, INVOKE, INVOKE, INVOKE; need", router.Waiting},
					step{says(invoke[30:]), "pause", router.Waiting},
					step{waits(time.Hour), "", router.Waiting},
					step{answers(result), "to client: RESULT; resume; to leg 1: INVOKE", router.Waiting})},
			{name: "endpoint gone while one waits", reason: router.ReasonBackendClosed, calls: "backend_closed=4",
				failures: []string{"INVOKE backend_closed", "INVOKE backend_closed", "INVOKE backend_closed", "INVOKE backend_closed"}, steps: opened(m,
					step{says(invoke, invoke, invoke, invoke, invoke), "to leg 1: INVOKE, INVOKE, INVOKE, INVOKE; pause", router.Waiting},
					step{legEOF, "release leg 1 as broken; resume; end client", router.Lingering})},

			// Bad requests.
			{name: "bad header when idle", reason: router.ReasonCheck, err: wire.ErrCheck, steps: opened(m,
				step{says(spoil(invoke, head-1)), "release leg 1 as served; end client", router.Lingering})},
			{name: "not Pyro any more", reason: router.ReasonNotPyro, err: wire.ErrNotPyro, steps: opened(m,
				step{says(m.garbage()[:5]), "need", router.Idle},
				step{says(m.garbage()[5:6]), "release leg 1 as served; end client", router.Lingering})},
			{name: "the other dialect", reason: router.ReasonVersion, steps: opened(m,
				step{says(messages{other(m.d)}.invoke()), "release leg 1 as served; end client", router.Lingering})},
			{name: "CONNECT again", reason: router.ReasonOutOfTurn, steps: opened(m,
				step{says(m.connect()), "release leg 1 as served; end client", router.Lingering})},
			{name: "RESULT from a client", reason: router.ReasonOutOfTurn, steps: opened(m,
				step{says(m.result()), "release leg 1 as served; end client", router.Lingering})},
			{name: "request larger than the limit", reason: router.ReasonMessageSize, steps: opened(m,
				step{says(m.head(wire.Invoke, 0, 4097)), "release leg 1 as served; end client", router.Lingering})},
			{name: "too many annotations", reason: router.ReasonAnnotationsSize, steps: opened(m,
				step{says(m.head(wire.Invoke, 257, 1)), "release leg 1 as served; end client", router.Lingering})},
			{name: "annotations overrun", reason: router.ReasonAnnotations, err: wire.ErrAnnotations, steps: opened(m,
				step{says(m.overrun(wire.Invoke)), "release leg 1 as served; end client", router.Lingering})},
			{name: "bad behind a oneway", reason: router.ReasonNotPyro, err: wire.ErrNotPyro, calls: "oneway=1", steps: opened(m,
				step{says(m.oneway(), m.garbage()), "to leg 1: INVOKE; release leg 1 as served; end client", router.Lingering})},
			{name: "bad behind a call, which is answered", reason: router.ReasonNotPyro, err: wire.ErrNotPyro, calls: "ok=1", steps: opened(m,
				step{says(invoke, m.garbage()), "to leg 1: INVOKE; end leg 1", router.Waiting},
				step{says(invoke), "", router.Waiting},
				step{answers(result), "to client: RESULT; release leg 1 as served; end client", router.Lingering})},
			{name: "bad when it is complete, behind a call", reason: router.ReasonCheck, err: wire.ErrCheck, calls: "ok=1", steps: opened(m, call,
				step{says(invoke[:10]), "need", router.Waiting},
				step{says(spoil(invoke, head-1)[10:]), "end leg 1", router.Waiting},
				step{waits(time.Hour), "", router.Waiting},
				step{answers(result), "to client: RESULT; release leg 1 as served; end client", router.Lingering})},

			// Slow requests.
			{name: "request timeout", reason: router.ReasonRequestTimeout, steps: opened(m,
				step{says(invoke[:5]), "need", router.Idle},
				step{waits(requestTime - 1), "", router.Idle},
				step{says(invoke[5:30]), "need", router.Idle},
				step{waits(1), "release leg 1 as served; end client", router.Lingering})},
			{name: "request in time", reason: router.ReasonAborted, calls: "ok=1", steps: opened(m,
				step{says(invoke[:5]), "need", router.Idle},
				step{waits(requestTime - 1), "", router.Idle},
				step{says(invoke[5:]), "to leg 1: INVOKE", router.Waiting},
				step{waits(time.Hour), "", router.Waiting}, reply)},
			{name: "each request has its own time", reason: router.ReasonRequestTimeout, calls: "oneway=1", steps: opened(m,
				step{says(m.oneway()[:5]), "need", router.Idle},
				step{waits(requestTime - 1), "", router.Idle},
				step{says(m.oneway()[5:], invoke[:5]), "to leg 1: INVOKE; need", router.Idle},
				step{waits(requestTime - 1), "", router.Idle},
				step{waits(1), "release leg 1 as served; end client", router.Lingering})},
			{name: "request timeout behind a call, which is answered", reason: router.ReasonRequestTimeout, calls: "ok=1", steps: opened(m,
				step{says(invoke, invoke[:5]), "to leg 1: INVOKE; need", router.Waiting},
				step{waits(requestTime), "end leg 1", router.Waiting},
				step{says(invoke[5:]), "", router.Waiting},
				step{answers(result), "to client: RESULT; release leg 1 as served; end client", router.Lingering})},

			// Bad replies.
			{name: "unsolicited reply", reason: router.ReasonGarbled, err: garbled, steps: opened(m,
				step{answers(result), "release leg 1 as garbled; end client", router.Lingering})},
			{name: "reply to a oneway", reason: router.ReasonGarbled, err: garbled, calls: "oneway=1", steps: opened(m,
				step{says(m.oneway()), "to leg 1: INVOKE", router.Idle},
				step{answers(result), "release leg 1 as garbled; end client", router.Lingering})},
			{name: "two replies to a call", reason: router.ReasonGarbled, err: garbled, calls: "ok=1", steps: opened(m, call,
				step{answers(result, result), "to client: RESULT; release leg 1 as garbled; end client", router.Lingering})},
			{name: "RESULT for a PING", reason: router.ReasonGarbled, err: garbled, calls: "backend_protocol_error=1",
				failures: []string{"PING backend_protocol_error"}, steps: opened(m,
					step{says(m.ping()), "to leg 1: PING", router.Waiting},
					step{answers(result), "release leg 1 as garbled; end client", router.Lingering})},
			{name: "PING for an INVOKE", reason: router.ReasonGarbled, err: garbled, calls: "backend_protocol_error=1",
				failures: []string{"INVOKE backend_protocol_error"}, steps: opened(m, call,
					step{answers(m.ping()), "release leg 1 as garbled; end client", router.Lingering})},
			{name: "reply in the other dialect", reason: router.ReasonGarbled, err: garbled, calls: "backend_protocol_error=1",
				failures: []string{"INVOKE backend_protocol_error"}, steps: opened(m, call,
					step{answers(messages{other(m.d)}.result()), "release leg 1 as garbled; end client", router.Lingering})},
			{name: "oversized reply", reason: router.ReasonGarbled, err: garbled, calls: "backend_protocol_error=1",
				failures: []string{"INVOKE backend_protocol_error"}, steps: opened(m, call,
					step{answers(m.head(wire.Result, 0, 4097)), "release leg 1 as garbled; end client", router.Lingering})},
			{name: "large annotations of a reply are no harm", reason: router.ReasonAborted, calls: "aborted=1",
				failures: []string{"INVOKE aborted"}, steps: opened(m, call,
					step{answers(m.head(wire.Result, 4000, 96)), "to client: part of RESULT", router.Replying})},
			{name: "garbage for a reply", reason: router.ReasonGarbled, err: wire.ErrNotPyro, calls: "backend_protocol_error=1",
				failures: []string{"INVOKE backend_protocol_error"}, steps: opened(m, call,
					step{answers(m.garbage()), "release leg 1 as garbled; end client", router.Lingering})},
			{name: "garbage behind a reply", reason: router.ReasonGarbled, err: wire.ErrNotPyro, calls: "backend_protocol_error=1 ok=1",
				failures: []string{"INVOKE backend_protocol_error"}, steps: opened(m, call, call,
					step{answers(result, m.garbage()), "to client: RESULT; release leg 1 as garbled; end client", router.Lingering})},
		}
	})
}
