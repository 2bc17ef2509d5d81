package router_test

import (
	"bytes"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// checkTaken holds for every answer to Data.
func (h *harness) checkTaken(p router.Port, t *router.Taken, b []byte, before router.State) {
	h.t.Helper()
	limits := &h.w.env.Limits
	rest := len(b) - t.Consumed
	if head, err := wire.ParseHead(b[t.Consumed:]); err == nil && int64(t.Need) > head.Len() {
		h.t.Fatalf("needs %d bytes of a message of %d", t.Need, head.Len())
	}
	after := h.session.State()
	bound := int64(wire.MaxHeadLen)
	if p == router.Client {
		bound = max(limits.Handshake, limits.StoreAndForward, wire.MaxHeadLen+limits.Annotations)
	} else if before == router.Greeting || h.w.lines != nil {
		bound = 4 << 10 // a refusal, and a pong, is looked at as a whole
	}
	switch {
	case t.Forward < 0 || t.Forward > t.Consumed || rest < 0:
		h.t.Fatalf("of %d bytes took %+v", len(b), *t)
	case t.Need != 0 && (t.Need <= rest || int64(t.Need) > bound):
		h.t.Fatalf("needs %d bytes, has %d, bound %d", t.Need, rest, bound)
	case t.Paused && (p != router.Client || t.Need != 0 || t.Body != 0 || rest == 0):
		h.t.Fatalf("paused port %d of %d bytes with %+v", p, len(b), *t)
	case t.Body != 0 && (rest != 0 || t.Need != 0):
		h.t.Fatalf("body with bytes left: %+v", *t)
	case rest > 0 && t.Need == 0 && !t.Paused && !t.Again:
		h.t.Fatalf("%d bytes left for no reason: %+v", rest, *t)
	case t.Forward > 0 && (before == router.Lingering || before == router.Closed):
		h.t.Fatalf("forwards while %s", before)
	case t.ReplyDue && !(p != router.Client && h.w.timed()) && after != router.Sending && after != router.Waiting && after != router.Replying:
		h.t.Fatalf("a reply is due while %s", after)
	}
}

// check holds after every event.
func (h *harness) check() {
	h.t.Helper()
	state, deadline, sum := h.session.State(), h.session.Deadline(), h.session.Summary()
	switch state {
	case router.Handshake, router.Greeting, router.Lingering:
		if deadline == 0 {
			h.t.Fatalf("%s for ever", state)
		}
	case router.Acquiring:
		if h.wanted == nil && !h.granted() {
			h.t.Fatal("acquiring nothing")
		}
		if deadline != 0 && !h.lines[router.Client].failed && !h.w.timed() {
			h.t.Fatal("acquiring, with a deadline of the session's own")
		}
	case router.Closed:
		if deadline != 0 {
			h.t.Fatal("closed, with a deadline")
		}
	}
	if ended := state == router.Lingering || state == router.Closed; ended {
		if sum.Reason == "" {
			h.t.Fatalf("%s without a reason", state)
		}
		if len(h.leases) != len(h.released) && !h.asks(router.Release) {
			h.t.Fatalf("%s with %d of %d leases released", state, len(h.released), len(h.leases))
		}
		if h.wanted != nil && !h.late {
			h.t.Fatalf("%s, still acquiring", state)
		}
	} else if sum.Reason != "" {
		h.t.Fatalf("%s, ended because of %s", state, sum.Reason)
	}
	if h.closed != (state == router.Closed) && !h.asks(router.Close) {
		h.t.Fatalf("Close asked for: %v; state %s", h.closed, state)
	}
	client := h.lines[router.Client]
	if client.paused && !h.resumed && !h.asks(router.Resume) && (state == router.Idle || state == router.Lingering) {
		h.t.Fatalf("paused while %s: nothing will resume", state)
	}
	if h.w.lines != nil {
		h.checkPooled(&sum, state)
		return
	}
	h.checkBytes(&sum)
	h.checkState(state)
}

// checkBytes: what was written on is what was sent, from its beginning, and is
// counted.
func (h *harness) checkBytes(sum *router.Summary) {
	h.t.Helper()
	client := h.lines[router.Client]
	got := client.got.bytes[:len(client.got.bytes)-h.own]
	if int64(len(got)) != sum.ReplyBytes {
		h.t.Fatalf("%d bytes of replies, counted %d", len(got), sum.ReplyBytes)
	}
	connect := client.sent[:h.connect]
	var requests int64
	for p, l := range h.lines {
		if p == router.Client {
			continue
		}
		n := len(l.got.bytes)
		if n == 0 { // granted too late
			continue
		}
		if n < len(connect) || !bytes.Equal(l.got.bytes[:len(connect)], connect) {
			h.t.Fatalf("leg %d was sent another CONNECT than the client's", p)
		}
		requests += int64(n - len(connect))
		if h.w.route.Policy.Preserve && h.unsendable() == 0 && (n > client.consumed || !bytes.Equal(l.got.bytes, client.sent[:n])) {
			h.t.Fatalf("leg %d was sent what the client did not send", p)
		}
		if len(got) > 0 && p == h.leg && !h.w.timed() && h.unsendable() == 0 && (len(got) > l.consumed || !bytes.Equal(got, l.sent[:len(got)])) {
			h.t.Fatal("the client was sent what the leg did not send")
		}
	}
	if h.w.route.Policy.Preserve && requests != sum.RequestBytes {
		h.t.Fatalf("%d bytes of requests, counted %d", requests, sum.RequestBytes)
	}
}

// checkState compares an open session with what follows from the bytes.
func (h *harness) checkState(state router.State) {
	h.t.Helper()
	sum := h.session.Summary()
	if int(sum.Calls) != h.begun+h.unsendable() {
		h.t.Fatalf("%d requests begun and %d not sent, counted %d", h.begun, h.unsendable(), sum.Calls)
	}
	switch state {
	case router.Idle, router.Sending, router.Waiting, router.Replying:
	default:
		return
	}
	if h.unsendable() > 0 || h.w.timed() {
		return // what was dropped, or answered without the daemon, is not in the bytes
	}
	client, leg := h.lines[router.Client], h.lines[h.leg]

	answered, replyLeft := replies(leg.sent[:leg.consumed])
	waiting := 1 - answered // the CONNECTOK is not a call's
	for _, head := range leg.got.heads[1:] {
		if !isOneway(&head) {
			waiting++
		}
	}
	sending := leg.got.left > 0
	if sending && !isOneway(&leg.got.last) {
		waiting++
	}
	want := router.Idle
	switch {
	case replyLeft > 0 || h.unsent:
		want = router.Replying
	case sending || h.unshipped:
		want = router.Sending
	case waiting > 0:
		want = router.Waiting
	}
	if state != want {
		h.t.Fatalf("%s with %d calls waiting, sending: %v", state, waiting, sending)
	}

	failed := client.failed || leg.failed
	late := client.need > 0 && !h.withheld && !client.over && !h.unshipped
	if timed := h.session.Deadline() != 0; timed != (failed || late) {
		h.t.Fatalf("deadline: %v, a request is to come: %v, a connection has failed: %v", timed, late, failed)
	}

	n, bad := sendable(client.sent[h.connect:client.arrived], leg.got.last.Dialect, &h.w.env.Limits)
	sent := len(leg.got.bytes) - h.connect
	listening := !client.paused && !h.resumed && !h.withheld && !leg.failed && !h.unshipped && !h.behind
	switch {
	case sent > n:
		h.t.Fatalf("%d bytes sent on of %d", sent, n)
	case listening && bad:
		h.t.Fatal("listens on after bad input")
	case listening && sent != n:
		h.t.Fatalf("%d bytes sent on, %d are ready", sent, n)
	}
}

// timed: calls, or clients, have only so much time.
func (w *world) timed() bool { return w.route.Timeouts != clusters }

// clusters leaves to clusters what they have times for, and has none else.
var clusters = router.Timeouts{Connect: router.Inherit, Queue: router.Inherit}

// finish ends the session if it has not ended, and looks at the accounts of its
// world, which no other session may have used since the last finish.
func (h *harness) finish() {
	h.t.Helper()
	h.end()
	h.w.account(h.t)
}

// end is finish without the accounts.
func (h *harness) end() {
	h.t.Helper()
	if !h.closed {
		h.aborts()
	}
	h.lazy = false
	for len(h.todos) > 0 {
		h.carryOut(h.todos[0].by)
	}
	h.grantsLate()
	if !h.closed {
		h.t.Fatal("aborted, and not closed")
	}
	h.session.Gone()
}

// account looks at the accounts when all sessions have ended.
func (w *world) account(t testing.TB) {
	t.Helper()
	w.closePool()
	now := w.snapshot(t)
	for metric, label := range map[string]string{
		"calls_in_flight": "route", "endpoint_connections": "endpoint",
		"endpoint_leases": "endpoint", "endpoint_ghosts": "endpoint", "endpoint_pinned": "endpoint",
	} {
		if got := now.counts(t, metric, label); len(got) != 0 {
			t.Errorf("%s: %v", metric, got)
		}
	}
	bytes := now.counts(t, "relayed_bytes_total", "direction")
	want := *w.counted
	*w.counted = counted{request: bytes["request"], reply: bytes["reply"]}
	for _, n := range now.counts(t, "calls_total", "outcome") {
		w.counted.calls += n
	}
	for _, h := range w.all {
		sum := h.session.Summary()
		want.calls += float64(sum.Calls)
		want.request += float64(sum.RequestBytes)
		want.reply += float64(sum.ReplyBytes)
	}
	w.all = nil
	if *w.counted != want {
		t.Errorf("metrics have %+v, want %+v", *w.counted, want)
	}
}

// counted is what the metrics of a world have counted, in all sessions.
type counted struct{ calls, request, reply float64 }

func isOneway(h *wire.Head) bool { return h.Type == wire.Invoke && h.Has(wire.Oneway) }

// replies counts the whole messages in b, and how much is left to come of one
// that has begun. The part of a header has not.
func replies(b []byte) (whole int, left int64) {
	for len(b) > 0 {
		h, err := wire.ParseHead(b)
		if err != nil {
			break
		}
		if n := int64(len(b)); n < h.Len() {
			return whole, h.Len() - n
		}
		whole++
		b = b[h.Len():]
	}
	return whole, 0
}

// sendable says how much of b, requests of a client of dialect d, may be sent
// on, and whether what follows is bad. It is the specification of what
// requestData does a piece at a time.
func sendable(b []byte, d wire.Dialect, limits *router.Limits) (n int, bad bool) {
	for {
		rest := b[n:]
		h, err := wire.ParseHead(rest)
		if err != nil {
			return n, err != wire.ErrShort
		}
		request := h.Type == wire.Invoke || h.Type == wire.Ping
		if h.Dialect != d || !request || h.BodyLen() > limits.Message || int64(h.AnnotationsLen) > limits.Annotations {
			return n, true
		}
		headers := h.Dialect.HeadLen() + int(h.AnnotationsLen)
		small := h.Len() <= limits.StoreAndForward
		if len(rest) < headers || small && int64(len(rest)) < h.Len() {
			return n, false
		}
		for chunks := rest[h.Dialect.HeadLen():headers]; len(chunks) > 0; {
			if _, chunks, err = wire.NextChunk(d, chunks); err != nil {
				return n, true
			}
		}
		if int64(len(rest)) < h.Len() {
			return len(b), false
		}
		n += int(h.Len())
	}
}
