package router_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// harness is the driver of one session, without connections: tests say what
// happens, it keeps the rules of package router and checks that the session
// does.
type harness struct {
	t       testing.TB
	w       *world
	session *router.Session
	now     time.Duration
	asked   []string // what the session asked for since the last look, in words

	lines     map[router.Port]*line
	leg       router.Port    // the last that was acquired
	wanted    *router.Action // the Acquire that is to be answered
	cancelled *router.Action // the one that is not any more
	leases    map[router.Port]*backend.Lease
	released  map[router.Port]backend.Outcome
	failed    []router.FailedCall
	resumed   bool // a Resume came since the client was last shown
	settling  bool // a Settle was not answered yet
	closed    bool
	own       int // bytes to the client that are not an endpoint's

	connect   int  // length of the client's CONNECT, once it was consumed
	begun     int  // requests sent on, at least in part
	slow      bool // the client reads nothing: what is forwarded to it is not sent before reads
	unsent    bool // the leg's goroutine waits for that
	deaf      bool // the leg's daemon reads nothing: the same, before ships
	unshipped bool // the client's goroutine waits for that
	behind    bool // it has not read on yet
	withheld  bool // bytes of the client's were dropped, or too late: nothing more is sent on
}

// line is one connection, as its driver sees it.
type line struct {
	sent     []byte // all that its peer has sent
	arrived  int    // how much of it has been read from the connection
	consumed int
	body     int64 // what may be moved
	need     int   // what was last needed of the message that consumed points at
	paused   bool
	got      framer // all that was written to it
	over     bool   // its peer's EOF or RST was delivered
	failed   bool   // it cannot be written to
	replied  int    // of got's messages, how many have been dealt with
}

func newHarness(t testing.TB, w *world) *harness {
	h := &harness{
		t: t, w: w, now: start,
		lines:    map[router.Port]*line{router.Client: {}},
		leases:   map[router.Port]*backend.Lease{},
		released: map[router.Port]backend.Outcome{},
	}
	h.session = router.New(&w.env, netip.MustParseAddr("198.51.100.7"), h, h.now)
	h.check()
	return h
}

// CallFailed implements router.Observer.
func (h *harness) CallFailed(c router.FailedCall) { h.failed = append(h.failed, c) }

// StreamTimedOut implements router.Observer.
func (h *harness) StreamTimedOut(endpoint string) { h.note("stream timed out at %s", endpoint) }

func (h *harness) note(format string, args ...any) {
	h.asked = append(h.asked, fmt.Sprintf(format, args...))
}

// taken gives what was asked for since the last call.
func (h *harness) taken() string {
	s := strings.Join(h.asked, "; ")
	h.asked = nil
	return s
}

// says: the client sends b, and it arrives.
func (h *harness) says(b []byte) { h.sends(router.Client, b) }

// answers: the leg acquired last sends b.
func (h *harness) answers(b []byte) { h.sends(h.leg, b) }

func (h *harness) sends(p router.Port, b []byte) {
	l := h.lines[p]
	l.sent = append(l.sent, b...)
	h.arrives(p, len(l.sent)-l.arrived)
}

// arrives: the next n bytes that p's peer has sent are read and, unless the
// client is paused, shown.
func (h *harness) arrives(p router.Port, n int) {
	l := h.lines[p]
	l.arrived = min(l.arrived+n, len(l.sent))
	stuck := p != router.Client && h.unsent || p == router.Client && h.unshipped
	if !l.paused && !stuck && l.arrived > l.consumed {
		h.show(p)
	}
}

