package relay

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
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
	peer     string // for the log
	started  time.Duration

	mu      sync.Mutex // one event at a time
	session *router.Session
	leg     *link
	legPort router.Port
	wanted  wantedLeg          // the Acquire that no goroutine has taken up yet
	cancel  context.CancelFunc // ends the Acquire in progress
	running int                // goroutines
	legging bool               // one of them is the leg's
	ended   chan struct{}      // closed by Close; made by whoever must wait for it
	over    bool               // Close was asked for
	resume  chan struct{}      // holds a token where the client's bytes may be shown again
	parking bool               // goroutines are asked to leave, or have left
	away    goroutines         // those that have left
	ticket  int32              // the session's in the lot

	timer timer // the server's wheel's
}

// wantedLeg is an endpoint asked for; its zero value is none.
type wantedLeg struct {
	port    router.Port
	attempt *backend.Attempt
}

func newDriver(l *listener, c net.Conn, source netip.Addr) *driver {
	d := &driver{
		listener: l,
		client:   newLink(c),
		peer:     peerName(c),
		started:  l.server.now(),
		running:  1,
	}
	d.session = router.New(&l.env, source, d, d.started)
	d.timer.driver = d
	return d
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

// runLeg is the leg's goroutine: it finds an endpoint, sends it the CONNECT,
// and reads from it, for as long as legs are wanted.
func (d *driver) runLeg() {
	for {
		d.mu.Lock()
		w := d.wanted
		d.wanted = wantedLeg{}
		if w.attempt == nil {
			d.legging = false
			d.mu.Unlock()
			break
		}
		ctx, cancel := context.WithCancel(context.Background())
		d.cancel = cancel
		cluster := d.session.Route().Cluster
		d.mu.Unlock()

		lease, err := cluster.Acquire(ctx, w.attempt)
		cancel()
		if err != nil {
			d.event(func(now time.Duration) { d.session.Unreachable(now, w.port, err) })
			continue
		}
		leg := newLink(lease.Conn)
		d.event(func(now time.Duration) {
			d.leg, d.legPort = leg, w.port
			d.session.Granted(now, w.port, lease, time.Until(lease.AnswerBy))
		})
		// A stack that has dialed does not shrink again: read on a new one.
		go d.runLegFrom(leg, w.port)
		return
	}
	d.leave()
}

// runLegFrom is the leg's goroutine from a leg that is connected.
func (d *driver) runLegFrom(leg *link, port router.Port) {
	p := pump{d: d, port: port, src: leg, self: legGoroutine}
	if p.run() == parked {
		return
	}
	d.runLeg()
}

// leave counts a goroutine out; the last one ends the session's account.
func (d *driver) leave() {
	d.mu.Lock()
	d.running--
	last := d.running == 0
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
	actions := d.afterEvent(now)
	d.mu.Unlock()
	d.perform(actions)
}

// afterEvent sets the wheel for what the event has changed. The lock is held.
func (d *driver) afterEvent(now time.Duration) []router.Action {
	due := d.session.Deadline()
	if due == 0 && d.visitable() {
		due = now + visitAfter
	}
	d.listener.server.wheel.set(&d.timer, due)
	return d.session.Actions()
}

// perform carries out actions in order. It may wait where it writes bytes of
// ours, so it is never called from within a raw callback or with the lock held.
func (d *driver) perform(actions []router.Action) {
	for _, a := range actions {
		switch a.Op {
		case router.Acquire:
			d.startLeg(wantedLeg{port: a.Port, attempt: a.Attempt})
		case router.Cancel:
			d.mu.Lock()
			d.wanted = wantedLeg{}
			if d.cancel != nil {
				d.cancel()
			}
			d.mu.Unlock()
		case router.Send:
			d.send(a.Port, a.Bytes)
		case router.Resume:
			d.token()
		case router.Settle:
			// Wakes the reader, who sees that it is not a timeout of its own.
			timeOut(d.client)
		case router.CloseWrite:
			if l := d.link(a.Port); l != nil {
				l.closeWrite()
			}
		case router.Release:
			a.Lease.Done(a.Outcome)
		case router.Close:
			d.mu.Lock()
			d.over = true
			if d.ended != nil {
				close(d.ended)
			}
			if d.cancel != nil {
				d.cancel()
			}
			d.mu.Unlock()
			d.client.conn.Close()
		}
	}
}

func (d *driver) startLeg(w wantedLeg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = w
	if !d.legging {
		d.legging = true
		d.running++
		go d.runLeg()
	}
}

// ownSendTime bounds the writing of a message of ours. A refusal fits any
// socket's buffer; a CONNECT may have to wait for the daemon to read.
const ownSendTime = 5 * time.Second

// send writes a message of ours, or the stored CONNECT.
func (d *driver) send(p router.Port, b []byte) {
	l := d.link(p)
	if l == nil {
		return
	}
	if p == router.Client {
		l.conn.SetWriteDeadline(time.Now().Add(ownSendTime))
	}
	if _, err := l.conn.Write(b); err != nil {
		d.event(func(now time.Duration) { d.session.WriteFailed(now, p, err) })
	}
}

// link is the connection behind a port, nil where that port is gone.
func (d *driver) link(p router.Port) *link {
	if p == router.Client {
		return d.client
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.linkLocked(p)
}

func (d *driver) linkLocked(p router.Port) *link {
	switch p {
	case router.Client:
		return d.client
	case d.legPort:
		return d.leg
	}
	return nil
}

// token lets the client's goroutine show its bytes again.
func (d *driver) token() {
	d.mu.Lock()
	c := d.resumeLocked()
	d.mu.Unlock()
	select {
	case c <- struct{}{}:
	default:
	}
}

func (d *driver) resumeLocked() chan struct{} {
	if d.resume == nil {
		d.resume = make(chan struct{}, 1)
	}
	return d.resume
}

// waitResume blocks until a Resume, or the end of the session.
func (d *driver) waitResume() {
	d.mu.Lock()
	resume, ended := d.resumeLocked(), d.endedLocked()
	d.mu.Unlock()
	select {
	case <-resume:
	case <-ended:
	}
}

// endedLocked gives a channel that is closed when the session is over.
func (d *driver) endedLocked() chan struct{} {
	if d.ended == nil {
		d.ended = make(chan struct{})
		if d.over {
			close(d.ended)
		}
	}
	return d.ended
}

// waitMemory blocks until the account has room for n bytes. It fails when the
// session is over.
func (d *driver) waitMemory(n int) error {
	d.mu.Lock()
	ended := d.endedLocked()
	d.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return d.listener.server.memory.take(ctx, n)
}

// tick is the wheel's call: the session's deadline has passed, or it has been
// left alone for a while.
func (d *driver) tick() {
	d.mu.Lock()
	waited := d.session.Deadline() == 0
	d.mu.Unlock()
	if waited {
		d.visit()
		return
	}
	d.event(func(now time.Duration) { d.session.Tick(now) })
}

func (d *driver) drain() {
	d.event(func(now time.Duration) { d.session.Drain(now) })
}

func (d *driver) abort() {
	d.event(func(now time.Duration) { d.session.Abort(now) })
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
