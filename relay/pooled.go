package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// reader reads a pooled connection from the end of its handshake to its own end,
// for whichever session holds it. So an idle connection's end is noticed, and a
// call needs no goroutine of its own.
type reader struct {
	conn *backend.Conn
	link *link
	pump pump

	mu     sync.Mutex
	holder *driver // nil: nobody
	port   router.Port
	ended  error // why the connection ended, once it has
	leg    *leg  // of a delivery, in the place of a holder; nil: none
}

// Adopt begins to read a pooled connection. It is what backend.Config.Adopt
// wants.
func Adopt(c *backend.Conn) {
	r := &reader{conn: c, link: newLink(c.Conn)}
	r.link.pooled = true
	r.pump = pump{pooled: r, src: r.link, port: noPort}
	c.Reader = r
	go r.run()
}

// noPort is of a pooled connection that was not leased yet: not the client's.
const noPort = ^router.Port(0)

// run is the connection's goroutine.
func (r *reader) run() { r.pump.run() }

// hold makes the connection d's, under the port. It fails where the connection
// has ended: then nothing may be written to it. d's lock is held.
func (r *reader) hold(d *driver, port router.Port) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		return r.ended
	}
	r.holder, r.port = d, port
	return nil
}

// leave ends that. d's lock is held.
func (r *reader) leave(d *driver) {
	r.mu.Lock()
	if r.holder == d {
		r.holder, r.port = nil, noPort
	}
	r.mu.Unlock()
}

// lock finds out whose the bytes are that were read, and locks that driver for
// them to be shown to it. It returns nil where they are nobody's: the session may
// also be done with its lease, and not have given it back yet.
func (r *reader) lock() *driver {
	r.mu.Lock()
	d, port := r.holder, r.port
	r.mu.Unlock()
	if d == nil {
		return nil
	}
	d.mu.Lock()
	if at, lease := d.session.Leg(); lease == nil || at != port {
		d.mu.Unlock()
		return nil
	}
	r.pump.d, r.pump.port = d, port
	return d
}

var errUnasked = errors.New("message that nobody asked for")

// unheld deals with bytes that are nobody's: answers to PINGs of ours, and what is
// left of a call that was given up. It reports whether more is due: whoever waits for
// the end of what nobody holds reads on.
func (r *reader) unheld() (due bool) {
	r.mu.Lock()
	l := r.leg
	r.mu.Unlock()
	if l != nil {
		return l.read(r)
	}
	k := &r.pump.buf
	n := 0
	for n < len(k.b) && !r.conn.Haunting() {
		h, err := wire.ParseHead(k.b[n:])
		switch {
		case errors.Is(err, wire.ErrShort),
			err == nil && h.Type == wire.Ping && h.Len() <= router.MaxPong && int64(len(k.b)-n) < h.Len():
			k.consume(nil, n, router.MaxPong)
			return true
		case err != nil, h.Type != wire.Ping, h.Len() > router.MaxPong:
			r.pump.readErr = errUnasked
			k.drop()
			return true
		}
		n += int(h.Len())
		r.conn.Pong()
	}
	k.drop()
	return true
}

// end deals with the end of the connection.
func (r *reader) end(err error) {
	r.mu.Lock()
	r.ended = err
	d, port, l := r.holder, r.port, r.leg
	r.mu.Unlock()
	r.conn.Ended() // before the session knows: it must not be given out again
	switch {
	case l != nil:
		l.lost(r, err)
	case d == nil, errors.Is(err, net.ErrClosed):
	case errors.Is(err, io.EOF):
		d.event(func(now time.Duration) { d.session.EOF(now, port, 0) })
	default:
		d.event(func(now time.Duration) { d.session.Reset(now, port, err) })
	}
}

// bindLocked makes the connection of the session's lease, where its port is p, the
// one that the driver reads and writes. It fails where the connection has ended.
// The lock is held.
func (d *driver) bindLocked(p router.Port) error {
	port, lease := d.session.Leg()
	if lease == nil || !lease.Conn.Pooled() || port != p || port == d.legPort {
		return nil
	}
	r := lease.Conn.Reader.(*reader)
	if err := r.hold(d, port); err != nil {
		return err
	}
	d.leg, d.legPort = r.link, port
	return nil
}

// unbindLocked lets go of a lease's connection, which may be somebody else's as
// soon as the lease has ended. The lock is held.
func (d *driver) unbindLocked(l *backend.Lease) {
	r := l.Conn.Reader.(*reader)
	r.leave(d)
	if d.leg == r.link {
		d.leg, d.legPort = nil, 0
	}
}

// settleLocked ends a lease that the session is done with. The lock is held, and
// ending a pooled lease does not block.
func (d *driver) settleLocked() {
	if l, o := d.session.Freed(); l != nil {
		d.unbindLocked(l)
		l.Done(o)
	}
}
