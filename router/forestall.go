package router

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// A multiplexing daemon that is at work on a call answers no CONNECT. So where a call
// would come back to it, its client's CONNECT would wait already, and the call never
// come. Such a client is answered as the daemon answered an equal CONNECT before, and
// its call with the circle. (A CONNECTFAIL would be raised as a communication error,
// which the client's own daemon would swallow.) It may go on: in mode session it is
// connected for the first call of its that does not wait for itself.

// blocked looks for a circle at each of the endpoints that suit the attempt: they wait
// for what comes, and cannot serve it meanwhile, or their connections are the chain's.
func (s *Session) blocked(parents *inflight.Parents) (found inflight.Circle, ok bool) {
	if s.route.Policy.Circular == CircularAllow || !parents.Certain() {
		return found, false
	}
	ok = s.route.Cluster.Blocked(s.attempt, func(e *backend.Endpoint, room bool, slots int) bool {
		address := e.Address.String()
		if e.Server() != health.MultiplexServer && (room || parents.Holding(address) < slots) {
			return false
		}
		circle, kind := parents.Circle(inflight.Node{Name: address})
		found = circle
		return kind == inflight.Certain
	})
	return found, ok
}

// waitsForItself reports whether the client's next request would wait for an endpoint
// that waits for it. It has failed then.
func (s *Session) waitsForItself(now time.Duration, c *call, h *wire.Head) bool {
	if c.oneway(h) {
		return false
	}
	circle, ok := s.blocked(&s.parents)
	if ok {
		if s.hollow == nil || !s.hollow.reported {
			s.foundCircle(now, circle, true, true)
		}
		c.failure = fmt.Errorf("%w: %s", ErrCircular, circle)
	}
	return ok
}

// forestalled reports whether the client, whose CONNECT has header h, is not to be
// connected, because its endpoint waits for it.
func (s *Session) forestalled(now time.Duration, h *wire.Head) bool {
	if s.env.Graph == nil {
		return false
	}
	annotations, _ := split(h, s.greeting.message)
	marks, err := wire.ReadMarks(h, annotations)
	if err != nil || !marks.HasCorrelation && marks.Chain == nil {
		return false
	}
	s.origin = s.originOf(&marks, false)
	s.parents = s.env.Graph.Look(s.origin)
	if due := s.parents.Due(); s.parents.Certain() && due != 0 {
		s.excuseBy = max(due-s.route.Policy.Margin, 1)
	}
	circle, ok := s.blocked(&s.parents)
	if !ok {
		return false
	}
	s.foundCircle(now, circle, true, true)
	s.failedUnsent()
	g := s.greeting
	if answer := s.route.welcomes.of(h, g.message); answer != nil && s.pooled == nil && s.answerAsBefore(answer) {
		s.hollow, g.reported = g, true
		return true
	}
	err = fmt.Errorf("%w: %s", ErrCircular, circle)
	s.blame(err)
	s.refuse(now, ReasonCircular, refusal{answersConnect: true, text: fmt.Sprintf("pyro-dispatch: %v (route %s, cluster %s, correlation id %s)",
		err, s.route.Name, s.route.Cluster.Name(), uuid.UUID(marks.Correlation))})
	return true
}

// fill has a hollow session connected for the client's next request, unless that
// would wait for itself too.
func (s *Session) fill(now time.Duration, h *wire.Head) {
	s.attempt.Again()
	s.attempt.Nested = s.next.nested()
	itself := s.waitsForItself(now, &s.next, h)
	s.hollow.reported = false // the next circle is another one
	if itself {
		return
	}
	s.greeting, s.joining = s.hollow, true
	s.acquire()
}

// unfilled: that came to nothing, and the request fails.
func (s *Session) unfilled(err error, o backend.Outcome) {
	s.next.failure = err
	switch {
	case s.lease != nil:
		s.release(o)
	case s.leg != 0:
		s.cancel(o)
	}
	s.state, s.greeting, s.joining, s.swallowing = inOpen, nil, false, false
	s.replyLeft = 0
	s.disarm()
	s.resume()
}

// excuse: the calls further up are about to run out of time, and their endpoints are
// not to blame: they wait for the answer to this client's CONNECT.
func (s *Session) excuse() {
	s.excuseBy = 0
	if s.greeting != nil && (s.state == inAcquiring || s.state == inGreeting) {
		s.failedUnsent()
	}
}

// remembers reports whether an answer to the CONNECT, with header h, is kept for
// clients that are forestalled.
func (s *Session) remembers(h *wire.Head) bool {
	return s.state == inGreeting && s.greeting != nil && s.env.Graph != nil && s.pooled == nil &&
		h.Type == wire.ConnectOK && h.Dialect == s.dialect && h.Len() <= maxWelcome &&
		s.route.Policy.Circular != CircularAllow && s.lease.Endpoint.Server() != health.ThreadServer
}

const (
	maxWelcome  = 64 << 10 // of one answer, in bytes
	maxWelcomes = 64       // of one route
)

// welcomes are the CONNECTOKs of daemons that may multiplex, by the CONNECTs.
type welcomes struct {
	mu      sync.Mutex
	answers map[[sha256.Size]byte][]byte
}

// of gives the answer to a CONNECT that is equal to message, which has header h.
func (w *welcomes) of(h *wire.Head, message []byte) []byte {
	connect, signed := wire.Canonical(h, message, nil)
	if signed {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers[sha256.Sum256(connect)]
}

// keep notes that the CONNECT of g was answered with answer, with header h.
func (w *welcomes) keep(g *greeting, h *wire.Head, answer []byte) {
	connect, signed := wire.Canonical(&g.head, g.message, nil)
	stored, alsoSigned := wire.Canonical(h, answer, nil)
	if signed || alsoSigned {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := sha256.Sum256(connect)
	if w.answers == nil {
		w.answers = make(map[[sha256.Size]byte][]byte)
	}
	if _, known := w.answers[key]; !known && len(w.answers) >= maxWelcomes {
		for other := range w.answers { // any one
			delete(w.answers, other)
			break
		}
	}
	w.answers[key] = stored
}
