package relay

import (
	"errors"
	"os"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// How a leg reads its reply.

// serve makes the connection the leg's. It fails where the connection has ended.
func (r *reader) serve(l *leg) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		return r.ended
	}
	r.leg = l
	return nil
}

// unserve ends that.
func (r *reader) unserve(l *leg) {
	r.mu.Lock()
	if r.leg == l {
		r.leg = nil
	}
	r.mu.Unlock()
}

// read takes what has come for the leg. It returns what is left to be done behind the
// read, outside of the callback.
func (l *leg) read(r *reader) {
	k := &r.pump.buf
	l.sending.Lock()
	defer l.sending.Unlock()
	l.mu.Lock()
	if l.ended || l.lease == nil || l.early {
		l.unasked = true
		l.mu.Unlock()
		k.drop()
		return
	}
	for len(k.b) > 0 {
		n, state := l.readSome(k.b)
		switch state {
		case replyShort:
			l.mu.Unlock()
			k.consume(nil, n, router.MaxPong)
			return
		case replyBad:
			l.mu.Unlock()
			k.drop()
			l.answered(r, backend.Garbled, router.LegResult{Err: router.ErrReply, Outcome: metrics.BackendProtocol})
			return
		case replyTooMuch:
			l.mu.Unlock()
			k.drop()
			l.answered(r, backend.Spent, router.LegResult{Err: router.ErrMemory, Outcome: metrics.QueueFull})
			return
		case replyComplete:
			l.unasked = len(k.b) > n
			if !l.whole { // whoever is writing the request deals with it
				l.early = true
				l.mu.Unlock()
				k.drop()
				return
			}
			o, result := l.verdict()
			l.mu.Unlock()
			k.drop()
			l.answered(r, o, result)
			return
		}
		k.consume(nil, n, 0)
	}
	l.mu.Unlock()
}

type replyState uint8

const (
	replyGoesOn replyState = iota
	replyShort             // more is needed of what follows the bytes taken
	replyComplete
	replyBad
	replyTooMuch // there is no memory for it
)

// readSome takes some of b, and says how far it came. The lock is held.
func (l *leg) readSome(b []byte) (n int, state replyState) {
	if l.reply == nil {
		h, err := wire.ParseHead(b)
		x := l.delivery
		switch {
		case errors.Is(err, wire.ErrShort):
			return 0, replyShort
		case err != nil:
			return 0, replyBad
		case h.Type == wire.Ping && h.Seq == router.PingSeq && l.lease.Pings > 0 && h.Len() <= router.MaxPong:
			if int64(len(b)) < h.Len() {
				return 0, replyShort
			}
			l.lease.Pings--
			return int(h.Len()), replyGoesOn
		case h.Type != wire.Result || h.Seq != x.Seq() || h.BodyLen() > x.MaxReply():
			return 0, replyBad
		}
		if h.Len() > moveSize && !x.charge.take(x.driver.listener.server.requests, int(h.Len())) {
			return 0, replyTooMuch
		}
		l.head = h
		l.reply = make([]byte, 0, min(h.Len(), max(int64(len(b)), moveSize)))
	}
	n = int(min(l.head.Len()-int64(len(l.reply)), int64(len(b))))
	l.reply = append(l.reply, b[:n]...)
	if int64(len(l.reply)) < l.head.Len() {
		return n, replyGoesOn
	}
	return n, replyComplete
}

// verdict is what the lease was good for, and how the leg ends, where the reply is
// complete.
func (l *leg) verdict() (backend.Outcome, router.LegResult) {
	r := router.LegResult{Reply: l.reply, Head: l.head, Outcome: metrics.Replied}
	switch {
	case l.head.Has(wire.ItemStream):
		return backend.Spent, router.LegResult{Err: router.ErrStream, Outcome: metrics.Undeliverable}
	case l.head.Has(wire.Exception):
		// Behind some exceptions a daemon closes the connection: see router/release.go.
		r.Outcome = metrics.Raised
		if l.unasked {
			return backend.Garbled, r
		}
		return backend.Doubtful, r
	case l.unasked:
		return backend.Garbled, r
	}
	return backend.Served, r
}

// answered ends the leg from within the reader: what follows for the client's session
// is left to be done outside of the callback.
func (l *leg) answered(r *reader, o backend.Outcome, result router.LegResult) {
	first, decided := l.settle(o, result)
	x := l.delivery
	if decided {
		d := x.driver
		d.mu.Lock()
		d.unparkLocked()
		now := d.listener.server.now()
		d.session.Delivered(now, x.Delivery)
		r.pump.d, r.pump.todo = d, d.afterEvent(now)
		d.mu.Unlock()
	}
	if first {
		r.over = append(r.over, x)
	}
}

// lost tells the leg that its connection has ended.
func (l *leg) lost(err error) {
	l.mu.Lock()
	l.gone = err
	begun := l.begun
	l.mu.Unlock()
	if begun { // otherwise whoever is about to write will find out
		l.broken(err)
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
