package router

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/balance"
	"github.com/pyro-dispatch/pyro-dispatch/handshake"
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
	s.prove(h, s.env.Key)
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
	s.object, s.objectKnown = s.summary.Object, q.ObjectKnown
	if len(q.Object) != len(s.object) {
		s.object = strings.Clone(q.Object)
	}
	s.route = s.env.Table().Find(&q)
	if s.route == nil {
		s.reject(now, ReasonNoRoute, refusal{answersConnect: true, text: noRouteText(&q)})
		return
	}
	if s.route.Cluster != nil {
		s.prove(h, s.route.Cluster.Key())
	}
	if s.route.Answer != nil && s.demands() && s.signing == nil {
		s.blame(ErrSignature)
		s.reject(now, ReasonSignature, refusal{answersConnect: true, text: ErrSignature.Error()})
		return
	}
	s.deadline = 0
	s.times = s.route.Timeouts.over(s.env.Timeouts)
	s.python2 = handshake.Python2(h.Serializer(), h.Has(wire.Compressed), payload, handshake.DefaultLimits())
	annotations, _ := split(h, s.greeting.message)
	s.attempt = &backend.Attempt{
		Dialect: h.Dialect,
		Only:    s.route.Only,
		Client:  s.source,
		HashKey: s.route.HashBy.key(&q, annotations),
		Times:   &backend.SearchTimes{Connect: s.times.Connect, Queue: s.times.Queue},
		Nested:  s.greeting.correlation != [16]byte{}, // see docs/configuration.md, nested_reserve
	}
	if m := s.route.Answer; m != nil {
		s.attempt = nil
		s.welcome(s.signed(wire.AppendConnectOK(nil, wire.Welcome{
			Answer: wire.Answer{
				Dialect: s.dialect, Serializer: h.Serializer(), Seq: h.Seq, Correlation: s.greeting.correlation,
			},
			Methods: m.Methods, Oneway: m.Oneway,
		})))
		return
	}
	if s.route.Mode == ModeCall {
		s.pooled = &pooled{objectKey: balance.KeyString(q.Object)}
		s.joinPool(now, h)
		return
	}
	if s.forestalled(now, h) {
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
