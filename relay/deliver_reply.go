package relay

import (
	"errors"

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

// read takes what r has read for the leg, and reports whether more is due.
func (l *leg) read(r *reader) (due bool) {
	k := &r.pump.buf
	l.sending.Lock()
	defer l.sending.Unlock()
	l.mu.Lock()
	if l.ended || l.lease == nil || l.reader != r || l.early {
		l.unasked = l.unasked || l.early && l.reader == r
		l.mu.Unlock()
		k.drop()
		return true
	}
	for len(k.b) > 0 {
		n, done, err := l.readSome(k.b)
		if errors.Is(err, wire.ErrShort) {
			l.mu.Unlock()
			k.consume(nil, 0, router.MaxPong)
			return true
		}
		if !done && err == nil {
			k.consume(nil, n, 0)
			continue
		}
		l.unasked = len(k.b) > n
		o, result := l.verdict()
		switch {
		case err != nil:
			o, result = failedReply(err)
		case !l.whole: // whoever is writing the request deals with it
			l.early = true
			l.mu.Unlock()
			k.drop()
			return true
		}
		l.mu.Unlock()
		k.drop()
		l.answered(o, result)
		return false
	}
	l.mu.Unlock()
	return true
}

// readSome takes n bytes of b. done: they are the last of the reply. The error is
// wire.ErrShort where more must be there, or why there will be no reply. The lock is
// held.
func (l *leg) readSome(b []byte) (n int, done bool, err error) {
	if l.replyHead.Type == 0 {
		h, err := wire.ParseHead(b)
		x := l.delivery
		switch {
		case errors.Is(err, wire.ErrShort):
			return 0, false, err
		case err != nil:
			return 0, false, router.ErrReply
		case h.Type == wire.Ping && h.Seq == router.PingSeq && l.lease.Pings > 0 && h.Len() <= router.MaxPong:
			if int64(len(b)) < h.Len() {
				return 0, false, wire.ErrShort
			}
			l.lease.Pings--
			return int(h.Len()), false, nil
		case !x.Replies(&h):
			return 0, false, router.ErrReply
		}
		wanted, err := x.Wants(&h)
		if err == nil && wanted && h.Len() > moveSize && !x.charge.take(x.driver.listener.server.requests, int(h.Len())) {
			err = router.ErrMemory
		}
		if err != nil {
			return 0, false, err
		}
		l.replyHead, l.left = h, h.Len()
		if wanted {
			l.reply = make([]byte, 0, min(h.Len(), max(int64(len(b)), moveSize)))
		}
	}
	n = int(min(l.left, int64(len(b))))
	l.left -= int64(n)
	if l.reply != nil {
		l.reply = append(l.reply, b[:n]...)
	}
	return n, l.left == 0, nil
}

// failedReply is how a leg ends whose reply cannot be taken because of err.
func failedReply(err error) (backend.Outcome, router.LegResult) {
	r := router.LegResult{Err: err}
	switch {
	case errors.Is(err, router.ErrMemory):
		r.Outcome = metrics.QueueFull
	case errors.Is(err, router.ErrTooLarge):
		r.Outcome = metrics.TooLarge
	default:
		r.Outcome = metrics.BackendProtocol
		return backend.Garbled, r
	}
	return backend.Spent, r // the daemon has done what it should
}

// verdict is what the lease was good for, and how the leg ends, where the reply is
// complete. The lock is held.
func (l *leg) verdict() (backend.Outcome, router.LegResult) {
	r := router.LegResult{Reply: l.reply, Head: l.replyHead, Outcome: metrics.Replied}
	switch {
	case l.replyHead.Has(wire.ItemStream):
		return backend.Spent, router.LegResult{Err: router.ErrStream, Outcome: metrics.Undeliverable}
	case l.replyHead.Has(wire.Exception):
		r.Outcome = metrics.Raised
	}
	switch {
	case l.reply != nil && !l.delivery.Genuine(&l.replyHead, l.reply):
		return backend.Garbled, router.LegResult{Err: router.ErrReply, Outcome: metrics.BackendProtocol}
	case l.unasked:
		return backend.Garbled, r
	case r.Outcome == metrics.Raised:
		// Behind some exceptions a daemon closes the connection: see router/release.go.
		return backend.Doubtful, r
	}
	return backend.Served, r
}
