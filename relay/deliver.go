package relay

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// How the legs of a delivery are carried out. Each takes a pooled connection, whose
// reader reads the reply; where such a connection is idle and takes the request at
// once, no goroutine is needed.

// delivery carries out one router.Delivery for a driver.
type delivery struct {
	*router.Delivery
	driver *driver
	legs   []*leg

	// message is the whole request, in memory of its own; nil: no leg needs it any more
	// or yet.
	message []byte

	mu       sync.Mutex
	charge   charges
	left     int // legs that have not ended
	deadline *time.Timer
	detached bool // nobody waits for the client's answer any more
}

// leg is one leg of a delivery, and what reads a pooled connection while it has one.
type leg struct {
	*router.Leg
	delivery *delivery

	sending sync.Mutex // held by try: what it brings about waits until it has written

	mu     sync.Mutex
	ended  bool
	cancel context.CancelCauseFunc // of the search for an endpoint; nil: there is none
	lease  *backend.Lease          // nil: none, or given back
	reader *reader
	begun  bool  // bytes of the request have been written
	whole  bool  // all of them have
	gone   error // why the connection has ended
	// What of the request the connection has not taken at once; restOfHead: it is more than
	// the end of the message. For deliverLocked.
	rest       []byte
	restOfHead bool
	reply      []byte
	head       wire.Head // of reply, as soon as it is there
	early      bool      // reply is complete, and came before whole was known
	unasked    bool      // more came than the reply
}

// deliverLocked begins the delivery of message, which is the pump's. It does not wait.
// The driver's lock is held.
func (d *driver) deliverLocked(now time.Duration, rd *router.Delivery, message []byte) {
	x := &delivery{Delivery: rd, driver: d, left: len(rd.Legs)}
	x.legs = make([]*leg, len(rd.Legs))
	for i, l := range rd.Legs {
		x.legs[i] = &leg{Leg: l, delivery: x}
	}
	d.running++ // until all legs have ended: the session's account is not complete before
	if d.deliveries == nil {
		d.deliveries = make(map[*router.Delivery]*delivery)
	}
	d.deliveries[rd] = x
	var slow []*leg
	for _, l := range x.legs {
		if !l.try(now, message) {
			slow = append(slow, l)
		}
	}
	kept := true
	if len(slow) > 0 || rd.Resends() {
		if kept = x.charge.take(d.listener.server.requests, len(message)); kept {
			x.message = bytes.Clone(message)
		}
	}
	for _, l := range slow {
		switch {
		case !kept:
			go l.finish(backend.Torn, router.LegResult{Err: router.ErrMemory, Outcome: metrics.QueueFull})
		case l.rest != nil:
			rest := x.message[len(message)-len(l.rest):]
			if l.restOfHead {
				rest = bytes.Clone(l.rest)
			}
			go l.sendRest(rest)
		default:
			go l.run()
		}
	}
	d.session.Handed(now, rd)
}

// try begins the leg if that goes at once: there is an idle connection, and it takes
// the whole request. Otherwise rest is what it has not taken, if it took some. The
// reply may be there before try returns.
func (l *leg) try(now time.Duration, message []byte) (done bool) {
	lease := l.Cluster().TryLease(l.Attempt())
	if lease == nil {
		return false
	}
	l.sending.Lock()
	defer l.sending.Unlock()
	head, body, err := l.take(now, lease, message)
	if err != nil {
		return errors.Is(err, errLegEnded)
	}
	link := l.reader.link
	if link.raw == nil {
		return !l.unsend() // such a connection cannot be written to without waiting
	}
	n, err := link.trySendBoth(head, body)
	switch {
	case n == 0: // elsewhere, or later, unless it has ended meanwhile
		return !l.unsend()
	case err != nil:
		l.writes(false)
		go l.broken(err)
		return true
	case n < len(head):
		l.rest, l.restOfHead = slices.Concat(head[n:], body), true
	case n < len(head)+len(body):
		l.rest = body[n-len(head):]
	}
	l.writes(l.rest == nil)
	if l.rest != nil {
		return false
	}
	if l.delivery.Oneway() {
		go l.sent()
	}
	return true
}

