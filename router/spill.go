package router

import (
	"errors"
	"io"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Requests that take a route of their own, and are not kept in memory until they are
// complete, but in a file. Header and annotations stay in memory; of the data the session
// sees only how much has come.

// ErrSpill: the file could not be made, written or read.
var ErrSpill = errors.New("the call could not be kept on disk")

// spill is a request that is being read into a file.
type spill struct {
	head  wire.Head
	left  int64 // bytes still to come
	fresh int64 // bytes since the client had all of its time

	// Of a signed request, whose data the session does not see; nil: they are not asked for.
	proof *wire.Digest // with the client's key
	seal  *wire.Digest // with that of the daemons it goes to
}

// spills is the length of the client's next request, with header h, where it may go to a
// file, and 0 otherwise.
func (l *Limits) spills(h *wire.Head) int64 {
	if n := h.Len(); l.Spill > 0 && n <= l.Spilled && n > l.StoreAndForward {
		return n
	}
	return 0
}

// deliverable is the length of the largest request that can take a route of its own.
func (l *Limits) deliverable() int64 {
	if l.Spill > 0 {
		return max(l.Delivery, l.Spilled)
	}
	return l.Delivery
}

// mustSpill: a request of n bytes is not to be kept in memory.
func (l *Limits) mustSpill(n int64) bool { return n > min(l.Spill, l.Delivery) }

// Spill says that the client's next request goes to a file, as the last Taken allowed; b is
// what is here of it. It reports false where the session does not want that any more. The
// driver then goes on as if it had not begun.
func (s *Session) Spill(now time.Duration, b []byte) bool {
	h, err := wire.ParseHead(b)
	if err != nil || s.state != inOpen || s.inputEnd != "" || !s.looked || s.next.to == nil || s.next.failure != nil || !s.clear() {
		return false
	}
	s.stopClock(now)
	s.patience = s.env.RequestTime
	s.spill = &spill{head: h, left: h.Len() - int64(len(b))}
	return true
}

// SpillRead says that n more bytes of that request have come. It reports false where the
// session has ended, or begun to: whatever else comes is for Data.
func (s *Session) SpillRead(now time.Duration, n int64) bool {
	k := s.spill
	if k == nil {
		return false
	}
	s.stopClock(now)
	k.left -= n
	if k.fresh += n; k.fresh >= s.env.Limits.Spill {
		k.fresh, s.patience = 0, s.env.RequestTime
	}
	return true
}

// SpillDigest gives what the data of that request, which are all in the file, have to be
// written to before Spilled; nil where they need not.
func (s *Session) SpillDigest() io.Writer {
	k, c := s.spill, &s.next
	if k == nil || !c.unproven {
		return nil
	}
	k.proof = s.key().Digest()
	key := c.to.Cluster.Key()
	if len(key) == 0 {
		return k.proof
	}
	k.seal = key.Digest()
	return io.MultiWriter(k.proof, k.seal)
}

// Spilled says that all of that request is in the file. message is its header and
// annotations. It gives the delivery to begin, nil where there is none: the call has failed,
// or was answered, or the session has ended.
func (s *Session) Spilled(now time.Duration, message []byte) *Delivery {
	k := s.spill
	if k == nil {
		return nil
	}
	s.spill = nil
	s.patience = s.env.RequestTime
	d := s.deliver(now, &k.head, message, k)
	if d == nil {
		s.dropped(now, 0)
		return nil
	}
	s.summary.RequestBytes += k.head.Len()
	d.route.Calls.Request(k.head.Len())
	return d
}

// SpillFailed says that the request cannot be kept in a file, because of err. What is still
// to come of it is for Data.
func (s *Session) SpillFailed(now time.Duration, err error) {
	k := s.spill
	if k == nil {
		return
	}
	s.spill = nil
	s.patience = s.env.RequestTime
	s.next.failure = err
	s.fail(now, &k.head)
	s.dropped(now, k.left)
}

// dropped: of the request that was failed, or answered, only left bytes are still to come.
func (s *Session) dropped(now time.Duration, left int64) {
	if s.state != inOpen {
		return
	}
	s.dropLeft = left
	if s.atRest() {
		s.rested(now)
	}
}
