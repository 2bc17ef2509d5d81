package router

import (
	"errors"
	"fmt"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// acquire asks for the next endpoint, under a new port.
func (s *Session) acquire() {
	s.state = inAcquiring
	s.lastLeg++
	s.leg = s.lastLeg
	s.do(Action{Op: Acquire, Port: s.leg, Attempt: s.attempt})
}

// cancel gives up the search for an endpoint, and the session goes on. The search may
// take a while to end, and until then its attempt is nobody else's.
func (s *Session) cancel(o backend.Outcome) {
	s.do(Action{Op: Cancel, Port: s.leg, Outcome: o})
	s.leg = 0
	s.attempt = s.route.Cluster.Renew(s.attempt)
}

// Granted delivers the lease that Acquire asked for under port p. answerIn is
// how long the endpoint may take to answer the CONNECT.
func (s *Session) Granted(now time.Duration, p Port, l *backend.Lease, answerIn time.Duration) {
	switch {
	case s.pooled != nil && p == s.leg && s.lease == nil:
		s.grantedPooled(now, l)
		return
	case s.state != inAcquiring || p != s.leg:
		s.do(Action{Op: Release, Port: p, Lease: l, Outcome: backend.Cancelled})
		return
	}
	s.state = inGreeting
	s.lease = l
	s.deadline = now + max(answerIn, 1)
	s.do(Action{Op: Send, Port: p, Bytes: s.greeting.message})
}

// Unreachable says that Acquire under port p failed, and why.
func (s *Session) Unreachable(now time.Duration, p Port, err error) {
	if p != s.leg || s.lease != nil {
		return
	}
	if s.pooled != nil && s.greeting == nil {
		s.leg = 0
		s.noEndpoint(now, err)
		return
	}
	if s.state != inAcquiring {
		return
	}
	s.leg = 0 // nothing to cancel
	if s.joining {
		s.unfilled(err, 0)
		return
	}
	if refused := (*backend.RefusedError)(nil); errors.As(err, &refused) {
		s.passOnRefusal(now, refused)
		return
	}
	s.blame(err)
	s.refuse(now, ReasonUnreachable, refusal{answersConnect: true, text: unsentText(s.route, err)})
}

// failover gives up an endpoint that did not answer the CONNECT as it should.
// A CONNECT is not a call: the next endpoint gets the same one.
func (s *Session) failover(now time.Duration, o backend.Outcome) {
	s.release(o)
	s.deadline = 0
	if s.draining && s.joining {
		s.unfilled(backend.ErrUnreachable, o)
		return
	}
	if s.draining {
		s.refuseDrained(now)
		return
	}
	s.acquire()
}

// replyData takes what the endpoint sends. It is forwarded as it comes, except
// that a header goes on only when it is complete and found good.
func (s *Session) replyData(now time.Duration, b []byte) (t Taken) {
	for t.Consumed < len(b) && t.Need == 0 {
		rest := b[t.Consumed:]
		if s.replyLeft == 0 && t.Consumed > 0 && s.calls.late() > 0 {
			t.Again = true // what follows goes elsewhere
			break
		}
		if s.replyLeft == 0 {
			h, err := wire.ParseHead(rest)
			if errors.Is(err, wire.ErrShort) {
				t.Need = shortOf(rest)
				break
			}
			if err == nil && s.maySaturate(&h) {
				if int64(len(rest)) < h.Len() {
					t.Need = int(h.Len())
					break
				}
				if wire.Saturated(rest[:h.Len()]) {
					s.failover(now, backend.Saturated)
					return Taken{Consumed: len(b)}
				}
			}
			if err == nil && int64(len(rest)) >= h.Len() && s.remembers(&h) { // nearly always all of it is here
				s.route.welcomes.keep(s.greeting, &h, rest[:h.Len()])
			}
			if err == nil && s.ownPong(&h) { // nothing can be before it
				if int64(len(rest)) < h.Len() {
					return Taken{Need: int(h.Len())}
				}
				s.lease.Pings--
				return Taken{Consumed: int(h.Len()), Again: int64(len(rest)) > h.Len(), ReplyDue: s.calls.len() > 0}
			}
			if err == nil {
				err = s.nextReply(&h)
			}
			if err != nil {
				t.Forward, t.Consumed = t.Consumed, len(b)
				s.garbled(now, err)
				break
			}
		}
		n := min(s.replyLeft, int64(len(rest)))
		if s.swallowing {
			s.replyMoved(now, n)
			return Taken{Consumed: int(n), Again: int(n) < len(rest), ReplyDue: s.calls.len() > 0}
		}
		t.Consumed += int(n)
		t.Forward = t.Consumed
		s.unsent = !s.clientGone
		s.replyMoved(now, n)
		if s.state != inOpen && s.state != inGreeting {
			t.Consumed = len(b) // refused by the daemon: nothing follows
			break
		}
		if s.lease == nil { // given back: what follows is nobody's, or somebody else's
			t.Again = t.Consumed < len(b)
			break
		}
	}
	t.To = Client
	t.Body = s.replyLeft
	t.ReplyDue = s.calls.len() > 0
	if s.clientGone {
		t.Forward, t.Body = 0, 0 // still read, but for nobody
	}
	return t
}

// errRefusedNow: a daemon answered as welcome, and refuses now.
var errRefusedNow = errors.New("the daemon no longer accepts the handshake")

// What can be wrong with an endpoint's messages, besides their headers.
var (
	errHalfAnswer   = errors.New("answer to CONNECT began but did not end")
	errOtherDialect = errors.New("message in the other protocol")
	errReplySize    = errors.New("message larger than max_message_size")
	errUnexpected   = errors.New("message out of turn")
)

// nextReply looks at the header of a new message from the endpoint.
func (s *Session) nextReply(h *wire.Head) error {
	switch {
	case h.Dialect != s.dialect:
		if s.greeting != nil {
			s.lease.Learn(h.Dialect)
		}
		return fmt.Errorf("%w: %s", errOtherDialect, h.Dialect)
	case h.BodyLen() > s.env.Limits.Message:
		return fmt.Errorf("%w: %d bytes", errReplySize, h.BodyLen())
	case !s.expects(h.Type):
		return fmt.Errorf("%w: %s", errUnexpected, h.Type)
	case s.pooled != nil && h.Seq != s.calls.oldest().seq:
		// It may be another client's. (Clients look at it as well.)
		return fmt.Errorf("%w: sequence number %d, not %d", errUnexpected, h.Seq, s.calls.oldest().seq)
	}
	s.replyFlags = *h
	s.replyLeft = h.Len()
	s.swallowing = s.calls.late() > 0 || s.joining
	if s.state == inGreeting {
		s.answered(h)
	}
	return nil
}

// answered: the endpoint has begun to answer the CONNECT, so it is the one.
func (s *Session) answered(h *wire.Head) {
	s.lease.Answered(h.Dialect)
	s.summary.Endpoint = s.lease.Endpoint.Address.String()
	s.greeting, s.excuseBy = nil, 0
	if !s.joining {
		s.attempt = nil
	}
}

func (s *Session) expects(t wire.Type) bool {
	switch {
	case s.state == inGreeting:
		return t == wire.ConnectOK || t == wire.ConnectFail
	case s.calls.len() == 0:
		return false
	case s.calls.oldest().kind == wire.Ping:
		return t == wire.Ping
	}
	return t == wire.Result
}

// replyMoved counts n bytes of the current reply as on their way.
func (s *Session) replyMoved(now time.Duration, n int64) {
	s.replyLeft -= n
	if !s.clientGone && !s.swallowing {
		s.summary.ReplyBytes += n
		s.route.Calls.Reply(n)
		if s.state == inGreeting {
			// The rest of an answer that has begun must keep coming.
			s.deadline = now + s.env.HandshakeTime
		}
	}
	if s.replyLeft == 0 {
		s.replied(now)
	}
}

// replied: the reply is complete.
func (s *Session) replied(now time.Duration) {
	switch {
	case s.joining && s.replyFlags.Type == wire.ConnectFail:
		s.unfilled(errRefusedNow, backend.Refused)
		return
	case s.joining:
		s.hollow, s.attempt, s.joining, s.swallowing = nil, nil, false, false
		s.state = inOpen
		s.disarm()
	case s.replyFlags.Type == wire.ConnectFail:
		s.route.Calls.Refused()
		s.finish(now, ReasonRefused, backend.Refused)
		return
	case s.replyFlags.Type == wire.ConnectOK:
		s.state = inOpen
		s.disarm()
	case s.swallowing:
		s.swallowing = false
		c := s.calls.pop()
		c.flight.End()
		s.route.Calls.Late()
		if s.calls.late() == 0 {
			s.lateBy = 0
		}
	default:
		c := s.calls.pop()
		c.flight.End()
		if s.pooled != nil {
			s.repliedPooled()
		}
		outcome := metrics.Replied
		if s.replyFlags.Has(wire.Exception) && !s.replyFlags.Has(wire.ItemStream) {
			outcome = metrics.Raised
		}
		s.route.Calls.Answered(outcome, c.elapsed(now).Seconds(), c.correlation, now)
		s.endSpan(now, &c, outcome)
	}
	if s.pooled == nil {
		s.resume()
	}
	if s.atRest() {
		s.rested(now)
	}
}

// maxSaturation bounds the refusals that are looked at for saturation, in bytes.
const maxSaturation = 4 << 10

// maySaturate reports whether a message with head h may say that the daemon has
// no thread left, and so is no answer to the CONNECT yet: another endpoint may
// have one.
func (s *Session) maySaturate(h *wire.Head) bool {
	return s.state == inGreeting && s.greeting != nil && h.Type == wire.ConnectFail &&
		h.Dialect == s.dialect && h.Len() <= maxSaturation
}

func (s *Session) resume() {
	if s.paused {
		s.paused = false
		s.do(Action{Op: Resume, Port: Client})
	}
}

// rested: no call is under way. A client that has said its last may go now.
func (s *Session) rested(now time.Duration) {
	if s.pooled != nil {
		s.restedPooled(now)
	} else {
		if s.lease != nil {
			s.lease.Busy(s.calls.len() > 0)
		}
		s.resume()
	}
	if idle := s.times.Idle; idle > 0 && !s.looked {
		s.quietBy = now + idle
	}
	switch {
	case s.inputEnd != "":
		s.finish(now, s.inputEnd, backend.Served)
	case s.draining:
		s.do(Action{Op: Settle, Port: Client})
	}
}

// garbled: the endpoint sent what Pyro does not send, or what was not its turn
// to. Before its answer to the CONNECT that only means another endpoint; later
// it ends the session.
func (s *Session) garbled(now time.Duration, err error) {
	switch {
	case s.pooled != nil && s.quits():
		s.quit(now, backend.Garbled)
	case s.greeting == nil:
		s.blame(err)
		s.finish(now, ReasonGarbled, backend.Garbled)
	case errors.Is(err, errOtherDialect):
		s.failover(now, backend.OtherDialect)
	default:
		s.failover(now, backend.Garbled)
	}
}