// writes notes that bytes of the request have been written, or all of them. The
// connection may have ended meanwhile.
func (l *leg) writes(all bool) {
	l.mu.Lock()
	l.begun, l.whole = true, all
	gone, early := l.gone, l.early && all
	l.mu.Unlock()
	switch {
	case early:
		go l.finishEarly()
	case gone != nil:
		go l.broken(gone)
	}
}

var errLegEnded = errors.New("the leg has ended")

// take makes the lease's connection the leg's, and gives what is to be sent on it. The
// body is a part of message.
func (l *leg) take(now time.Duration, lease *backend.Lease, message []byte) (head, body []byte, err error) {
	r := lease.Conn.Reader.(*reader)
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		lease.Done(backend.Cancelled)
		return nil, nil, errLegEnded
	}
	l.lease, l.reader = lease, r
	l.mu.Unlock()
	head, cut, err := l.Begin(now, lease, message)
	if err != nil {
		go l.finish(backend.Cancelled, router.LegResult{Err: err, Outcome: metrics.Circular})
		return nil, nil, errLegEnded
	}
	if err := r.serve(l); err != nil { // it has ended already
		l.unsend()
		return nil, nil, err
	}
	return head, message[cut:], nil
}

// unsend gives back a lease on which nothing was sent, so that the leg can go
// elsewhere. It reports false where the leg has ended.
func (l *leg) unsend() bool {
	l.mu.Lock()
	lease, r := l.lease, l.reader
	l.lease, l.gone = nil, nil
	ended := l.ended
	l.mu.Unlock()
	if ended || lease == nil {
		return false
	}
	r.unserve(l)
	l.Unsent()
	lease.Done(backend.Torn)
	return true
}

// run finds the leg an endpoint and sends it the request. It is the leg's goroutine, as
// long as it has one.
func (l *leg) run() {
	x := l.delivery
	for {
		ctx, cancel := context.WithCancelCause(context.Background())
		l.mu.Lock()
		if l.ended {
			l.mu.Unlock()
			cancel(nil)
			return
		}
		l.cancel = cancel
		l.mu.Unlock()
		lease, err := l.Cluster().Acquire(ctx, l.Attempt())
		l.mu.Lock()
		l.cancel = nil
		l.mu.Unlock()
		cancel(nil)
		if err != nil {
			if l.Next() {
				continue
			}
			l.finish(0, router.LegResult{Err: err, Outcome: router.UnsentAs(err)})
			return
		}
		head, body, err := l.take(x.driver.listener.server.now(), lease, x.message)
		if errors.Is(err, errLegEnded) {
			return
		}
		if err != nil {
			continue
		}
		n, err := l.reader.link.push(append(head, body...), x.Send)
		if n == 0 && err != nil && l.unsend() {
			continue
		}
		l.writes(err == nil)
		if err != nil {
			l.broken(err)
			return
		}
		l.sent()
		return
	}
}

// sendRest writes what the connection did not take at once.
func (l *leg) sendRest(rest []byte) {
	if _, err := l.reader.link.push(rest, l.delivery.Send); err != nil {
		l.broken(err)
		return
	}
	l.writes(true)
	l.sent()
}

// sent: the whole request is written.
func (l *leg) sent() {
	if l.delivery.Oneway() {
		l.finish(backend.Resting, router.LegResult{Outcome: metrics.Sent})
	}
}

// broken: the connection can be used no more, and part of the request may be lost.
func (l *leg) broken(err error) {
	o, r := l.BrokenAs(), router.LegResult{Err: router.ErrLost, Outcome: metrics.BackendClosed}
	if isTimeout(err) {
		o, r = backend.Broken, router.LegResult{Err: router.ErrSendTimeout, Outcome: metrics.SendTimedOut}
	}
	if l.hasReply() { // so it does not matter that it did not want the rest
		_, r = l.verdict()
		l.finish(backend.Torn, r)
		return
	}
	l.mu.Lock()
	resend := !l.ended && l.delivery.Resends() && l.reply == nil && l.lease != nil && o == backend.Broken
	l.mu.Unlock()
	if resend && l.Cluster().Spend() == nil {
		l.mu.Lock()
		lease, reader := l.lease, l.reader
		l.lease, l.begun, l.whole, l.gone = nil, false, false, nil
		l.mu.Unlock()
		if lease != nil {
			reader.unserve(l)
			l.Unsent()
			lease.Done(o)
			l.Attempt().Again()
			go l.run()
		}
		return
	}
	l.finish(o, r)
}

