package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// leg is one leg of a delivery, and what reads a pooled connection while it has one.
// Whoever deals with a connection says which lease it is about: the leg may have gone
// on to another meanwhile, or ended.
type leg struct {
	*router.Leg
	delivery *delivery

	sending sync.Mutex // held by try: what it brings about waits until it has written

	mu     sync.Mutex
	ended  bool
	cancel context.CancelCauseFunc // of the search for an endpoint; nil: there is none
	lease  *backend.Lease          // nil: none, or given back
	reader *reader                 // of the lease's connection
	begun  bool                    // bytes of the request have been written
	whole  bool                    // all of them have
	gone   error                   // why the connection has ended
	tries  int                     // connections that took nothing

	// What of the request try has left to sendRest, if anything.
	waits *backend.Lease // where it is to go; nil: there is nothing
	head  []byte         // first this,
	cut   int            // then the message from there on

	replyHead wire.Head // as soon as it is there
	reply     []byte    // what has come of it, where it is wanted
	left      int64     // bytes of it still to come
	early     bool      // it is complete, and came before whole was known
	unasked   bool      // more came than the reply
}

// try begins the leg if that goes at once: there is an idle connection, and it takes
// the whole request. Otherwise the rest is for sendRest, or all of it for run. The
// driver's lock is held.
func (l *leg) try(now time.Duration, message []byte) (done bool) {
	lease := l.delivery.Cluster().TryLease(l.Attempt())
	if lease == nil {
		return false
	}
	space := readPool.Get().(*[readSize]byte)
	defer readPool.Put(space)
	l.sending.Lock()
	defer l.sending.Unlock()
	head, cut, err := l.take(now, lease, space[:0], message)
	if err != nil {
		return errors.Is(err, errLegEnded)
	}
	n, err := l.tryWrite(head, message[cut:])
	switch length := len(head) + len(message) - cut; {
	case n == length:
		l.wrote(lease, true)
		return true
	case n == 0 && err != nil && !errors.Is(err, errBusyLink):
		return !l.unsend(lease)
	case n > 0 && err != nil:
		l.wrote(lease, false)
		go l.broken(lease, err)
		return true
	}
	l.waits, l.cut = lease, cut+max(0, n-len(head))
	l.head = append(l.head, head[min(n, len(head)):]...)
	if n > 0 {
		l.wrote(lease, false)
	}
	return false
}

// tryWrite writes what the leg's connection takes without waiting. head has room
// behind it that may be used.
func (l *leg) tryWrite(head, body []byte) (int, error) {
	link := l.reader.link
	switch {
	case link.raw == nil:
		return 0, errBusyLink
	case len(head)+len(body) <= cap(head):
		return link.trySend(append(head, body...))
	}
	n, err := link.trySend(head)
	if err != nil || n < len(head) {
		return n, err
	}
	m, err := link.trySend(body)
	return n + m, err
}

// take makes the lease's connection the leg's, and appends to dst what is to be sent on
// it in the place of the first cut bytes of message.
func (l *leg) take(now time.Duration, lease *backend.Lease, dst, message []byte) (head []byte, cut int, err error) {
	r := lease.Conn.Reader.(*reader)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		lease.Done(backend.Cancelled)
		return nil, 0, errLegEnded
	}
	head, cut, err = l.Begin(now, lease, dst, message)
	if c := l.Circle(); c != nil {
		go l.delivery.logCircle(l.Route(), l.Target(), c) // locks are held
	}
	if err != nil {
		lease.Done(backend.Cancelled)
		go l.finish(0, router.LegResult{Err: err, Outcome: metrics.Circular})
		return nil, 0, errLegEnded
	}
	if err := r.serve(l); err != nil { // it has ended already
		l.Unsent()
		lease.Done(backend.Torn)
		return nil, 0, err
	}
	l.lease, l.reader = lease, r
	l.begun, l.whole, l.gone = false, false, nil
	l.replyHead, l.reply, l.early, l.unasked = wire.Head{}, nil, false, false
	return head, cut, nil
}

