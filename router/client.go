package router

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Data shows the session bytes that came in at port p: those that it did not
// consume before, and what followed them. The session keeps nothing of b.
func (s *Session) Data(now time.Duration, p Port, b []byte) Taken {
	switch {
	case s.state == inClosed:
		return Taken{Consumed: len(b)}
	case p != Client && (p != s.leg || s.lease == nil):
		return Taken{Consumed: len(b)}
	case p != Client:
		return s.replyData(now, b)
	}
	switch s.state {
	case inHandshake:
		return s.connectData(now, b)
	case inAcquiring, inGreeting:
		s.paused = s.paused || len(b) > 0
		return Taken{Paused: s.paused}
	case inLingering:
		return Taken{Consumed: len(b)}
	}
	return s.requestData(now, b)
}

// connectData reads the CONNECT.
func (s *Session) connectData(now time.Duration, b []byte) Taken {
	h, err := wire.ParseHead(b)
	if errors.Is(err, wire.ErrShort) {
		if len(b) >= wire.PrefixLen {
			s.dialect = wire.PrefixDialect(b)
		}
		return Taken{Need: shortOf(b)}
	}
	if err != nil {
		s.rejectHead(now, err)
		return Taken{Consumed: len(b)}
	}
	g := s.greeting
	g.head = h
	s.dialect = h.Dialect
	if reason, text := s.checkConnect(&h); reason != "" {
		s.reject(now, reason, refusal{text: text})
		return Taken{Consumed: len(b)}
	}
	if int64(len(b)) < h.Len() {
		return Taken{Need: int(h.Len())}
	}
	annotations, payload := split(&h, b)
	id, ok, err := wire.Correlation(&h, annotations)
	if err != nil {
		s.blame(err)
		s.reject(now, ReasonAnnotations, refusal{text: err.Error()})
		return Taken{Consumed: len(b)}
	}
	if ok {
		g.correlation, s.summary.Correlation = id, id
	}
	g.message = bytes.Clone(b[:h.Len()])
	s.connected(now, &h, payload)
	switch s.state {
	case inAcquiring:
		s.paused = len(b) > len(g.message)
		return Taken{Consumed: len(g.message), Paused: s.paused}
	case inOpen: // answered already
		return Taken{Consumed: len(g.message), Again: true}
	}
	return Taken{Consumed: len(b)}
}

// connected chooses the route of a client whose CONNECT is complete.
func (s *Session) connected(now time.Duration, h *wire.Head, payload []byte) {
	s.summary.Serializer = h.Serializer()
	if s.denied != nil {
		s.reject(now, s.denied.reason, refusal{answersConnect: true, text: s.denied.text})
		return
	}
	q := Request{
		Listener:   s.env.Listener,
		Dialect:    h.Dialect,
		Serializer: h.Serializer(),
		Source:     s.source,
	}
	q.Object, q.ObjectKnown = connectObject(h, payload)
	s.summary.Object = strings.Clone(clip(q.Object))
	s.route = s.env.Table().Find(&q)
	if s.route == nil {
		s.reject(now, ReasonNoRoute, refusal{answersConnect: true, text: noRouteText(&q)})
		return
	}
	s.deadline = 0
	s.attempt = &backend.Attempt{Dialect: h.Dialect}
	annotations, _ := split(h, s.greeting.message)
	s.attempt.HashKey = s.route.HashBy.key(&q, annotations)
	if s.route.Mode == ModeCall {
		s.joinPool(now, h)
		return
	}
	s.acquire()
}

func (s *Session) checkConnect(h *wire.Head) (Reason, string) {
	switch {
	case h.Type != wire.Connect:
		return ReasonOutOfTurn, wrongTypeText(h)
	case h.BodyLen() > s.env.Limits.Message:
		return ReasonMessageSize, tooLargeText(h, s.env.Limits.Message)
	case h.Len() > s.env.Limits.Handshake:
		return ReasonHandshakeSize, fmt.Sprintf("handshake too large (%d, max=%d)", h.Len(), s.env.Limits.Handshake)
	case int64(h.AnnotationsLen) > s.env.Limits.Annotations:
		return ReasonAnnotationsSize, fmt.Sprintf("annotations too large (%d, max=%d)", h.AnnotationsLen, s.env.Limits.Annotations)
	}
	return "", ""
}

// requestData takes the requests of an open session. What it consumes it also
// forwards: whole requests where they are small, and large ones from the moment
// that header and annotations are here and found good.
func (s *Session) requestData(now time.Duration, b []byte) (t Taken) {
	t.To = s.leg
	s.stopClock(now)
	if s.inputEnd != "" || s.legBroken {
		return Taken{Consumed: len(b)}
	}
	if s.pooled != nil && s.pooled.dropLeft > 0 {
		return s.drop(b)
	}
	if s.pooled != nil {
		s.pooled.fresh = false
	}
	for t.Consumed < len(b) && t.Need == 0 && !t.Paused {
		rest := b[t.Consumed:]
		n := s.requestLeft
		if n == 0 {
			var reason Reason
			n, reason = s.nextRequest(now, rest, &t)
			if s.pooled != nil && s.pooled.dropLeft > 0 {
				return s.drop(b) // the failed request is the first in b: it was alone
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
	t.ReplyDue = s.calls.len() > 0
	s.countRequest(int64(t.Forward))
	return t
}

// nextRequest looks at b, which begins with a new request. It returns the
// request's length once enough of it is here to be sent on, and 0 with Need or
// Paused set where that is not so.
func (s *Session) nextRequest(now time.Duration, b []byte, t *Taken) (int64, Reason) {
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
	case h.BodyLen() > s.env.Limits.Message:
		return 0, ReasonMessageSize
	case int64(h.AnnotationsLen) > s.env.Limits.Annotations:
		return 0, ReasonAnnotationsSize
	}
	hold := h.Len()
	if hold > s.env.Limits.StoreAndForward {
		hold = int64(h.Dialect.HeadLen()) + int64(h.AnnotationsLen)
	}
	if int64(len(b)) < hold {
		t.Need = int(hold)
		return 0, ""
	}
	s.patience = s.env.RequestTime // for the next one
	annotations, _ := split(&h, b)
	c := call{kind: h.Type}
	if c.correlation, c.hasCorrelation, err = wire.Correlation(&h, annotations); err != nil {
		s.blame(err)
		return 0, ReasonAnnotations
	}
	// A PING is answered whatever its flags say.
	oneway := h.Type == wire.Invoke && h.Has(wire.Oneway)
	if s.pooled != nil {
		if t.Consumed > 0 || !s.ready(now, &h, b, c) {
			t.Paused, s.paused = true, true
			return 0, ""
		}
		if s.pooled.dropLeft > 0 {
			return 0, ""
		}
	}
	if !oneway && s.calls.full() {
		t.Paused, s.paused = true, true
		return 0, ""
	}
	s.beginRequest(c, oneway, h.Len())
	return h.Len(), ""
}

func (s *Session) beginRequest(c call, oneway bool, length int64) {
	s.requestLeft = length
	s.sendOneway = oneway
	s.summary.Calls++
	if oneway {
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
	case s.calls.len() > 0: // a reply may come before its request's end
		s.calls.newest().sent = now
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
