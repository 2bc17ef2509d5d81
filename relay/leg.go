package relay

import (
	"context"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// wantedLeg is an endpoint asked for; its zero value is none.
type wantedLeg struct {
	port    router.Port
	attempt *backend.Attempt
}

func (d *driver) startLeg(w wantedLeg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return // performed late, behind the Close of another event
	}
	d.wanted = w
	if !d.legging {
		d.legging = true
		d.running++
		go d.runLeg()
	}
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
		ctx, cancel := context.WithCancelCause(context.Background())
		d.cancel = cancel
		cluster := d.session.Route().Cluster
		d.mu.Unlock()

		lease, err := cluster.Acquire(ctx, w.attempt)
		cancel(nil)
		if err != nil {
			d.event(func(now time.Duration) { d.session.Unreachable(now, w.port, err) })
			continue
		}
		if lease.Conn.Pooled() {
			d.event(func(now time.Duration) { d.session.Granted(now, w.port, lease, 0) })
			continue // its own goroutine reads it
		}
		leg := newLink(lease.Conn.Conn)
		lease.OnDown(d.endpointDown)
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
	if ghost := d.givenUp(leg); ghost != nil {
		ghost.Ended()
		return
	}
	d.runLeg()
}

// hauntLocked: the session has given up its leg, whose daemon still works on a
// call. The leg's goroutine reads on until that is over, for the endpoint and no
// longer for the session, which may be gone by then. It reports whether the account is
// to be ended, since Close was performed before this. The lock is held.
func (d *driver) hauntLocked(l *backend.Lease) (last bool) {
	if d.leg == nil || d.leg.conn != l.Conn.Conn || !d.legging {
		return false
	}
	l.Conn.Reader = d.leg
	d.ghost = l.Conn
	d.leg, d.legPort = nil, 0
	d.legging = false
	d.running--
	return d.running == 0 && d.over
}

// givenUp gives the connection of a leg that only its goroutine reads any more, nil
// where that is the session's.
func (d *driver) givenUp(leg *link) *backend.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ghost == nil || d.ghost.Conn != leg.conn {
		return nil
	}
	return d.ghost
}

// endpointDown is called when the endpoint of the session's lease is found down.
func (d *driver) endpointDown() {
	go d.event(func(now time.Duration) { d.session.EndpointDown(now) })
}
