package relay

import (
	"syscall"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// goroutines is a set of a session's two goroutines.
type goroutines uint8

const (
	clientGoroutine goroutines = 1 << iota
	legGoroutine
	bothGoroutines = clientGoroutine | legGoroutine
)

// Parking takes three steps. The wheel finds a session that has been idle and
// asks both goroutines to leave, by letting their reads time out. Each one
// leaves, unless a call has begun meanwhile. When the last has left, the
// session is entered in the lot. Whatever happens on either connection from the
// time that its goroutine stopped reading makes the lot wake the session, and so
// does every event; it then gets both goroutines anew.

// visitAfter is how long nothing must have happened in a session before the
// wheel looks at it. An idle one is parked then.
const visitAfter = time.Second

// visitable: both connections allow what visit does. The lock is held.
func (d *driver) visitable() bool {
	if d.listener.server.lot == nil || d.client.raw == nil {
		return false
	}
	if !d.calls() && (d.leg == nil || d.leg.raw == nil) {
		return false
	}
	if d.session.Pressed() {
		return false
	}
	switch d.session.State() {
	case router.Idle, router.Sending, router.Waiting, router.Replying:
		return true
	case router.Acquiring:
		return d.calls()
	}
	return false
}

// calls: the session is in mode call, or answered by us. It parks one goroutine, and its
// leg's connection, if it has one, is not its own.
func (d *driver) calls() bool {
	r := d.session.Route()
	return r != nil && (r.Mode == router.ModeCall || r.Answer != nil)
}

// resident are the goroutines of a session that is not parked.
func (d *driver) resident() goroutines {
	if d.calls() {
		return clientGoroutine
	}
	return bothGoroutines
}

// canPark: the session is at rest. The lock is held.
func (d *driver) canPark() bool { return d.visitable() && d.session.State() == router.Idle }

// visit asks the goroutines of an idle session to leave. In a session that
// waits for its daemon it looks whether the client's connection has broken
// behind the request: the poller reports that once, together with the request
// if both came at once. The client's reader is then made to look again.
func (d *driver) visit() {
	d.mu.Lock()
	if !d.visitable() {
		d.mu.Unlock()
		return
	}
	idle := d.canPark()
	ask := idle && !d.parking
	d.parking = d.parking || ask
	if idle {
		d.listener.server.wheel.set(&d.timer, d.session.Deadline()) // of its idle time
	} else {
		d.setWheel(d.listener.server.now())
	}
	leg, calls, paused := d.leg, d.calls(), d.paused
	d.mu.Unlock()
	switch {
	case ask:
		timeOut(d.client)
		if !calls {
			timeOut(leg)
		}
	case idle || !d.client.broken():
	case paused && calls: // nobody would come upon it
		d.event(func(now time.Duration) { d.session.Reset(now, router.Client, syscall.ECONNRESET) })
	default:
		timeOut(d.client)
	}
}

// timeOut makes the reader of l return.
func timeOut(l *link) { l.conn.SetReadDeadline(time.Unix(1, 0)) }

// parks is asked by a goroutine whose read has timed out: it leaves if true,
// and has nothing more to do with the session.
func (d *driver) parks(which goroutines, kept int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.parking {
		return false
	}
	if kept > 0 || !d.canPark() {
		d.unparkLocked()
		return false
	}
	d.away |= which
	if d.away != d.resident() {
		return true
	}
	if d.listener.server.lot.add(d) != nil {
		d.away &^= which
		d.unparkLocked()
		return false
	}
	d.trimLocked()
	return true
}

// trimLocked drops what a parked session has no use for. Without goroutines nobody
// waits on its channels.
func (d *driver) trimLocked() {
	d.session.Trim()
	d.cancel = nil
	if !d.over && len(d.deliveries) == 0 && len(d.resume) == 0 {
		d.resume, d.ended = nil, nil
	}
}

// unpark gives a session that is parked, or about to be, its goroutines back.
func (d *driver) unpark() {
	d.mu.Lock()
	d.unparkLocked()
	d.mu.Unlock()
}

func (d *driver) unparkLocked() {
	if !d.parking {
		return
	}
	if d.away == d.resident() {
		d.listener.server.lot.remove(d)
	}
	if d.away&clientGoroutine != 0 {
		d.client.conn.SetReadDeadline(time.Time{})
		go d.runClient()
	}
	if d.away&legGoroutine != 0 {
		d.leg.conn.SetReadDeadline(time.Time{})
		go d.runLegFrom(d.leg, d.legPort)
	}
	d.parking, d.away = false, 0
}
