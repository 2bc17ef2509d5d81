package router_test

import (
	"errors"
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/router"
)

var (
	errReset = errors.New("connection reset by peer")
	errPipe  = errors.New("broken pipe")
)

// arrives: the next n bytes that p's peer has sent are read and, unless the
// client is paused, shown.
func (h *harness) arrives(p router.Port, n int) {
	l := h.lines[p]
	l.arrived = min(l.arrived+n, len(l.sent))
	if l.pooled != nil {
		l.shows()
		return
	}
	stuck := p != router.Client && h.unsent || p == router.Client && h.unshipped
	if !l.paused && !stuck && l.arrived > l.consumed {
		h.show(p)
	}
}

// show shows the session what has arrived at p and was not consumed.
func (h *harness) show(p router.Port) {
	l := h.lines[p]
	h.carryOut(l)
	if h.closed && l.pooled == nil {
		return // it has just ended
	}
	before := h.session.State()
	b := append([]byte(nil), l.sent[l.consumed:l.arrived]...)
	taken := h.session.Data(h.now, p, b)
	h.checkTaken(p, &taken, b, before)
	if taken.Forward > 0 {
		taken = h.forward(p, taken, b)
	}
	if p == router.Client {
		if before == router.Handshake && taken.Consumed > 0 {
			h.connect = taken.Consumed
		}
		h.withheld = h.withheld || taken.Consumed > taken.Forward && before != router.Handshake
	}
	for i := range b {
		b[i] = 0xee // the session keeps nothing of it
	}
	if taken.Need != 0 && taken.Consumed == 0 && taken.Need < l.need {
		h.t.Fatalf("needed %d bytes of a message, now %d", l.need, taken.Need)
	}
	l.need = taken.Need
	l.consumed += taken.Consumed
	l.body = taken.Body
	l.paused = taken.Paused
	l.again = taken.Again
	switch {
	case taken.Paused:
		h.note("pause")
	case taken.Need > 0:
		h.note("need")
	}
	h.awaits(p)
	h.after(l)
	if l.again && l.pooled == nil && l.arrived > l.consumed && !h.closed {
		h.show(p) // of a pooled one shows sees to it
	}
}

// forward sends on what was taken at p, of the bytes b, and says what came of it.
func (h *harness) forward(p router.Port, taken router.Taken, b []byte) router.Taken {
	to, b := h.reaches(taken.To), b[:taken.Forward]
	shown := len(b)
	if taken.Head != nil {
		b = slices.Concat(taken.Head, b[taken.Cut:])
	}
	dead := to.pooled != nil && (to.over || to.failed)
	begun := 0
	switch {
	case dead && h.session.Unwritten(taken.To):
		h.note("unwritten")
		return router.Taken{Paused: true}
	case dead:
		h.crowd.sentOn += int64(len(b))
		h.session.WriteFailed(h.now, taken.To, errPipe)
		return taken
	case to.pooled != nil && h.deaf:
		begun = h.keep(taken.To, b)
	default:
		begun = h.write(taken.To, b)
	}
	switch {
	case taken.To == router.Client && h.slow:
		h.unsent = true
	case taken.To != router.Client && h.deaf:
		h.unshipped = true
	default:
		h.session.Sent(h.now, taken.To)
	}
	if p == router.Client {
		h.begun += begun
		h.crowd.sentOn += int64(shown)
	}
	return taken
}

// reaches is the connection that bytes for port p go to.
func (h *harness) reaches(p router.Port) *line {
	if port, lease := h.session.Leg(); lease != nil && port == p && lease.Conn.Pooled() {
		h.bind(p, lease)
	}
	l := h.lines[p]
	if l == nil || h.closed {
		h.t.Fatalf("bytes for port %d, which is not open", p)
	}
	return l
}

// awaits: the client's goroutine goes back to reading. With a part of a message
// kept, the client's time runs.
func (h *harness) awaits(p router.Port) {
	l := h.lines[router.Client]
	if p == router.Client && l.need > 0 && !l.paused && !h.unshipped {
		h.session.Reading(h.now)
	}
}

// reads: the client takes what was forwarded to it, and the leg's goroutine goes
// on.
func (h *harness) reads() {
	h.slow = false
	if !h.unsent {
		return
	}
	h.unsent = false
	p := h.leg
	leg := h.lines[p]
	h.session.Sent(h.now, router.Client)
	h.after(leg)
	switch {
	case leg == nil || p == router.Client:
	case leg.pooled != nil:
		leg.shows()
	case leg.arrived > leg.consumed:
		h.show(p)
	}
}

// ships: the daemon takes what was forwarded to it, and the client's goroutine
// goes on.
func (h *harness) ships() {
	h.deaf = false
	if !h.unshipped {
		return
	}
	h.unshipped, h.behind = false, true
	client, to := h.lines[router.Client], h.leg
	if h.crowd.kept != nil {
		to = h.crowd.keptFor
		h.writeKept()
	}
	if !h.closed {
		h.session.Sent(h.now, to)
		h.awaits(router.Client)
		h.after(client)
	}
	h.behind = false
	h.readsOn()
}

// readsOn: the client's goroutine is free again.
func (h *harness) readsOn() {
	client := h.lines[router.Client]
	h.behind = false
	if client.arrived > client.consumed && !client.paused && !h.unshipped && !h.closed {
		h.show(router.Client)
	}
}

// moves: n bytes of a large message go on without being shown.
func (h *harness) moves(p router.Port, n int64) {
	l := h.lines[p]
	h.carryOut(l)
	n = min(n, l.body, int64(len(l.sent)-l.consumed))
	to := router.Client
	if p == router.Client {
		to = h.leg
		h.crowd.sentOn += n
	}
	h.write(to, l.sent[l.consumed:l.consumed+int(n)])
	l.consumed += int(n)
	l.arrived = max(l.arrived, l.consumed)
	l.body -= n
	h.session.Moved(h.now, p, n)
	h.after(l)
}

// write is what reaches the peer of p. It returns how many messages begin in b.
func (h *harness) write(p router.Port, b []byte) (begun int) {
	l := h.lines[p]
	if l == nil || h.closed && !h.late {
		h.t.Fatalf("%d bytes for port %d, which is not open", len(b), p)
	}
	if _, done := h.released[p]; done && p != router.Client {
		h.t.Fatalf("bytes for port %d, which was released", p)
	}
	words, begun, err := l.got.write(b)
	if err != nil {
		h.t.Fatalf("to %s: %v", name(p), err)
	}
	h.note("to %s: %s", name(p), words)
	return begun
}