// hasReply: the reply is complete, though the request may not be.
func (l *leg) hasReply() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.early
}

// finishEarly ends a leg whose reply came before it was known that all of the request
// had been written.
func (l *leg) finishEarly() {
	l.mu.Lock()
	o, r := l.verdict()
	l.mu.Unlock()
	l.finish(o, r)
}

// finish ends the leg: its lease with o, and its account with r.
func (l *leg) finish(o backend.Outcome, r router.LegResult) {
	first, decided := l.settle(o, r)
	if decided {
		d := l.delivery.driver
		d.event(func(now time.Duration) { d.session.Delivered(now, l.delivery.Delivery) })
	}
	if first {
		l.delivery.legEnded()
	}
}

// settle does so, and reports whether that decides the client's answer. Only the first
// end of a leg counts.
func (l *leg) settle(o backend.Outcome, r router.LegResult) (first, decided bool) {
	x := l.delivery
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false, false
	}
	l.ended = true
	lease, reader, cancel := l.lease, l.reader, l.cancel
	l.lease = nil
	l.mu.Unlock()
	if cancel != nil {
		cancel(backend.ErrTooLate)
	}
	if lease != nil {
		if r.Reply != nil {
			lease.Settled()
		}
		if o == backend.TimedOut {
			o = l.Tardy(lease)
		}
		if o == backend.Resting || o == backend.Doubtful {
			o = ping(reader, lease, o)
		}
		reader.unserve(l)
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
	h := lease.Handshake()
	b := wire.AppendPing(nil, h.Dialect, h.Serializer, router.PingSeq)
	n, err := r.link.trySend(b)
	if r.link.raw == nil && err == nil {
		n, err = r.link.push(b, ownSendTime)
	}
	switch {
	case err != nil || n < len(b):
		if o == backend.Resting {
			return backend.Abandoned
		}
		return backend.Spent
	}
	return o
}

// legEnded counts out a leg that has ended, and with the last one the delivery.
func (x *delivery) legEnded() {
	x.mu.Lock()
	x.left--
	last := x.left == 0
	if last && x.deadline != nil {
		x.deadline.Stop()
	}
	x.mu.Unlock()
	if !last {
		return
	}
	x.charge.settle()
	d := x.driver
	d.mu.Lock()
	delete(d.deliveries, x.Delivery)
	d.mu.Unlock()
	d.leave()
}

// expire ends all legs that have not ended: they have taken too long.
func (x *delivery) expire() {
	for _, l := range x.legs {
		l.giveUp(router.LegResult{Err: router.ErrTimeout, Outcome: metrics.TimedOut})
	}
}

func (l *leg) giveUp(r router.LegResult) {
	l.mu.Lock()
	ended := l.ended
	l.mu.Unlock()
	if !ended {
		l.finish(backend.TimedOut, r)
	}
}

// detach: the client has its answer, or has gone. Legs that have found no endpoint yet
// are given up where it has gone; those that were sent go on for as long as they may.
func (x *delivery) detach(gone bool) {
	if gone {
		for _, l := range x.legs {
			l.mu.Lock()
			waits := !l.ended && l.lease == nil
			l.mu.Unlock()
			if waits {
				l.finish(backend.Cancelled, router.LegResult{Err: context.Canceled, Outcome: metrics.ClientClosed})
			}
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.left == 0 || x.detached {
		return
	}
	x.detached = true
	within := x.legs[0].Cluster().GhostTimeout()
	if x.Due > 0 {
		within = max(0, x.Due-x.driver.listener.server.now())
	}
	x.deadline = time.AfterFunc(within, x.expire)
}

// log writes one line for a leg that was not answered well.
func (x *delivery) log(l *leg, r *router.LegResult) {
	fields := []zap.Field{
		zap.String("peer", x.driver.peer), zap.String("route", l.Route()), zap.String("object", l.Target()),
		zap.String("endpoint", l.Endpoint()), zap.Stringer("outcome", r.Outcome),
	}
	if r.Err != nil {
		fields = append(fields, zap.Error(r.Err))
	}
	if id := l.Correlation(); id != [16]byte{} {
		fields = append(fields, zap.Stringer("correlation_id", uuid.UUID(id)))
	}
	x.driver.listener.log.Warn("dispatched call failed at a target", fields...)
}
