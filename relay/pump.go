package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// pump reads one connection for as long as its port is of use, and sends on
// what the session lets through.
type pump struct {
	d    *driver
	port router.Port
	src  *link
	self goroutines
	// pooled, where it is not nil, says for each show whose d and port are. They
	// stay until what it has brought is done.
	pooled *reader
	buf    buffer

	// What the last show brought, and what of it is still to be done.
	taken   router.Taken
	dst     *link
	unsent  []byte // a part of buf's memory, or of marked
	marked  []byte // what is sent of a request that got another header
	wrote   int    // bytes of what was to be forwarded
	sendErr error
	todo    todo
	account *memory // that what is kept is charged to

	// Why the raw callback was left.
	shown   bool // show has left something to finish
	readErr error
	lull    bool // quiet, and nothing was there

	quiet bool // asked to settle: do not wait for more, say Quiet
}

// exit is why a pump has stopped.
type exit bool

const (
	ended  exit = false // the connection has ended
	parked exit = true  // the goroutine is to end, and the connection goes on
)

// run returns when the connection has ended or the session parks.
func (p *pump) run() exit {
	defer p.buf.drop()
	read := p.readPlain
	if p.src.raw != nil {
		callback := p.readable // made once: it lives as long as the session
		read = func() error { return p.src.raw.Read(callback) }
	}
	for {
		err := read()
		if p.shown {
			p.shown = false
			if p.readErr == nil {
				p.finish()
			}
		}
		if p.readErr != nil {
			err, p.readErr = p.readErr, nil
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if p.pooled == nil && p.d.parks(p.self, len(p.buf.b)) {
				return parked
			}
			p.src.conn.SetReadDeadline(time.Time{})
			p.quiet = p.port == router.Client
		default:
			p.end(err)
			return ended
		}
		if p.lull {
			p.lull, p.quiet = false, false
			p.d.event(func(now time.Duration) { p.d.session.Quiet(now) })
		}
	}
}

// readable is the callback of RawConn.Read. It returns false to wait until
// there is more to read, and true to leave: for run to do what may block, or
// because the stream has ended.
func (p *pump) readable(fd uintptr) bool {
	for {
		r := receive(fd, p.buf.room(), p.src.hints)
		if r.errno == eagain {
			if len(p.buf.b) == 0 {
				p.buf.drop()
			}
			p.waits()
			p.lull = p.quiet
			return p.quiet
		}
		if r.errno != 0 || r.n == 0 {
			p.readErr = readEnd(r.errno)
			return true
		}
		p.buf.filled(r.n)
		p.show()
		if p.shown {
			return true
		}
		switch {
		case r.more, !r.known, p.quiet:
			// read on
		case p.port == router.Client && !p.taken.ReplyDue:
			// Nothing will be written to this client soon. Had it reset the
			// connection right behind its last bytes, only another receive
			// would tell.
		case p.port != router.Client && (p.taken.ReplyDue || p.taken.Need > 0 || p.taken.Body > 0):
			// More of an answer is due. Had the endpoint reset the connection, only
			// another receive would tell.
		default:
			p.waits()
			return false
		}
	}
}

// waits is called before waiting for more to read. Where a part of a request is
// kept, it is now the client's turn.
func (p *pump) waits() {
	if p.port != router.Client || len(p.buf.b) == 0 {
		return
	}
	d := p.d
	d.mu.Lock()
	now := d.listener.server.now()
	d.session.Reading(now)
	d.setWheel(now)
	d.mu.Unlock()
}

// settleTime is how long a connection without raw access is given to show that
// there is more to read.
const settleTime = 10 * time.Millisecond

// readPlain reads once, for connections without raw access.
func (p *pump) readPlain() error {
	if p.quiet {
		p.src.conn.SetReadDeadline(time.Now().Add(settleTime))
	}
	p.waits()
	n, err := p.src.conn.Read(p.buf.room())
	switch {
	case n > 0:
		p.buf.filled(n)
		p.show()
		return nil // an error comes again
	case p.quiet && errors.Is(err, os.ErrDeadlineExceeded):
		p.src.conn.SetReadDeadline(time.Time{})
		p.lull = true
		return nil
	}
	return err
}

// show shows the session what has been read, and sends on what may go on as far
// as the other side takes it without waiting. It sets shown where that leaves
// something to finish.
func (p *pump) show() {
	p.taken, p.unsent, p.sendErr, p.wrote = router.Taken{}, nil, nil, 0
	d := p.lock()
	if d == nil {
		p.taken.ReplyDue = p.pooled.unheld()
		p.shown = p.readErr != nil
		return
	}
	d.unparkLocked()
	now := d.listener.server.now()
	p.taken = d.session.Data(now, p.port, p.buf.b)
	p.forwardLocked(now)
	if p.pooled == nil { // of those never more than a pong is kept
		p.account = d.accountLocked(p)
	}
	p.todo = d.afterEvent(now)
	d.mu.Unlock()
	if p.pooled != nil && p.taken.ReplyDue && p.taken.Forward == 0 {
		p.src.acknowledge() // a PING of ours was answered, and the call behind it is not
	}

	if len(p.unsent) == 0 && p.sendErr == nil && p.todo.none() &&
		!p.taken.Paused && !p.taken.Again && p.taken.Body < spliceMin && (p.taken.Spill == 0 || p.taken.Need > 0) {
		p.buf.consume(p.account, p.taken.Consumed, p.taken.Need)
		p.shown = p.buf.want > 0
		p.taken.Consumed = 0
		return
	}
	p.shown = true
}

// lock locks the driver that is to be shown what has been read, nil where there
// is none.
func (p *pump) lock() *driver {
	if p.pooled != nil {
		return p.pooled.lock()
	}
	p.d.mu.Lock()
	return p.d
}

// finish does what show left to do. It may wait: for the other side to take
// bytes, for memory, or for the session to take more of what is kept.
func (p *pump) finish() {
	for {
		p.sendRest()
		if !p.todo.none() {
			p.d.perform(p.todo)
			p.todo = todo{}
		}
		if p.taken.Spill == 0 || p.taken.Need > 0 { // what goes to disk at once stays where it is
			p.buf.consume(p.account, p.taken.Consumed, p.taken.Need)
		}
		room, spills := p.spillRoom()
		switch {
		case p.taken.Paused:
			p.d.waitResume()
		case spills:
			if p.spill(room) {
				return
			}
		case p.buf.want > 0:
			if p.d.waitMemory(p.account, p.buf.want) != nil {
				p.buf.drop() // the session is over
				return
			}
			p.buf.grow(p.account)
			return
		case p.taken.Again && len(p.buf.b) > 0:
		case p.taken.Body >= spliceMin && p.sendErr == nil && p.dst != nil:
			p.moveBody()
			return
		default:
			return
		}
		if p.pooled == nil && p.d.isOver() {
			p.buf.drop()
			return
		}
		p.show()
		if !p.shown {
			return
		}
		p.shown = false
	}
}

// end delivers the end of the connection.
func (p *pump) end(err error) {
	if p.pooled != nil {
		p.pooled.end(err)
		return
	}
	switch {
	case errors.Is(err, net.ErrClosed):
		// by ourselves: the session knows
	case errors.Is(err, io.EOF):
		kept := len(p.buf.b)
		p.d.event(func(now time.Duration) { p.d.session.EOF(now, p.port, kept) })
	default:
		p.d.event(func(now time.Duration) { p.d.session.Reset(now, p.port, err) })
	}
}
