package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// How the legs of a delivery are carried out. Each takes a pooled connection, whose
// reader reads the reply; where such a connection is idle and takes the request at
// once, no goroutine is needed.
//
// Locks are taken in the order driver, leg, reader; nothing is held while a cluster is
// asked or a session told.

// delivery carries out one router.Delivery for a driver.
type delivery struct {
	*router.Delivery
	driver *driver
	legs   []leg

	// message is the whole request, in memory of its own; nil: no leg needs it. It is set
	// before any goroutine can want it. Where there is a file, that has the data, and message
	// is header and annotations.
	message []byte
	file    *spilled

	mu       sync.Mutex
	users    int  // goroutines that may read message
	large    bool // its memory is to be given back when nobody does
	charge   charges
	left     int // legs that have not ended
	deadline *time.Timer
	detached bool // nobody waits for the client's answer any more

	one [1]leg // memory of legs
}

// deliverLocked begins the delivery of the whole request that p has read. It does not
// wait. The driver's lock is held.
func (d *driver) deliverLocked(now time.Duration, rd *router.Delivery, p *pump) {
	x := d.newDeliveryLocked(rd)
	message := p.buf.b[:p.taken.Forward]
	kept := rd.Resends() && x.keep(message, p)
	var slow, sent []*leg
	for i := range x.legs {
		l := &x.legs[i]
		switch done := l.try(now, message); {
		case !done:
			slow = append(slow, l)
		case rd.Oneway():
			sent = append(sent, l)
		}
	}
	if len(slow) > 0 && !rd.Resends() {
		kept = x.keep(message, p)
	}
	for _, l := range slow {
		switch {
		case !kept:
			go l.finish(backend.Torn, router.LegResult{Err: router.ErrMemory, Outcome: metrics.QueueFull})
		case l.waits != nil:
			x.spawn(l.sendRest)
		default:
			x.spawn(l.run)
		}
	}
	d.session.Handed(now, rd)
	for _, l := range sent {
		go l.sent()
	}
}

// newDeliveryLocked makes what carries out rd. The driver's lock is held.
func (d *driver) newDeliveryLocked(rd *router.Delivery) *delivery {
	x := &delivery{Delivery: rd, driver: d, left: len(rd.Legs)}
	if x.legs = x.one[:]; x.left > 1 {
		x.legs = make([]leg, x.left)
	}
	for i := range x.legs {
		x.legs[i].Leg, x.legs[i].delivery = &rd.Legs[i], x
	}
	d.running++ // until all legs have ended: the session's account is not complete before
	d.deliveries = append(d.deliveries, x)
	return x
}

// keep takes the message that p has read over, or copies it. It reports whether there
// was memory for that.
func (x *delivery) keep(message []byte, p *pump) bool {
	if k := &p.buf; k.pooled == nil && len(k.b) == len(message) {
		x.charge.add(k.handOver())
		x.mu.Lock() // legs that are sent may end meanwhile
		x.message, x.large = message, k.large
		x.mu.Unlock()
		*k = buffer{}
		p.taken.Consumed = 0
		return true
	}
	if !x.charge.take(x.driver.listener.server.requests, len(message)) {
		return false
	}
	x.message = slices.Clone(message)
	return true
}

// spawn runs f, which may read the message, in a goroutine of its own.
func (x *delivery) spawn(f func()) {
	x.mu.Lock()
	x.users++
	x.mu.Unlock()
	go func() {
		f()
		x.mu.Lock()
		x.users--
		x.forgetLocked()
		x.mu.Unlock()
	}()
}

// forgetLocked gives the message's memory, or its file, back where nobody needs it any more.
func (x *delivery) forgetLocked() {
	if x.left > 0 || x.users > 0 {
		return
	}
	if x.large {
		x.large = false
		giveLarge(x.message)
	}
	if f := x.file; f != nil {
		x.file = nil
		go func() { // it may wait for the disk
			f.close()
			x.driver.leave()
		}()
	}
}

// legEnded counts out a leg that has ended, and with the last one the delivery.
func (x *delivery) legEnded() {
	x.mu.Lock()
	x.left--
	last := x.left == 0
	if last && x.deadline != nil {
		x.deadline.Stop()
	}
	x.forgetLocked()
	x.mu.Unlock()
	if !last {
		return
	}
	d := x.driver
	d.mu.Lock()
	d.deliveries = slices.DeleteFunc(d.deliveries, func(other *delivery) bool { return other == x })
	if d.session.Telling() { // perhaps the answer of a leg
		d.answers.add(x.charge.give()...)
	} else {
		x.charge.settle()
	}
	d.running--
	over := d.running == 0 && d.over
	d.mu.Unlock()
	if over {
		go d.listener.sessionEnded(d) // not from within a callback
	}
}

// expire ends all legs that have not ended: they have taken too long.
func (x *delivery) expire() {
	o := backend.TimedOut
	if x.Due == 0 { // the call may take any time, but nobody waits for it
		o = backend.Torn
	}
	for i := range x.legs {
		x.legs[i].finish(o, router.LegResult{Err: router.ErrTimeout, Outcome: metrics.TimedOut})
	}
}

// abort ends them because the server does.
func (x *delivery) abort() {
	for i := range x.legs {
		x.legs[i].finish(backend.Torn, router.LegResult{Err: context.Canceled, Outcome: metrics.Aborted})
	}
}

// detach: the client has its answer, or has gone. Legs that have found no endpoint yet
// are given up where it has gone; those that were sent go on for as long as they may.
func (x *delivery) detach(gone bool) {
	if gone {
		for i := range x.legs {
			x.legs[i].cancelUnsent()
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.left == 0 || x.detached {
		return
	}
	x.detached = true
	within := x.Cluster().GhostTimeout()
	switch {
	case x.Due > 0:
		within = max(0, x.Due-x.driver.listener.server.now())
	case within == 0:
		within = unheard
	}
	x.deadline = time.AfterFunc(within, x.expire)
}

// unheard is how long a leg may take whose answer nobody waits for, where neither the
// call nor its cluster says. It may still have to be sent.
const unheard = time.Minute

// deliveryOf gives what carries out rd, nil where all its legs have ended.
func (d *driver) deliveryOf(rd *router.Delivery) *delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.deliveries {
		if x.Delivery == rd {
			return x
		}
	}
	return nil
}

// abortDeliveries ends those that go on although their session is over.
func (d *driver) abortDeliveries() {
	d.mu.Lock()
	all := slices.Clone(d.deliveries)
	d.mu.Unlock()
	for _, x := range all {
		x.abort()
	}
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

// logCircle writes one line for a circle of calls that the leg to an object closes, or may.
func (x *delivery) logCircle(route, object string, c *router.FoundCircle) {
	level := zapcore.WarnLevel
	if !c.Certain {
		level = zapcore.DebugLevel
	}
	x.driver.listener.log.Log(level, "circular call",
		zap.String("peer", x.driver.peer), zap.String("route", route), zap.String("object", object),
		zap.Stringer("chain", c.Circle), zap.Bool("certain", c.Certain), zap.Bool("rejected", c.Rejected),
		zap.Stringer("correlation_id", uuid.UUID(c.Correlation)))
}

var (
	errLegEnded = errors.New("the leg has ended")
	errBusyLink = errors.New("connection that cannot be written to without waiting")
)
