package router_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

const refusal = "to client: CONNECTFAIL; end client"

// TestHandshake: from the first byte to the answer of an endpoint.
func TestHandshake(t *testing.T) {
	run(t, func(m messages) []scenario {
		connect := m.connect()
		half := len(connect) / 2
		acquiring := step{says(connect), "acquire leg 1", router.Acquiring}
		greeting := step{connects, "to leg 1: CONNECT", router.Greeting}
		// failover expects leg 1 to be given up, and the next to answer.
		failover := func(name string, gives event, as string) scenario {
			return scenario{name: name, reason: router.ReasonAborted, steps: []step{
				acquiring, greeting,
				{gives, "release leg 1 as " + as + "; acquire leg 2", router.Acquiring},
				{connects, "to leg 2: CONNECT", router.Greeting},
				{answers(m.ok()), "to client: CONNECTOK", router.Idle},
			}}
		}
		return []scenario{
			{name: "one piece", reason: router.ReasonAborted, steps: opened(m)},
			{name: "two pieces", reason: router.ReasonAborted, steps: []step{
				{says(connect[:half]), "need", router.Handshake},
				{says(connect[half:]), "acquire leg 1", router.Acquiring},
			}},
			{name: "in time", reason: router.ReasonAborted, steps: []step{
				{says(connect[:half]), "need", router.Handshake},
				{waits(handshakeTime - 1), "", router.Handshake},
				{says(connect[half:]), "acquire leg 1", router.Acquiring},
				{waits(time.Hour), "", router.Acquiring}, // the dialer has times of its own
			}},
			{name: "requests behind CONNECT wait", reason: router.ReasonAborted, calls: "aborted=1 oneway=1",
				failures: []string{"INVOKE aborted"}, steps: []step{
					{says(connect, m.oneway(), m.invoke()), "pause; acquire leg 1", router.Acquiring},
					greeting,
					{answers(m.ok()), "to client: CONNECTOK; resume; to leg 1: INVOKE, INVOKE", router.Waiting},
				}},
			{name: "requests while greeting wait", reason: router.ReasonAborted, calls: "aborted=1",
				failures: []string{"INVOKE aborted"}, steps: []step{
					acquiring, greeting,
					{says(m.invoke()), "pause", router.Greeting},
					{answers(m.ok()[:20]), "need", router.Greeting},
					{answers(m.ok()[20:]), "to client: CONNECTOK; resume; to leg 1: INVOKE", router.Waiting},
				}},

			// The client's fault.
			{name: "not Pyro", reason: router.ReasonNotPyro, err: wire.ErrNotPyro, steps: []step{
				{says(m.garbage()[:5]), "need", router.Handshake},
				{says(m.garbage()[5:6]), refusal, router.Lingering},
				{says(m.garbage()[6:]), "", router.Lingering},
				{clientEOF, "close", router.Closed},
			}},
			{name: "wrong version", reason: router.ReasonVersion, err: wire.ErrVersion, steps: []step{
				{says([]byte("PYRO\x00")), "need", router.Handshake},
				{says([]byte("\x2f")), refusal, router.Lingering},
				{waits(lingerTime), "close", router.Closed},
			}},
			{name: "bad check", reason: router.ReasonCheck, err: wire.ErrCheck, steps: []step{
				{says(spoil(connect, m.d.HeadLen()-1)), refusal, router.Lingering},
			}},
			{name: "wrong type first", reason: router.ReasonOutOfTurn, steps: []step{
				{says(m.invoke()), refusal, router.Lingering},
			}},
			{name: "larger than a message", reason: router.ReasonMessageSize, steps: []step{
				{says(m.head(wire.Connect, 0, 4097)), refusal, router.Lingering},
			}},
			{name: "larger than a handshake", reason: router.ReasonHandshakeSize, steps: []step{
				{says(m.head(wire.Connect, 0, 1025)), refusal, router.Lingering},
			}},
			{name: "too many annotations", reason: router.ReasonAnnotationsSize, steps: []step{
				{says(m.head(wire.Connect, 257, 10)), refusal, router.Lingering},
			}},
			{name: "annotations overrun", reason: router.ReasonAnnotations, err: wire.ErrAnnotations, steps: []step{
				{says(m.overrun(wire.Connect)), refusal, router.Lingering},
			}},
			{name: "silent", reason: router.ReasonHandshakeTimeout, steps: []step{
				{waits(handshakeTime - 1), "", router.Handshake},
				{waits(1), refusal, router.Lingering},
				{says(connect), "", router.Lingering},
				{waits(lingerTime - 1), "", router.Lingering},
				{waits(1), "close", router.Closed},
			}},
			{name: "slow", reason: router.ReasonHandshakeTimeout, steps: []step{
				{waits(handshakeTime - 1), "", router.Handshake},
				{says(connect[:half]), "need", router.Handshake},
				{waits(1), refusal, router.Lingering},
			}},
			{name: "EOF first", reason: router.ReasonClientClosed, steps: []step{
				{clientEOF, "close", router.Closed},
			}},
			{name: "EOF in the header", reason: router.ReasonTruncated, steps: []step{
				{says(connect[:10]), "need", router.Handshake},
				{clientEOF, "close", router.Closed},
			}},
			{name: "EOF in the message", reason: router.ReasonTruncated, steps: []step{
				{says(connect[:len(connect)-1]), "need", router.Handshake},
				{clientEOF, "close", router.Closed},
			}},
			{name: "reset", reason: router.ReasonClientReset, err: errReset, steps: []step{
				{says(connect[:10]), "need", router.Handshake},
				{clientReset, "close", router.Closed},
			}},
			{name: "reset after a refusal", reason: router.ReasonNotPyro, err: wire.ErrNotPyro, steps: []step{
				{says(m.garbage()), refusal, router.Lingering},
				{clientReset, "close", router.Closed},
			}},
			{name: "refusal cannot be written", reason: router.ReasonNotPyro, err: wire.ErrNotPyro, steps: []step{
				{says(m.garbage()), refusal, router.Lingering},
				{clientUnwritable, "", router.Lingering},
				{waits(lingerTime), "close", router.Closed},
			}},
			{name: "one too many", deny: router.ReasonSessions, reason: router.ReasonSessions, steps: []step{
				{says(connect, m.invoke()), refusal, router.Lingering},
			}},

			// No endpoint.
			{name: "no route", reason: router.ReasonNoRoute, setup: func(w *world) { w.route.Listeners = []string{"side"} },
				steps: []step{{says(connect), refusal, router.Lingering}}},
			{name: "none reachable", down: []int{1, 2}, reason: router.ReasonUnreachable, err: backend.ErrUnreachable, steps: []step{
				acquiring,
				{connects, refusal, router.Lingering},
			}},
			{name: "first refused", down: []int{1}, reason: router.ReasonAborted, steps: opened(m)},
			{name: "none reachable, requests paused", down: []int{1, 2}, reason: router.ReasonUnreachable, err: backend.ErrUnreachable, steps: []step{
				{says(connect, m.invoke()), "pause; acquire leg 1", router.Acquiring},
				{connects, "to client: CONNECTFAIL; resume; end client", router.Lingering},
			}},
			{name: "none reachable for a half-closed client", down: []int{1, 2}, reason: router.ReasonUnreachable, err: backend.ErrUnreachable, steps: []step{
				acquiring,
				{clientEOF, "", router.Acquiring},
				{connects, "to client: CONNECTFAIL; close", router.Closed},
			}},

			// The endpoint's fault: the next one's turn.
			failover("other dialect", answers(messages{other(m.d)}.ok()), "other dialect"),
			failover("garbage", answers(m.garbage()), "garbled"),
			failover("answer out of turn", answers(m.result()), "garbled"),
			failover("oversized answer", answers(m.head(wire.ConnectOK, 0, 4097)), "garbled"),
			failover("EOF", legEOF, "broken"),
			failover("reset", legReset, "broken"),
			failover("CONNECT cannot be written", legUnwritable, "broken"),
			failover("no answer", waits(answerTime), "unanswered"),
			{name: "half an answer's header, then EOF", reason: router.ReasonAborted, steps: []step{
				acquiring, greeting,
				{answers(m.ok()[:10]), "need", router.Greeting},
				{legEOF, "release leg 1 as broken; acquire leg 2", router.Acquiring},
			}},
			{name: "both fail", reason: router.ReasonUnreachable, err: backend.ErrUnreachable, steps: []step{
				acquiring, greeting,
				{legEOF, "release leg 1 as broken; acquire leg 2", router.Acquiring},
				{connects, "to leg 2: CONNECT", router.Greeting},
				{answers(m.garbage()), "release leg 2 as garbled; acquire leg 3", router.Acquiring},
				{connects, refusal, router.Lingering},
			}},
			{name: "refused by the daemon", reason: router.ReasonRefused, steps: []step{
				acquiring, greeting,
				{answers(m.fail()), "to client: CONNECTFAIL; release leg 1 as refused; end client", router.Lingering},
				{clientEOF, "close", router.Closed},
			}},
			{name: "refused in pieces, bytes behind it", reason: router.ReasonRefused, steps: []step{
				acquiring, greeting,
				{answers(m.fail()[:45]), "need", router.Greeting},
				{answers(m.fail()[45:], m.ok()), "to client: CONNECTFAIL; release leg 1 as refused; end client", router.Lingering},
			}},

			// An answer that has begun is the client's.
			{name: "EOF in the answer", reason: router.ReasonBackendClosed, steps: []step{
				acquiring, greeting,
				{answers(m.ok()[:45]), "to client: part of CONNECTOK", router.Greeting},
				{legEOF, "release leg 1 as broken; end client", router.Lingering},
			}},
			{name: "reset in the answer", reason: router.ReasonBackendReset, err: errReset, steps: []step{
				acquiring, greeting,
				{answers(m.ok()[:45]), "to client: part of CONNECTOK", router.Greeting},
				{legReset, "release leg 1 as broken; end client", router.Lingering},
			}},
			{name: "answer stalls", reason: router.ReasonGarbled, err: errors.New("did not end"), steps: []step{
				acquiring, greeting,
				{answers(m.ok()[:45]), "to client: part of CONNECTOK", router.Greeting},
				{waits(handshakeTime - 1), "", router.Greeting},
				{moves(false, m.ok()[45:46]), "to client: part of CONNECTOK", router.Greeting},
				{waits(handshakeTime), "release leg 1 as unanswered; end client", router.Lingering},
			}},
			{name: "answer comes slowly", reason: router.ReasonAborted, steps: []step{
				acquiring, greeting,
				{answers(m.ok()[:45]), "to client: part of CONNECTOK", router.Greeting},
				{waits(handshakeTime - 1), "", router.Greeting},
				{answers(m.ok()[45:50]), "to client: part of CONNECTOK", router.Greeting},
				{waits(handshakeTime - 1), "", router.Greeting},
				{answers(m.ok()[50:]), "to client: rest of CONNECTOK", router.Idle},
				{waits(time.Hour), "", router.Idle},
			}},
			{name: "client unwritable in the answer", reason: router.ReasonClientReset, err: errPipe, steps: []step{
				acquiring, greeting,
				{answers(m.ok()[:45]), "to client: part of CONNECTOK", router.Greeting},
				{clientUnwritable, "", router.Greeting},
				{waits(lingerTime), "release leg 1 as served; close", router.Closed},
			}},
			{name: "endpoint unwritable in the answer", reason: router.ReasonBackendReset, err: errPipe, steps: []step{
				acquiring, greeting,
				{answers(m.ok()[:45]), "to client: part of CONNECTOK", router.Greeting},
				{legUnwritable, "", router.Greeting},
				{waits(lingerTime), "release leg 1 as broken; end client", router.Lingering},
			}},

			// The client goes.
			{name: "EOF while acquiring", reason: router.ReasonClientClosed, steps: []step{
				acquiring,
				{clientEOF, "", router.Acquiring},
				greeting,
				{answers(m.ok()), "to client: CONNECTOK; release leg 1 as served; close", router.Closed},
			}},
			{name: "EOF while greeting, refused", reason: router.ReasonRefused, steps: []step{
				acquiring, greeting,
				{clientEOF, "", router.Greeting},
				{answers(m.fail()), "to client: CONNECTFAIL; release leg 1 as refused; close", router.Closed},
			}},
			{name: "reset while acquiring", reason: router.ReasonClientReset, err: errReset, steps: []step{
				acquiring,
				{clientReset, "cancel leg 1; close", router.Closed},
			}},
			{name: "reset while greeting", reason: router.ReasonClientReset, err: errReset, steps: []step{
				acquiring, greeting,
				{clientReset, "release leg 1 as cancelled; close", router.Closed},
			}},
		}
	})
}

func spoil(b []byte, at int) []byte {
	b = append([]byte(nil), b...)
	b[at] ^= 0x40
	return b
}
