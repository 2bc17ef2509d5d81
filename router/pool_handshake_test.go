package router_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func lacks(err error) event { return func(h *harness) { h.lacks(h.wanted.Port, err) } }

func joins(m messages) []event { return []event{says(m.connect()), connects} }

// TestPoolHandshake: a client's way into mode call.
func TestPoolHandshake(t *testing.T) {
	unshared := func(w *world) { w.route.ShareHandshake = false }
	rejecting := func(w *world) { w.answers = rejects }
	runPool(t, func(m messages) []scenario {
		connect := m.connect()
		signed := m.signed(m.handshake()).Bytes()
		other := pyrotest.ConnectMessage(m.d, wire.Serpent, "lab.camera", "other").Bytes()
		acquiring := step{says(connect), "acquire leg 1", router.Acquiring}
		call := step{says(m.invoke()), "to leg 2: INVOKE", router.Waiting}
		scenarios := []scenario{
			{name: "through a daemon", reason: router.ReasonAborted, steps: inPool(m)},
			{name: "in pieces", reason: router.ReasonAborted, steps: []step{
				{says(connect[:30]), "need", router.Handshake},
				{says(connect[30:]), "acquire leg 1", router.Acquiring},
				{waits(time.Hour), "", router.Acquiring},
				{connects, "free leg 1 as served; to client: CONNECTOK", router.Idle}}},
			{name: "as before", first: joins(m), reason: router.ReasonAborted, steps: []step{
				{says(connect), "to client: CONNECTOK", router.Idle}}},
			{name: "as before, a request behind", first: joins(m), reason: router.ReasonAborted, calls: "ok=1", steps: []step{
				{says(connect, m.invoke()), "to client: CONNECTOK; to leg 1: INVOKE", router.Waiting},
				{answers(m.result()), "to client: RESULT; free leg 1 as served", router.Idle}}},
			{name: "as before, a request behind, the client reads slowly", first: joins(m), reason: router.ReasonAborted, calls: "aborted=1",
				failures: []string{"INVOKE aborted"}, steps: []step{
					{(*harness).slows, "", router.Handshake},
					{says(connect, m.invoke()), "to client: CONNECTOK; pause", router.Replying},
					{(*harness).reads, "resume; to leg 1: INVOKE", router.Waiting}}},
			{name: "other handshakes reach a daemon", first: joins(m), reason: router.ReasonAborted, steps: []step{
				{says(other), "acquire leg 1", router.Acquiring},
				{connects, "free leg 1 as served; to client: CONNECTOK", router.Idle}}},
			{name: "cache_handshake off", first: joins(m), setup: unshared, reason: router.ReasonAborted, steps: inPool(m)},
			{name: "the connections have gone", first: append(joins(m), poolDies), reason: router.ReasonAborted, steps: inPool(m)},
			{name: "requests behind CONNECT wait", reason: router.ReasonAborted, calls: "ok=1 oneway=1", steps: []step{
				{says(connect, m.oneway(), m.invoke()), "pause; acquire leg 1", router.Acquiring},
				{connects, "free leg 1 as served; to client: CONNECTOK; resume; to leg 2: INVOKE; pause; " +
					"to leg 2: PING; release leg 2 as resting; resume; to leg 3: INVOKE", router.Waiting},
				{answers(m.ownPong(), m.result()), "to client: RESULT; free leg 3 as served", router.Idle}}},
			{name: "nothing is sent to a client before its CONNECTOK", reason: router.ReasonAborted, calls: "ok=1", steps: []step{
				acquiring,
				{(*harness).slows, "", router.Acquiring},
				{connects, "free leg 1 as served; to client: CONNECTOK", router.Replying},
				{says(m.invoke()), "pause", router.Replying},
				{(*harness).reads, "resume; to leg 2: INVOKE", router.Waiting},
				{answers(m.result()), "to client: RESULT; free leg 2 as served", router.Idle}}},

			{name: "refused", setup: rejecting, reason: router.ReasonRefused, steps: []step{
				acquiring,
				{connects, "to client: CONNECTFAIL; end client", router.Lingering},
				{clientEOF, "close", router.Closed}}},
			{name: "refused, requests behind", setup: rejecting, reason: router.ReasonRefused, steps: []step{
				{says(connect, m.invoke()), "pause; acquire leg 1", router.Acquiring},
				{connects, "to client: CONNECTFAIL; resume; end client", router.Lingering}}},
			{name: "none reachable", down: []int{1, 2}, reason: router.ReasonUnreachable, err: backend.ErrUnreachable, steps: []step{
				acquiring,
				{connects, refusal, router.Lingering}}},
			{name: "queue full", reason: router.ReasonUnreachable, err: backend.ErrQueueFull, steps: []step{
				acquiring,
				{lacks(backend.ErrQueueFull), refusal, router.Lingering}}},
			{name: "hangs up", setup: func(w *world) { w.answers = func(string, pyrotest.Message) []byte { return nil } },
				reason: router.ReasonUnreachable, err: backend.ErrUnreachable, steps: []step{
					acquiring,
					{connects, refusal, router.Lingering}}},

			{name: "EOF while acquiring", reason: router.ReasonClientClosed, steps: []step{
				acquiring,
				{clientEOF, "", router.Acquiring},
				{connects, "free leg 1 as served; to client: CONNECTOK; close", router.Closed}}},
			{name: "reset while acquiring", reason: router.ReasonClientReset, err: errReset, steps: []step{
				acquiring,
				{clientReset, "cancel leg 1; close", router.Closed},
				{(*harness).grantsLate, "release leg 1 as cancelled", router.Closed}}},
			{name: "drain while acquiring", reason: router.ReasonDrained, steps: []step{
				acquiring,
				{drains, "to client: CONNECTFAIL; cancel leg 1; end client", router.Lingering},
				{(*harness).grantsLate, "release leg 1 as cancelled", router.Lingering}}},
			{name: "drain while CONNECTOK is being written", first: joins(m), reason: router.ReasonDrained, steps: []step{
				{(*harness).slows, "", router.Handshake},
				{says(connect), "to client: CONNECTOK", router.Replying},
				{drains, "", router.Replying},
				{(*harness).reads, "settle", router.Idle},
				{quiet, "close", router.Closed}}},
			{name: "CONNECTOK cannot be written", first: joins(m), reason: router.ReasonClientReset, err: errPipe, steps: []step{
				{(*harness).slows, "", router.Handshake},
				{says(connect), "to client: CONNECTOK", router.Replying},
				{clientUnwritable, "", router.Idle},
				{waits(lingerTime), "close", router.Closed}}},
			{name: "EOF when idle", reason: router.ReasonClientClosed, steps: inPool(m,
				step{clientEOF, "close", router.Closed})},
			{name: "EOF behind half a request", reason: router.ReasonClientClosed, steps: inPool(m,
				step{says(m.invoke()[:30]), "need", router.Idle},
				step{clientEOF, "close", router.Closed})},
			{name: "endpoint down when idle", reason: router.ReasonAborted, calls: "aborted=1", failures: []string{"INVOKE aborted"}, steps: inPool(m,
				step{(*harness).downs, "", router.Idle}, call)},
		}
		if m.d == wire.V48 {
			scenarios = append(scenarios, scenario{name: "signed ones all reach a daemon", reason: router.ReasonAborted,
				first: []event{says(signed), connects}, steps: []step{
					{says(signed), "acquire leg 1", router.Acquiring},
					{connects, "free leg 1 as served; to client: CONNECTOK", router.Idle}}})
		}
		return scenarios
	})
}

