package relay

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// How a pump sends on what it has read.

// forwardLocked sends on as much as goes at once. The lock is held, so that no
// other event comes between.
func (p *pump) forwardLocked(now time.Duration) {
	d, to := p.d, p.taken.To
	if rd := p.taken.Delivery; rd != nil {
		d.deliverLocked(now, rd, p)
		return
	}
	bytes := p.buf.b[:p.taken.Forward]
	if p.taken.Head != nil {
		p.marked = append(append(p.marked[:0], p.taken.Head...), bytes[p.taken.Cut:]...)
		bytes = p.marked
	}
	if p.dst, p.sendErr = d.linkLocked(to); p.dst != nil {
		p.wrote, p.sendErr = p.dst.trySend(bytes)
		p.unsent = bytes[p.wrote:]
	}
	switch {
	case p.sendErr != nil:
		if p.wrote == 0 && d.session.Unwritten(to) {
			p.untake()
		}
	case len(bytes) > 0 && p.wrote == len(bytes):
		d.session.Sent(now, to)
	}
}

// untake: the request goes to another endpoint, as if it had not been taken.
func (p *pump) untake() {
	p.taken, p.unsent, p.sendErr = router.Taken{Paused: true}, nil, nil
}

// sendRest writes, waiting, what trySend left.
func (p *pump) sendRest() {
	if p.sendErr == nil && len(p.unsent) > 0 {
		var n int
		n, p.sendErr = p.dst.push(p.unsent, p.d.session.SendTimeout())
		p.wrote += n
		if p.sendErr == nil {
			p.d.event(func(now time.Duration) { p.d.session.Sent(now, p.taken.To) })
		}
	}
	p.unsent = nil
	if p.sendErr != nil {
		p.writeFailed(p.sendErr)
	}
}

// writeFailed delivers that the other side could not be written to. Its reader
// may have been told of the end already, together with the last bytes it read,
// so it is made to look again.
func (p *pump) writeFailed(err error) {
	to, unwritten := p.taken.To, false
	p.d.event(func(now time.Duration) {
		if unwritten = p.wrote == 0 && p.d.session.Unwritten(to); !unwritten {
			p.d.session.WriteFailed(now, to, err)
		}
	})
	if unwritten {
		p.untake()
	} else if p.dst != nil {
		timeOut(p.dst)
	}
}

// moveBody moves the rest of a large message without looking at it.
func (p *pump) moveBody() {
	progress := func(n int64) {
		p.d.event(func(now time.Duration) { p.d.session.Moved(now, p.port, n) })
	}
	readErr, writeErr := move(p.dst, p.src, p.taken.Body, p.d.session.SendTimeout(), progress)
	if writeErr != nil {
		p.writeFailed(writeErr)
	}
	p.readErr = readErr
}
