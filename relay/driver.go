package relay

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// driver runs one session on goroutines.
type driver struct {
	listener *listener
	client   *link
	source   netip.Addr // the zero Addr on a Unix socket
	peer     string     // for the log
	denied   bool       // the session will only be told why it may not be
	started  time.Duration

	mu         sync.Mutex // one event at a time
	session    *router.Session
	leg        *link
	legPort    router.Port
	wanted     wantedLeg               // the Acquire that no goroutine has taken up yet
	cancel     context.CancelCauseFunc // ends the Acquire in progress
	running    int                     // goroutines
	legging    bool                    // one of them is the leg's
	deliveries []*delivery             // under way
	answers    charges                 // for what the client is being told
	ghost      *backend.Conn           // what that reads to its end although the session has given it up
	ended      chan struct{}           // closed by Close; made by whoever must wait for it
	over       bool                    // Close was asked for
	resume     chan struct{}           // holds a token where the client's bytes may be shown again
	paused     bool                    // the client's goroutine waits for that
	parking    bool                    // goroutines are asked to leave, or have left
	away       goroutines              // those that have left
	ticket     int32                   // the session's in the lot

	connect  charge              // for the CONNECT that the session holds
	failed   []router.FailedCall // to be logged when the lock is free
	timedOut []string            // likewise
	circles  []router.FoundCircle

	timer timer // the server's wheel's
}

func newDriver(l *listener, c net.Conn, source netip.Addr) *driver {
	d := &driver{
		listener: l,
		client:   newLink(c),
		source:   source,
		peer:     peerName(c),
		started:  l.server.now(),
		running:  1,
	}
	d.session = router.New(&l.env, source, d, d.started)
	d.timer.driver = d
	return d
}

// deny makes the session one of refusal. It comes before run.
func (d *driver) deny(r router.Reason, text string) {
	d.denied = true
	d.session.Deny(r, text)
}

// run begins the session.
func (d *driver) run() {
	d.event(func(time.Duration) {}) // sets the wheel for the handshake's deadline
	d.runClient()
}

// runClient is the client's goroutine.
func (d *driver) runClient() {
	p := pump{d: d, port: router.Client, src: d.client, self: clientGoroutine}
	if p.run() == parked {
		return
	}
	d.leave()
}

// leave counts a goroutine out. The last to leave ends the session's account,
// or Close does where both have left before.
func (d *driver) leave() {
	d.mu.Lock()
	d.running--
	last := d.running == 0 && d.over
	d.mu.Unlock()
	if last {
		d.listener.sessionEnded(d)
	}
}

// event delivers one event, and does what it brings about. That needs the
// session's goroutines: one that is parked, or about to be, gets them back.
func (d *driver) event(deliver func(now time.Duration)) {
	d.mu.Lock()
	d.unparkLocked()
	now := d.listener.server.now()
	deliver(now)
	t := d.afterEvent(now)
	d.mu.Unlock()
	d.perform(t)
}

// todo is what an event leaves to be done when the lock is free.
type todo struct {
	actions  []router.Action
	failed   []router.FailedCall
	summary  router.Summary // of when the calls failed
	circles  []router.FoundCircle
	timedOut []string // endpoints that a stream's connection was given up at
}

func (t *todo) none() bool {
	return t.actions == nil && t.failed == nil && t.timedOut == nil && t.circles == nil
}

// afterEvent sets the wheel for what the event has changed, and takes what is to
// be done. The lock is held.
func (d *driver) afterEvent(now time.Duration) todo {
	d.settleLocked()
	d.setWheel(now)
	if d.connect.bytes > 0 && d.session.Held() == 0 {
		d.connect.settle()
	}
	if d.answers.any() && !d.session.Telling() {
		d.answers.settle()
	}
	t := todo{actions: d.session.Actions(), failed: d.failed, timedOut: d.timedOut, circles: d.circles}
	d.timedOut, d.circles = nil, nil
	if t.failed != nil || t.circles != nil {
		t.summary, d.failed = d.session.Summary(), nil
	}
	return t
}

func (d *driver) setWheel(now time.Duration) {
	due := d.session.Deadline()
	if (due == 0 || due > now+visitAfter) && d.visitable() {
		due = now + visitAfter
	}
	d.listener.server.wheel.set(&d.timer, due)
}