// show shows the session what has arrived at p and was not consumed.
func (h *harness) show(p router.Port) {
	l := h.lines[p]
	before := h.session.State()
	b := append([]byte(nil), l.sent[l.consumed:l.arrived]...)
	taken := h.session.Data(h.now, p, b)
	h.checkTaken(p, &taken, b, before)
	begun := 0
	if taken.Forward > 0 {
		begun = h.write(taken.To, b[:taken.Forward])
	}
	switch {
	case taken.Forward == 0:
	case taken.To == router.Client && h.slow:
		h.unsent = true
	case taken.To != router.Client && h.deaf:
		h.unshipped = true
	default:
		h.session.Sent(h.now, taken.To)
	}
	if p == router.Client {
		h.begun += begun
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
	switch {
	case taken.Paused:
		h.note("pause")
	case taken.Need > 0:
		h.note("need")
	}
	h.awaits(p)
	h.perform()
}

// awaits: the client's goroutine goes back to reading. With a part of a message
// kept, the client's time runs.
func (h *harness) awaits(p router.Port) {
	l := h.lines[router.Client]
	if p == router.Client && l.need > 0 && !l.paused && !h.unshipped {
		h.session.Reading(h.now)
	}
}

// slows: the client reads nothing for now.
func (h *harness) slows() { h.slow = true }

// reads: the client takes what was forwarded to it, and the leg's goroutine goes
// on.
func (h *harness) reads() {
	h.slow = false
	if !h.unsent {
		return
	}
	h.unsent = false
	h.session.Sent(h.now, router.Client)
	h.perform()
	if l := h.lines[h.leg]; l != nil && h.leg != router.Client && l.arrived > l.consumed {
		h.show(h.leg)
	}
}

// deafens: the daemon reads nothing for now.
func (h *harness) deafens() { h.deaf = true }

// ships: the daemon takes what was forwarded to it, and the client's goroutine
// goes on.
func (h *harness) ships() {
	h.deaf = false
	if !h.unshipped {
		return
	}
	h.unshipped, h.behind = false, true
	if !h.closed {
		h.session.Sent(h.now, h.leg)
		h.awaits(router.Client)
		h.perform()
	}
	h.behind = false
	if l := h.lines[router.Client]; l.arrived > l.consumed && !l.paused && !h.closed {
		h.show(router.Client)
	}
}

// moves: n bytes of a large message go on without being shown.
func (h *harness) moves(p router.Port, n int64) {
	l := h.lines[p]
	n = min(n, l.body, int64(len(l.sent)-l.consumed))
	to := router.Client
	if p == router.Client {
		to = h.leg
	}
	h.write(to, l.sent[l.consumed:l.consumed+int(n)])
	l.consumed += int(n)
	l.arrived = max(l.arrived, l.consumed)
	l.body -= n
	h.session.Moved(h.now, p, n)
	h.perform()
}

// write is what reaches the peer of p. It returns how many messages begin in b.
func (h *harness) write(p router.Port, b []byte) (begun int) {
	l := h.lines[p]
	if l == nil || h.closed {
		h.t.Fatalf("%d bytes for port %d, which is not open", len(b), p)
	}
	name := "client"
	if p != router.Client {
		if _, done := h.released[p]; done {
			h.t.Fatalf("bytes for port %d, which was released", p)
		}
		name = fmt.Sprintf("leg %d", p)
	}
	words, begun, err := l.got.write(b)
	if err != nil {
		h.t.Fatalf("to %s: %v", name, err)
	}
	h.note("to %s: %s", name, words)
	return begun
}

// perform carries out the session's actions and checks its state, then shows
// again what a Resume asks for.
func (h *harness) perform() {
	h.t.Helper()
	for _, a := range h.session.Actions() {
		h.do(a)
	}
	h.check()
	if h.resumed {
		h.resumed = false
		l := h.lines[router.Client]
		if !l.paused {
			h.t.Fatal("Resume without a pause")
		}
		l.paused = false
		if l.arrived > l.consumed {
			h.show(router.Client)
		}
	}
}

func (h *harness) do(a router.Action) {
	h.t.Helper()
	if h.closed && a.Op != router.Release {
		h.t.Fatalf("operation %d after Close", a.Op)
	}
	name := "client"
	if a.Port != router.Client {
		name = fmt.Sprintf("leg %d", a.Port)
	}
	switch a.Op {
	case router.Acquire:
		if h.wanted != nil || a.Port <= h.leg || a.Attempt == nil {
			h.t.Fatalf("acquires %+v after port %d", a, h.leg)
		}
		h.leg, h.wanted = a.Port, &a
		h.note("acquire %s", name)
	case router.Cancel:
		if h.wanted == nil || h.wanted.Port != a.Port {
			h.t.Fatalf("cancels %s, which is not being acquired", name)
		}
		h.wanted, h.cancelled = nil, h.wanted
		h.note("cancel %s", name)
	case router.Send:
		if a.Port == router.Client {
			h.own += len(a.Bytes)
		}
		h.write(a.Port, a.Bytes)
	case router.Resume:
		h.resumed = true
		h.note("resume")
	case router.Settle:
		h.settling = true
		h.note("settle")
	case router.CloseWrite:
		h.note("end %s", name)
	case router.Release:
		if h.leases[a.Port] != a.Lease {
			h.t.Fatalf("releases another lease than that of %s", name)
		}
		a.Lease.Done(a.Outcome) // panics where it was done before
		h.released[a.Port] = a.Outcome
		h.note("release %s as %s", name, outcomeNames[a.Outcome])
	case router.Close:
		h.closed = true
		h.note("close")
	}
}

var outcomeNames = map[backend.Outcome]string{
	backend.Served: "served", backend.Cancelled: "cancelled", backend.Refused: "refused",
	backend.OtherDialect: "other dialect", backend.Unanswered: "unanswered", backend.Broken: "broken",
	backend.Garbled: "garbled",
}

// connects: the cluster answers the Acquire, with a lease if it has any.
func (h *harness) connects() {
	a := h.wanted
	h.wanted = nil
	l, err := h.w.cluster.Acquire(context.Background(), a.Attempt)
	if err != nil {
		h.session.Unreachable(h.now, a.Port, err)
		h.perform()
		return
	}
	h.grant(a.Port, l)
}

// grantsLate brings the lease of an Acquire that was cancelled.
func (h *harness) grantsLate() {
	a := h.cancelled
	if a == nil {
		return
	}
	h.cancelled = nil
	if l, err := h.w.cluster.Acquire(context.Background(), a.Attempt); err == nil {
		h.grant(a.Port, l)
	}
}

func (h *harness) grant(p router.Port, l *backend.Lease) {
	h.leases[p] = l
	h.lines[p] = &line{}
	h.session.Granted(h.now, p, l, answerTime)
	h.perform()
}

// hangsUp: the peer of p has sent its last.
func (h *harness) hangsUp(p router.Port) {
	l := h.lines[p]
	l.over = true
	h.session.EOF(h.now, p, l.arrived-l.consumed)
	h.perform()
}

var errReset = errors.New("connection reset by peer")

func (h *harness) resets(p router.Port) {
	h.lines[p].over = true
	h.session.Reset(h.now, p, errReset)
	h.perform()
}

var errPipe = errors.New("broken pipe")

func (h *harness) failsToWrite(p router.Port) {
	h.lines[p].failed = true
	if p == router.Client {
		h.unsent = false
	} else {
		h.unshipped = false // and what has arrived since is for nobody
	}
	for _, l := range h.lines {
		if (l == h.lines[router.Client]) != (p == router.Client) {
			l.body = 0 // nothing is moved to p any more
		}
	}
	h.session.WriteFailed(h.now, p, errPipe)
	h.perform()
}

// waits lets time pass, and the deadline with it where it is soon enough.
func (h *harness) waits(d time.Duration) {
	h.now += d
	if deadline := h.session.Deadline(); deadline != 0 && h.now >= deadline {
		h.withheld = h.withheld || h.lines[router.Client].need > 0 // too late
	}
	h.session.Tick(h.now)
	h.perform()
}

func (h *harness) drains() {
	h.session.Drain(h.now)
	h.perform()
}

// settles: nothing more had come from the client.
func (h *harness) settles() {
	h.settling = false
	h.session.Quiet(h.now)
	h.perform()
}

func (h *harness) aborts() {
	h.session.Abort(h.now)
	h.perform()
}