// giveUp takes the lease away from the leg, so that the caller can end it. It reports
// false where the leg has another one, or none any more.
func (l *leg) giveUp(lease *backend.Lease) bool {
	l.mu.Lock()
	if l.ended || l.lease != lease {
		l.mu.Unlock()
		return false
	}
	l.lease = nil
	r := l.reader
	l.mu.Unlock()
	r.unserve(l)
	return true
}

// unsend gives back a lease on which nothing was sent, so that the leg can go
// elsewhere. It reports false where the leg has ended.
func (l *leg) unsend(lease *backend.Lease) bool {
	if !l.giveUp(lease) {
		return false
	}
	l.Unsent()
	lease.Done(backend.Torn)
	return true
}

// maxTries bounds how many connections in a row may end before they take a byte.
const maxTries = 5

// run finds the leg an endpoint and sends it the request. It is the leg's goroutine, as
// long as it has one.
func (l *leg) run() {
	x := l.delivery
	for {
		lease, err := l.search()
		switch {
		case errors.Is(err, errLegEnded):
			return
		case err != nil:
			l.finish(0, router.LegResult{Err: err, Outcome: router.UnsentAs(err)})
			return
		}
		head, cut, err := l.take(x.driver.listener.server.now(), lease, nil, x.message)
		n := 0
		if err == nil {
			n, err = l.push(lease.Conn.Reader.(*reader).link, head, x.message[cut:])
			if n > 0 || err == nil || !l.unsend(lease) {
				l.pushed(lease, err)
				return
			}
		}
		if errors.Is(err, errLegEnded) {
			return
		}
		if l.tries++; l.tries > maxTries {
			l.finish(0, router.LegResult{Err: router.ErrLost, Outcome: metrics.BackendClosed})
			return
		}
	}
}

// search finds an endpoint for the first choice that can be had.
func (l *leg) search() (*backend.Lease, error) {
	for {
		ctx, cancel := context.WithCancelCause(context.Background())
		l.mu.Lock()
		if l.ended {
			l.mu.Unlock()
			cancel(nil)
			return nil, errLegEnded
		}
		l.cancel = cancel
		l.mu.Unlock()
		lease, err := l.delivery.Cluster().Acquire(ctx, l.Attempt())
		cancel(nil)
		l.mu.Lock()
		l.cancel = nil
		ended := l.ended
		more := err != nil && !ended && l.Next()
		l.mu.Unlock()
		switch {
		case err == nil:
			return lease, nil
		case ended:
			return nil, errLegEnded
		case !more:
			return nil, err
		}
	}
}

// sendRest writes what the connection did not take at once.
func (l *leg) sendRest() {
	l.mu.Lock()
	lease, r := l.lease, l.reader
	l.mu.Unlock()
	if lease == nil || lease != l.waits {
		return // it has ended, or all of it is being sent to another endpoint
	}
	n, err := l.push(r.link, l.head, l.delivery.message[l.cut:])
	if n == 0 && err != nil && l.unbegun(lease) && l.unsend(lease) {
		l.run()
		return
	}
	l.pushed(lease, err)
}

// push writes head and body, and what of the request is in a file, waiting.
func (l *leg) push(link *link, head, body []byte) (int, error) {
	n, err := l.pushKept(link, head, body)
	if f := l.delivery.file; err == nil && f != nil {
		var m int64
		m, err = f.sendTo(link, l.delivery.Send)
		n += int(m)
	}
	return n, err
}

// pushKept does so with what is in memory.
func (l *leg) pushKept(link *link, head, body []byte) (int, error) {
	within := l.delivery.Send
	if len(body) < readSize && len(head) > 0 {
		return link.push(append(head, body...), within)
	}
	n, err := 0, error(nil)
	if len(head) > 0 {
		if n, err = link.push(head, within); err != nil {
			return n, err
		}
	}
	m, err := link.push(body, within)
	return n + m, err
}

// unbegun: no byte of the request has been written on lease.
func (l *leg) unbegun(lease *backend.Lease) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lease == lease && !l.begun
}

// pushed: the request has been written on lease, or not all of it because of err.
func (l *leg) pushed(lease *backend.Lease, err error) {
	l.wrote(lease, err == nil)
	switch {
	case err != nil:
		l.broken(lease, err)
	case l.delivery.Oneway():
		l.sent()
	}
}
