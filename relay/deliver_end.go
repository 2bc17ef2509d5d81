package relay

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// How a leg ends.

// wrote notes that bytes of the request have been written on lease, or all of them. The
// connection may have ended meanwhile, or the reply have come.
func (l *leg) wrote(lease *backend.Lease, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.lease != lease {
		return
	}
	l.begun, l.whole = true, all
	if all && l.delivery.Resends() {
		l.delivery.Cluster().Earn()
	}
	switch {
	case all && l.early:
		go l.finish(l.verdict())
	case l.gone != nil:
		go l.broken(lease, l.gone)
	}
}

// sent: a oneway request is written, unless its connection broke in the middle of it: then
// the leg ends as broken.
func (l *leg) sent() {
	l.mu.Lock()
	whole := l.whole
	l.mu.Unlock()
	if !whole {
		return
	}
	l.finish(backend.Resting, router.LegResult{Outcome: metrics.Sent})
}

// lost tells the leg that the connection has ended that r reads.
func (l *leg) lost(r *reader, err error) {
	l.mu.Lock()
	if l.lease == nil || l.reader != r {
		l.mu.Unlock()
		return
	}
	l.gone = err
	lease, begun := l.lease, l.begun
	l.mu.Unlock()
	if begun { // otherwise whoever is about to write will find out
		l.broken(lease, err)
	}
}

// broken: the lease's connection can be used no more, and part of the request may be
// lost.
func (l *leg) broken(lease *backend.Lease, err error) {
	l.mu.Lock()
	early := l.early && l.lease == lease
	_, verdict := l.verdict()
	l.mu.Unlock()
	if early { // it did not want the rest
		l.finish(backend.Torn, verdict)
		return
	}
	if !l.giveUp(lease) {
		return
	}
	x := l.delivery
	o, r := l.BrokenAs(), router.LegResult{Err: router.ErrLost, Outcome: metrics.BackendClosed}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		o, r = backend.Broken, router.LegResult{Err: router.ErrSendTimeout, Outcome: metrics.SendTimedOut}
	case errors.Is(err, router.ErrSpill):
		o, r = backend.Torn, router.LegResult{Err: err, Outcome: metrics.Undeliverable}
	}
	if o == backend.Broken && x.Resends() && l.Elsewhere() && x.message != nil && x.Cluster().Spend() == nil {
		l.Unsent()
		lease.Done(o) // and the search goes on elsewhere
		x.spawn(l.run)
		return
	}
	lease.Done(o)
	l.finish(o, r)
}

// cancelUnsent ends a leg that has found no endpoint.
func (l *leg) cancelUnsent() {
	r := router.LegResult{Err: context.Canceled, Outcome: metrics.ClientClosed}
	first, _ := l.settle(backend.Cancelled, r, true)
	if first {
		l.delivery.legEnded()
	}
}

// finish ends the leg: its lease, where it has one, with o, and its account with r.
func (l *leg) finish(o backend.Outcome, r router.LegResult) {
	first, decided := l.settle(o, r, false)
	if decided {
		d := l.delivery.driver
		d.event(func(now time.Duration) { d.session.Delivered(now, l.delivery.Delivery) })
	}
	if first {
		l.delivery.legEnded()
	}
}

// answered is finish from within a reader's callback, which must not wait.
func (l *leg) answered(o backend.Outcome, r router.LegResult) {
	first, decided := l.settle(o, r, false)
	if decided {
		d := l.delivery.driver
		d.mu.Lock()
		d.unparkLocked()
		now := d.listener.server.now()
		d.session.Delivered(now, l.delivery.Delivery)
		t := d.afterEvent(now)
		d.tellLocked(now, &t)
		d.mu.Unlock()
		if !t.none() {
			go d.perform(t)
		}
	}
	if first {
		l.delivery.legEnded()
	}
}

// settle ends a leg, and reports whether that decides the client's answer. Only the
// first end counts, and where onlyUnsent is set, only that of a leg without a lease.
func (l *leg) settle(o backend.Outcome, r router.LegResult, onlyUnsent bool) (first, decided bool) {
	x := l.delivery
	l.mu.Lock()
	if l.ended || onlyUnsent && l.lease != nil {
		l.mu.Unlock()
		return false, false
	}
	l.ended = true
	lease, reader, cancel, whole := l.lease, l.reader, l.cancel, l.whole
	l.lease = nil
	l.mu.Unlock()
	if cancel != nil {
		cancel(backend.ErrTooLate)
	}
	if lease != nil {
		reader.unserve(l)
		if r.Head.Type == wire.Result {
			lease.Settled()
		}
		switch {
		case o == backend.TimedOut && !whole:
			o = backend.Broken // it does not even take the request
		case o == backend.TimedOut:
			o = l.Tardy(lease)
		case o == backend.Resting, o == backend.Doubtful:
			o = ping(reader, lease, o)
		}
		lease.Done(o)
	}
	if r.Outcome != metrics.Replied && r.Outcome != metrics.Sent {
		x.log(l, &r)
	}
	return true, l.End(x.driver.listener.server.now(), r)
}

// ping sends a PING behind what the daemon may still be at work on. One that does not
// go at once costs the connection.
func ping(r *reader, lease *backend.Lease, o backend.Outcome) backend.Outcome {
	b := lease.Handshake().Ping(router.PingSeq)
	n, err := r.link.trySend(b)
	if r.link.raw == nil {
		n, err = r.link.push(b, ownSendTime)
	}
	switch {
	case err == nil && n == len(b):
		return o
	case o == backend.Resting:
		return backend.Abandoned
	}
	return backend.Spent
}

// tellLocked does what of t goes without waiting: sending the client its answer, and
// looking at its next request. The lock is held.
func (d *driver) tellLocked(now time.Duration, t *todo) {
	if len(t.actions) == 0 {
		return
	}
	if a := &t.actions[0]; a.Op == router.Send && a.Port == router.Client && d.client.raw != nil {
		n, err := d.client.trySend(a.Bytes)
		if err != nil || n < len(a.Bytes) {
			a.Bytes = a.Bytes[n:] // whoever sends the rest comes upon the error
			return
		}
		d.session.Sent(now, router.Client)
		after := d.afterEvent(now)
		t.failed, t.circles = append(t.failed, after.failed...), append(t.circles, after.circles...)
		if after.failed != nil || after.circles != nil {
			t.summary = after.summary
		}
		t.timedOut = append(t.timedOut, after.timedOut...)
		t.actions = append(t.actions[1:], after.actions...)
	}
	for len(t.actions) > 0 && t.actions[0].Op == router.Resume {
		select {
		case d.resumeLocked() <- struct{}{}:
		default:
		}
		t.actions = t.actions[1:]
	}
	if len(t.actions) == 0 {
		t.actions = nil
	}
}