// TestAnswerAsBefore: what the client reads whose CONNECT is known.
func TestAnswerAsBefore(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		w := newPool(1, nil)
		first := newHarness(t, w)
		first.says(m.connect())
		first.connects()
		for _, id := range [][16]byte{{5, 6}, {}} {
			connect := m.handshake()
			connect.Head.Seq = 0x1234
			if id != [16]byte{} {
				connect = connect.WithCorrelation(id)
			}
			h := newHarness(t, w)
			h.says(connect.Bytes())
			got := h.lines[router.Client].got
			head := got.last
			annotations := got.bytes[d.HeadLen() : d.HeadLen()+int(head.AnnotationsLen)]
			gotID, ok, err := wire.Correlation(&head, annotations)
			if err != nil || len(got.heads) != 1 || head.Type != wire.ConnectOK || head.Seq != 0x1234 || head.DataLen != 30 {
				t.Fatalf("%s: answered with %+v (%v)", d, head, err)
			}
			if !ok || id != [16]byte{} && gotID != id || gotID == [16]byte{} {
				t.Errorf("%s: correlation id %x, %v; want %x", d, gotID, ok, id)
			}
			if n := h.session.Summary().ReplyBytes; n != int64(len(got.bytes)) {
				t.Errorf("%s: %d bytes counted of %d", d, n, len(got.bytes))
			}
			h.end()
		}
		first.finish()
		if hits := w.counts(t, "handshake_cache_hits_total", "cluster")["cluster"]; hits != 2 {
			t.Errorf("%s: %v hits", d, hits)
		}
	}
}

// TestJoinAndLeave: a session leaves its handshake when it is gone, not before.
func TestJoinAndLeave(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		w := newPool(1, nil)
		connect := m.connect()
		head, err := wire.ParseHead(connect)
		if err != nil {
			t.Fatal(err)
		}
		join := func() *backend.Handshake { return w.cluster.Join(&head, connect) }
		hs := join()
		for _, ending := range []event{aborts, clientReset, drains} {
			h := newHarness(t, w)
			h.says(connect)
			ending(h)
			h.end()
		}
		h := newHarness(t, w)
		h.says(connect)
		h.aborts()
		w.cluster.Leave(hs)
		if again := join(); again != hs {
			t.Errorf("%s: forgotten while an Acquire makes use of it", d)
		}
		w.cluster.Leave(hs)
		h.finish()
		if again := join(); again == hs {
			t.Errorf("%s: kept for ever", d)
		}
	}
}

// TestTakenPong: an answer to a PING of the session's own goes nowhere.
func TestTakenPong(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		pong, result := m.ownPong(), m.result()
		h := newHarness(t, newPool(1, nil))
		h.says(m.connect())
		h.connects()
		h.says(m.oneway())
		h.says(m.oneway())
		h.says(m.invoke())
		for _, step := range []struct {
			shown []byte
			want  router.Taken
		}{
			{pong[:d.HeadLen()], router.Taken{Need: len(pong)}},
			{pong, router.Taken{Consumed: len(pong), ReplyDue: true}},
			{bytes.Join([][]byte{pong, result[:50]}, nil), router.Taken{Consumed: len(pong), Again: true, ReplyDue: true}},
			{result[:50], router.Taken{To: router.Client, Forward: 50, Consumed: 50, Body: int64(len(result) - 50), ReplyDue: true}},
		} {
			if diff := cmp.Diff(step.want, h.session.Data(h.now, h.leg, step.shown)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", d, diff)
			}
		}
	}
}
