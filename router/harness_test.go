package router_test

import (
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
// does. How it drives is in drive_test.go, how it carries out actions in
// perform_test.go, and what is special in mode call in pool_test.go.
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
	circles   []router.FoundCircle
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

	lazy  bool   // goroutines are slow to carry out what is asked
	todos []todo // what they have not carried out
	late  bool   // something may have been carried out too late
	crowd crowded
}

// line is one connection, as its driver sees it.
type line struct {
	sent     []byte // all that its peer has sent
	arrived  int    // how much of it has been read from the connection
	consumed int
	body     int64 // what may be moved
	need     int   // what was last needed of the message that consumed points at
	paused   bool
	again    bool    // its goroutine goes on at once
	got      framer  // all that was written to it
	over     bool    // its peer's EOF or RST was delivered
	failed   bool    // it cannot be written to
	replied  int     // of got's messages, how many have been dealt with
	pooled   *shared // where the pool keeps it
}

func newHarness(t testing.TB, w *world) *harness {
	h := &harness{
		t: t, w: w, now: start,
		lines:    map[router.Port]*line{router.Client: {}},
		leases:   map[router.Port]*backend.Lease{},
		released: map[router.Port]backend.Outcome{},
	}
	w.all = append(w.all, h)
	h.session = router.New(&w.env, netip.MustParseAddr("198.51.100.7"), h, h.now)
	h.check()
	return h
}

// CallFailed implements router.Observer.
func (h *harness) CallFailed(c router.FailedCall) { h.failed = append(h.failed, c) }

// StreamTimedOut implements router.Observer.
func (h *harness) StreamTimedOut(string) { h.note("stream timed out") }

// Circle implements router.Observer.
func (h *harness) Circle(c router.FoundCircle) { h.circles = append(h.circles, c) }

func (h *harness) note(format string, args ...any) {
	h.asked = append(h.asked, fmt.Sprintf(format, args...))
}

// taken gives what was asked for since the last call.
func (h *harness) taken() string {
	s := strings.Join(h.asked, "; ")
	h.asked = nil
	return s
}

func name(p router.Port) string {
	if p == router.Client {
		return "client"
	}
	return fmt.Sprintf("leg %d", p)
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

// slows: the client reads nothing for now.
func (h *harness) slows() { h.slow = true }

// deafens: the daemon reads nothing for now.
func (h *harness) deafens() { h.deaf = true }

// hangsUp: the peer of p has sent its last.
func (h *harness) hangsUp(p router.Port) { h.ends(p, nil) }

// resets: the connection of p breaks.
func (h *harness) resets(p router.Port) { h.ends(p, errReset) }

func (h *harness) ends(p router.Port, err error) {
	l := h.lines[p]
	if l.pooled != nil {
		l.ends(err)
		return
	}
	l.over = true
	h.carryOut(l)
	if err == nil {
		h.session.EOF(h.now, p, l.arrived-l.consumed)
	} else {
		h.session.Reset(h.now, p, err)
	}
	h.after(l)
}

func (h *harness) failsToWrite(p router.Port) {
	l, by := h.lines[p], h.lines[router.Client]
	l.failed = true
	if p == router.Client {
		by = h.lines[h.leg]
		h.unsent = false
	} else {
		h.tears()
		h.unshipped = false // and what has arrived since is for nobody
	}
	if by != nil {
		by.body = 0 // nothing is moved to p any more
	}
	h.carryOut(by)
	h.behind = p != router.Client
	h.session.WriteFailed(h.now, p, errPipe)
	h.after(by)
	if h.behind && h.w.lines != nil {
		h.readsOn()
	}
	h.behind = false
}

// waits lets time pass, and the deadline with it where it is soon enough.
func (h *harness) waits(d time.Duration) {
	h.now += d
	if deadline := h.session.Deadline(); deadline != 0 && h.now >= deadline {
		h.withheld = h.withheld || h.lines[router.Client].need > 0 // too late
	}
	h.carryOut(wheel)
	h.session.Tick(h.now)
	h.after(wheel)
}

func (h *harness) drains() {
	h.carryOut(control)
	h.session.Drain(h.now)
	h.after(control)
}

// settles: nothing more had come from the client.
func (h *harness) settles() {
	h.settling = false
	client := h.lines[router.Client]
	h.carryOut(client)
	h.session.Quiet(h.now)
	h.after(client)
}

func (h *harness) aborts() {
	h.carryOut(control)
	h.session.Abort(h.now)
	h.after(control)
}

// downs: the endpoint was found down.
func (h *harness) downs() {
	h.carryOut(control)
	h.session.EndpointDown(h.now)
	h.after(control)
}
