package router

import (
	"errors"
	"fmt"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// requestData takes the requests of an open session. What it consumes it also
// forwards: whole requests where they are small, and large ones from the moment
// that header and annotations are here and found good.
func (s *Session) requestData(now time.Duration, b []byte) (t Taken) {
	t.To = s.leg
	s.stopClock(now)
	switch {
	case s.inputEnd != "", s.legBroken && (s.pooled == nil || s.requestLeft > 0):
		return Taken{Consumed: len(b)}
	case s.dropping():
		return s.drop(now, b)
	}
	for t.Consumed < len(b) && t.Need == 0 && !t.Paused && !t.Again && t.Spill == 0 {
		rest := b[t.Consumed:]
		n := s.requestLeft
		if n == 0 {
			var reason Reason
			n, reason = s.nextRequest(now, rest, &t)
			if d := t.Delivery; d != nil {
				t.Consumed, t.Forward = int(n), int(n)
				t.Again = t.Consumed < len(b)
				t.ReplyDue = !d.oneway
				s.summary.RequestBytes += n
				d.route.Calls.Request(n)
				return t
			}
			if s.dropping() {
				return s.drop(now, b)
			}
			t.To = s.leg
			if reason != "" {
				s.endInput(now, reason)
				t.Forward, t.Consumed = t.Consumed, len(b)
				s.countRequest(int64(t.Forward))
				return t
			}
		}
		n = min(n, int64(len(rest)))
		t.Consumed += int(n)
		s.unshipped = s.unshipped || n > 0
		s.requestMoved(now, n)
	}
	t.Forward = t.Consumed
	t.Body = s.requestLeft
	t.ReplyDue = s.calls.waiting() > 0
	s.forwarded(int64(t.Forward))
	return t
}

// forwarded counts n bytes that are to be sent on, unless they may still turn out
// to be for another endpoint.
func (s *Session) forwarded(n int64) {
	if k := s.pooled; k != nil && k.fresh {
		k.unwritten = n
		return
	}
	s.countRequest(n)
}

// nextRequest looks at b, which begins with a new request. It returns the
// request's length once enough of it is here to be sent on, and 0 with Need or
// Paused set where that is not so.
func (s *Session) nextRequest(now time.Duration, b []byte, t *Taken) (int64, Reason) {
	if s.pooled != nil && t.Consumed > 0 {
		t.Paused, s.paused = true, true // its turn comes when the one before it is over
		return 0, ""
	}
	h, err := wire.ParseHead(b)
	if errors.Is(err, wire.ErrShort) {
		t.Need = shortOf(b)
		return 0, ""
	}
	switch {
	case err != nil:
		s.blame(err)
		return 0, headReason(err)
	case h.Dialect != s.dialect:
		return 0, ReasonVersion
	case h.Type != wire.Invoke && h.Type != wire.Ping:
		return 0, ReasonOutOfTurn
	case int64(h.AnnotationsLen) > s.env.Limits.Annotations:
		return 0, ReasonAnnotationsSize
	}
	hold := h.Len()
	if hold > s.env.Limits.StoreAndForward || h.BodyLen() > s.env.Limits.Message {
		hold = int64(h.Dialect.HeadLen()) + int64(h.AnnotationsLen)
	}
	if int64(len(b)) < hold {
		t.Need = int(hold)
		return 0, ""
	}
	s.patience = s.env.RequestTime // for the next one
	if !s.looked {
		if reason := s.look(now, &h, b); reason != "" {
			return 0, reason
		}
	}
	if s.route.Answer != nil && h.Type == wire.Ping && s.clear() { // there is no daemon to answer it
		s.looked = false
		s.dropLeft = h.Len()
		s.tell(wire.AppendPing(nil, s.dialect, s.next.serializer, h.Seq))
		return 0, ""
	}
	if s.next.to != nil && s.next.failure == nil {
		switch {
		case !s.clear():
			t.Paused, s.paused = true, true
		case t.Consumed > 0:
			t.Again = true
		case int64(len(b)) < h.Len():
			t.Spill, t.Cut = s.env.Limits.spills(&h), h.Dialect.HeadLen()+int(h.AnnotationsLen)
			if t.Spill == 0 || !s.env.Limits.mustSpill(t.Spill) {
				t.Need = int(h.Len())
			}
		default:
			if t.Delivery = s.deliver(now, &h, b, nil); t.Delivery != nil {
				return h.Len(), ""
			}
		}
		return 0, ""
	}
	oneway := s.next.oneway(&h)
	switch {
	case s.marks(&h) && t.Consumed > 0:
		t.Again = true // what goes before it is sent as it is
		return 0, ""
	case s.next.failure == nil && s.ready(now, &h, b):
		if !s.join(now, &h) {
			if s.clear() {
				s.fail(now, &h)
				return 0, ""
			}
			break // its answer comes behind those of the calls before it
		}
		s.mark(&h, b, t)
		s.keepForResend(&h, b, t)
		s.beginRequest(now, h.Len(), oneway)
		return h.Len(), ""
	case s.next.failure != nil && s.clear():
		s.fail(now, &h)
		return 0, ""
	}
	t.Paused, s.paused = true, true
	return 0, ""
}

// oneway: nobody answers it. A PING is answered whatever its flags say.
func (c *call) oneway(h *wire.Head) bool { return c.kind == wire.Invoke && h.Has(wire.Oneway) }

// look takes notice of the client's next request, with header h, of which b has at
// least the annotations. It returns why the client cannot be listened to any more.
func (s *Session) look(now time.Duration, h *wire.Head, b []byte) Reason {
	annotations, _ := split(h, b)
	marks, err := wire.ReadMarks(h, annotations)
	if err != nil {
		s.blame(err)
		return ReasonAnnotations
	}
	c := call{
		kind: h.Type, seq: h.Seq, serializer: h.Serializer(), began: now,
		correlation: marks.Correlation, hasCorrelation: marks.HasCorrelation,
	}
	s.verify(h, b, marks.Signed, &c)
	if h.BodyLen() > s.env.Limits.Message {
		if !c.answerable() || h.Has(wire.Oneway) {
			return ReasonMessageSize
		}
		c.failure = fmt.Errorf("%w: %d bytes, of %d that are allowed", ErrTooLarge, h.BodyLen(), s.env.Limits.Message)
	}
	s.findRoute(h, annotations, &marks, &c)
	if !c.oneway(h) { // of a oneway call only the sending is bounded
		c.allowed = s.times.Call
		if c.to != nil {
			c.allowed = c.to.Timeouts.over(s.env.Timeouts).Call
		}
		if c.allowed > 0 {
			c.due = now + c.allowed
		}
		c.whole = c.to == nil && int64(len(b)) >= h.Len()
	}
	s.identify(h, b, &c)
	s.next, s.looked = c, true
	s.nest(now, h, &marks)
	if c := &s.next; c.to != nil {
		c.due = 0 // its time begins when all of it is here
	}
	s.trace(now, h)
	s.quietBy = 0
	return ""
}

// ready reports whether the client's next request can be sent on now. Otherwise it
// waits for a Resume, or has failed.
func (s *Session) ready(now time.Duration, h *wire.Head, message []byte) bool {
	switch {
	case s.pooled != nil:
		return s.readyPooled(now, h, message)
	case s.delivery != nil, s.telling:
		return false // its reply comes behind that one's answer, and behind all of it
	case s.hollow != nil:
		s.fill(now, h)
		return false
	case s.route.Answer != nil:
		s.next.failure = ErrNotHere
		return false
	case s.next.oneway(h):
		return true
	}
	return s.calls.late() == 0 && !s.calls.full()
}

func (s *Session) beginRequest(now time.Duration, length int64, oneway bool) {
	c := s.next
	s.looked = false
	s.requestLeft = length
	s.sendOneway = oneway
	s.summary.Calls++
	s.lease.Busy(true)
	if oneway {
		s.oneway.span.End(now, metrics.Sent.String(), "") // what is known of the one before it
		s.oneway = c
		return
	}
	s.calls.push(c)
	s.route.Calls.Began()
}

// requestMoved counts n bytes of the current request as on their way.
func (s *Session) requestMoved(now time.Duration, n int64) {
	if n == 0 {
		return
	}
	s.requestLeft -= n
	switch {
	case s.requestLeft > 0:
		return
	case s.sendOneway && s.unshipped:
		s.sendOneway = false
		s.onewaysUnshipped++
	case s.sendOneway:
		s.sendOneway = false
		s.route.Calls.Oneway(metrics.Sent)
		s.oneway.span.End(now, metrics.Sent.String(), "")
	case s.calls.len() > 0: // a reply may come before its request's end
		c := s.calls.newest()
		if c.complete(now); !c.whole && c.due != 0 {
			c.flight.SetDue(c.due)
		}
	}
	if s.atRest() {
		s.rested(now)
	}
}

// Reading says that what is kept of the client's bytes waits for the client to
// send more, and for nothing else: the request time runs. What has been used of
// it counts until the request is complete.
func (s *Session) Reading(now time.Duration) {
	if s.state == inOpen && s.inputEnd == "" && !s.clientGone && !s.legBroken && !s.clockRuns {
		s.clockRuns = true
		s.deadline = now + max(s.patience, 1)
	}
}

// stopClock stops the request time: the client has sent something, and for the
// time that it takes to be dealt with the delay is not the client's.
func (s *Session) stopClock(now time.Duration) {
	if s.clockRuns {
		s.clockRuns = false
		s.patience = s.deadline - now
		s.deadline = 0
	}
}

func (s *Session) countRequest(n int64) {
	if n > 0 {
		s.summary.RequestBytes += n
		s.route.Calls.Request(n)
	}
}

// Moved reports that n bytes were moved from port p without being shown, at
// most as many as the last Taken's Body.
func (s *Session) Moved(now time.Duration, p Port, n int64) {
	switch {
	case p == Client && s.state == inOpen:
		s.countRequest(n)
		s.requestMoved(now, n)
	case p != Client && p == s.leg && s.lease != nil:
		s.replyMoved(now, n)
	}
}

// shortOf is how many bytes there must be before an incomplete header is worth
// another look.
func shortOf(b []byte) int {
	if len(b) < wire.PrefixLen {
		return wire.PrefixLen
	}
	return wire.PrefixDialect(b).HeadLen()
}

// split finds the annotations and the data that are here of the message in b.
func split(h *wire.Head, b []byte) (annotations, data []byte) {
	start := h.Dialect.HeadLen()
	end := start + int(h.AnnotationsLen)
	return b[start:end], b[end:min(int64(len(b)), h.Len())]
}