// perform carries out actions in order. It may wait where it writes bytes of
// ours, so it is never called from within a raw callback or with the lock held.
func (d *driver) perform(t todo) {
	for i := range t.failed {
		d.logFailed(&t.summary, &t.failed[i])
	}
	for i := range t.circles {
		d.logCircle(&t.summary, &t.circles[i])
	}
	for _, endpoint := range t.timedOut {
		d.timedOutAt(endpoint)
	}
	defer d.tellHops(t.failed) // behind Release: no call explains its own failure
	for _, a := range t.actions {
		switch a.Op {
		case router.Acquire:
			d.startLeg(wantedLeg{port: a.Port, attempt: a.Attempt})
		case router.Cancel:
			d.mu.Lock()
			d.wanted = wantedLeg{}
			if d.cancel != nil && a.Outcome == backend.TimedOut {
				d.cancel(backend.ErrTooLate)
			} else if d.cancel != nil {
				d.cancel(nil)
			}
			d.mu.Unlock()
		case router.Send:
			if a.Lease != nil {
				sendLast(a.Lease, a.Bytes)
			} else {
				d.send(a.Port, a.Bytes)
			}
		case router.Resume:
			d.token()
		case router.Settle:
			// Wakes the reader, who sees that it is not a timeout of its own.
			timeOut(d.client)
		case router.CloseWrite:
			if l, _ := d.link(a.Port); l != nil {
				l.closeWrite()
			}
		case router.Release:
			last := false
			d.mu.Lock()
			if a.Lease.Conn.Pooled() {
				d.unbindLocked(a.Lease)
			} else if a.Outcome == backend.TimedOut || a.Outcome == backend.Abandoned {
				last = d.hauntLocked(a.Lease)
			}
			d.mu.Unlock()
			a.Lease.Done(a.Outcome)
			if last {
				d.listener.sessionEnded(d)
			}
		case router.Expire:
			if x := d.deliveryOf(a.Delivery); x != nil {
				x.expire()
			}
		case router.Detach:
			if x := d.deliveryOf(a.Delivery); x != nil {
				x.detach(a.Outcome == backend.Cancelled)
			}
		case router.Close:
			d.mu.Lock()
			d.over = true
			if d.ended != nil {
				close(d.ended)
			}
			if d.cancel != nil {
				d.cancel(nil)
			}
			leg, pooled, last := d.leg, d.calls(), d.running == 0
			d.mu.Unlock()
			d.client.conn.Close()
			if leg != nil && !pooled {
				leg.conn.Close()
			}
			if last {
				d.listener.sessionEnded(d)
			}
		}
	}
}

// tick is the wheel's call: the session's deadline has passed, or it has been
// left alone for a while.
func (d *driver) tick() {
	d.mu.Lock()
	due := d.session.Deadline()
	d.mu.Unlock()
	if due == 0 || due > d.listener.server.now() {
		d.visit()
		return
	}
	d.mu.Lock()
	d.unparkLocked()
	now := d.listener.server.now()
	d.session.Tick(now)
	t := d.afterEvent(now)
	d.tellLocked(now, &t)
	d.mu.Unlock()
	if slices.ContainsFunc(t.actions, func(a router.Action) bool { return a.Op == router.Send || a.Op == router.Expire }) {
		go d.perform(t) // it may wait, and the wheel is everybody's
		return
	}
	d.perform(t)
}

func (d *driver) drain() {
	d.event(func(now time.Duration) { d.session.Drain(now) })
}

func (d *driver) abort() {
	d.event(func(now time.Duration) { d.session.Abort(now) })
	d.abortDeliveries()
}

// calling reports whether a call is under way, or waits for an endpoint.
func (d *driver) calling() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch d.session.State() {
	case router.Sending, router.Waiting, router.Replying:
		return true
	case router.Acquiring:
		return d.calls()
	}
	return false
}

func (d *driver) isOver() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

// readEnd is the error for what a raw receive found at the end of a stream.
func readEnd(errno syscall.Errno) error {
	if errno == 0 {
		return io.EOF
	}
	return os.NewSyscallError("recv", errno)
}

func peerName(c net.Conn) string {
	a := c.RemoteAddr()
	if a == nil || a.Network() == "unix" {
		return "unix"
	}
	return a.String()
}
