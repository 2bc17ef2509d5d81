package router

import (
	"net/netip"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/tracing"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Session is one client's conversation, from its first byte to its last. It is
// a state machine: its driver calls a method when something has happened, one
// at a time, and then carries out what Taken, Freed and Actions ask. It never
// blocks, and a call allocates nothing but, in mode call, its lease.
//
// In mode session a client's CONNECT finds an endpoint and both are joined until
// either goes (for mode call see pooled.go):
//
//	Handshake ── CONNECT complete, route found ──► Acquiring
//	Acquiring ── lease granted ──► Greeting (the CONNECT is sent as it came)
//	Greeting  ── no proper answer in time ──► Acquiring (the next endpoint)
//	Greeting  ── CONNECTOK, all of it ──► Idle
//	Idle ──► Sending ──► Waiting ──► Replying ──► Idle
//	any       ── refusal, bad input, daemon gone, drained ──► Lingering
//	any       ── client gone ──► Closed;  Lingering ── client gone, or time ──► Closed
//
// Lingering is a closed door that still takes in what the client says: closing
// a socket with unread bytes makes the kernel send RST, which can destroy the
// very message that explains why.
type Session struct {
	env      *Env
	source   netip.Addr
	observer Observer
	denied   *denial

	state    phase
	deadline time.Duration // when Tick has something to do; 0: never
	actions  []Action

	// The handshake, dropped once it is answered.
	greeting *greeting
	dialect  wire.Dialect
	route    *Route

	attempt *backend.Attempt
	pooled  *pooled // nil: mode session

	next        call // the request that the client's bytes begin with,
	looked      bool // once enough of it has been here
	origin      inflight.Origin
	parents     inflight.Parents // of next
	object      string           // that the client asked for,
	objectKnown bool             // if it could be read
	intros      map[introKey]intro
	deliveryDue time.Duration // when delivery has taken too long; 0: never
	delivery    *Delivery     // of the client's call, where it is under way and not answered
	spill       *spill        // a request that is read into a file, before its delivery; nil: none is
	hollow      *greeting     // of a client that was answered, but not connected: see forestall.go
	joining     bool          // that is being made good
	signing     *wire.Key     // the client's key, where it has one and it is known
	marked      []byte        // memory for its header and annotations
	dropLeft    int64         // of a request that is not sent on: bytes still to be dropped

	times    Timeouts      // in force for the client
	quietBy  time.Duration // when a client without a call is closed; 0: never
	excuseBy time.Duration // when calls further up are to know that their endpoints wait for a CONNECT
	lateBy   time.Duration // when late replies are waited for no longer; 0: there are none
	python2  bool          // the client's, as far as can be told

	leg     Port // the live leg, or the one being acquired; 0: none yet
	lastLeg Port
	lease   *backend.Lease

	requestLeft int64 // bytes of the current request still to come
	oneway      call  // the current request, where it is oneway
	sendOneway  bool
	// Oneway calls that were forwarded, but are not known to be written.
	onewaysUnshipped int
	patience         time.Duration // what is left of the request time
	clockRuns        bool          // deadline is the request time's
	replyLeft        int64
	replyFlags       wire.Head // of the current reply
	calls            callQueue

	paused     bool // the client's bytes wait for a Resume
	unsent     bool // a reply's bytes are forwarded, but not known to be written
	telling    bool // they are a message of ours
	unshipped  bool // a request's are
	swallowing bool // the current reply is a late one
	clientEOF  bool
	clientGone bool // nothing can be written to the client any more
	legBroken  bool // nothing can be written to the leg any more
	inputEnd   Reason
	draining   bool

	summary Summary
}

// greeting is what is kept of a CONNECT until it has been answered.
type greeting struct {
	head        wire.Head
	correlation [16]byte
	message     []byte // the whole CONNECT as it came
	reported    bool   // of one that is not sent on: the circle that it would close
}

type phase uint8

const (
	inHandshake phase = iota
	inAcquiring
	inGreeting
	inOpen
	inLingering
	inClosed
)

// State is what a session is doing, for people to look at.
type State string

// The states.
const (
	Handshake State = "handshake"
	Acquiring State = "acquiring"
	Greeting  State = "greeting"
	Idle      State = "idle"
	Sending   State = "sending"
	Waiting   State = "waiting"
	Replying  State = "replying"
	Lingering State = "lingering"
	Closed    State = "closed"
)

// Limits bound what a client may send. All are in bytes.
type Limits struct {
	Message         int64 // annotations and data of any message
	Annotations     int64 // of a request; replies may carry as many as fit Message
	Handshake       int64 // the whole CONNECT
	StoreAndForward int64 // requests up to this length go on only when complete
	Delivery        int64 // the whole of a request that takes a route of its own, and its reply, in memory
	Spill           int64 // requests that take such a route go to a file if they are longer; 0: none does
	Spilled         int64 // the whole of one that does
}

// Env is what the sessions of one listener share. It does not change.
type Env struct {
	Listener       string
	Table          func() *Table // the routes in force
	Limits         Limits
	DefaultDialect wire.Dialect  // of refusals to peers whose dialect is unknown
	HandshakeTime  time.Duration // from accept to a complete CONNECT; also what an answer that has begun may stall
	RequestTime    time.Duration // from the first to the last byte of a stored request
	LingerTime     time.Duration // in the state Lingering
	Timeouts       Timeouts      // of routes that say Inherit
	// Graph is the calls in flight, of all listeners together; nil: no call is looked
	// at for where it comes from.
	Graph *inflight.Graph
	// Tracer makes a span of each call with a correlation id; nil: of none.
	Tracer  *tracing.Tracer
	Metrics *metrics.Listener
	// Key is what Pyro4's clients of the listener sign with; nil: only those of clusters
	// are known.
	Key wire.Key
}

// New makes the session of a client from source, which is the zero Addr on a
// Unix socket. now is the time since the driver's own epoch, as in every event.
func New(env *Env, source netip.Addr, o Observer, now time.Duration) *Session {
	return &Session{
		env:      env,
		source:   source,
		observer: o,
		deadline: now + env.HandshakeTime,
		patience: env.RequestTime,
		greeting: &greeting{},
	}
}

// Deny makes the session refuse its client, whatever it asks for, with text. It
// is called before the first event. (A client learns best why it is refused
// when it has said hello and in which serializer it reads.)
func (s *Session) Deny(r Reason, text string) { s.denied = &denial{reason: r, text: text} }

type denial struct {
	reason Reason
	text   string
}

// Deadline is the time at which Tick wants to be called, 0 for never. It may
// have changed after any event.
func (s *Session) Deadline() time.Duration {
	due := sooner(s.deadline, s.callDue())
	due = sooner(due, s.quietBy)
	due = sooner(due, s.lateBy)
	due = sooner(due, s.excuseBy)
	if k := s.pooled; k != nil {
		due = sooner(due, k.idleBy)
	}
	return due
}

// sooner is the earlier of two times, 0 being never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Pressed reports whether the deadline is one for the client or the endpoint to
// do something without which nothing goes on, and not only the bound of a call or
// of an idle time.
func (s *Session) Pressed() bool { return s.deadline != 0 }

// SendTimeout is how long either peer may take no bytes at all, 0 for any time.
func (s *Session) SendTimeout() time.Duration { return s.times.Send }

// Actions returns what is to be done now, in order, and forgets it. Bytes that
// the last Taken asks to be forwarded go before any of it.
func (s *Session) Actions() []Action {
	a := s.actions
	s.actions = nil
	return a
}

// Held is how many bytes of the CONNECT the session keeps, in memory of its own,
// in case that another endpoint must be asked.
func (s *Session) Held() int {
	switch {
	case s.greeting != nil:
		return len(s.greeting.message)
	case s.hollow != nil:
		return len(s.hollow.message)
	}
	return 0
}

// Route is the client's route, nil before it is found.
func (s *Session) Route() *Route { return s.route }

// Dialect is the client's dialect, 0 before it is known.
func (s *Session) Dialect() wire.Dialect { return s.dialect }

// Summary is what has been counted so far. Reason is set when the session has
// ended or begun to.
func (s *Session) Summary() Summary { return s.summary }

// State says what the session is doing.
func (s *Session) State() State {
	switch s.state {
	case inHandshake:
		return Handshake
	case inAcquiring:
		return Acquiring
	case inGreeting:
		return Greeting
	case inLingering:
		return Lingering
	case inClosed:
		return Closed
	}
	switch {
	case s.pooled != nil && s.pooled.waiting:
		return Acquiring
	case s.replyLeft > 0 && !s.swallowing || s.unsent:
		return Replying
	case s.requestLeft > 0 || s.unshipped || s.dropping() || s.spill != nil:
		return Sending
	case s.calls.waiting() > 0, s.held(), s.delivery != nil:
		return Waiting
	}
	return Idle
}

// atRest: no call has begun that has not ended, and all that was forwarded has
// been written. A call whose reply is late has ended, for its client.
func (s *Session) atRest() bool { return s.clear() && !s.held() }

// clear: nothing is under way before the client's next request.
func (s *Session) clear() bool {
	return s.calls.waiting() == 0 && s.delivery == nil && s.spill == nil && s.requestLeft == 0 && (s.replyLeft == 0 || s.swallowing) &&
		!s.unsent && !s.unshipped && s.dropLeft == 0 && (s.pooled == nil || !s.pooled.waiting)
}

// Trim drops what an idle session still has of calls that are over. It is for when
// nothing has happened for a while: clients are idle for hours, and there are many.
func (s *Session) Trim() {
	if s.State() != Idle || s.looked {
		return
	}
	s.next, s.oneway = call{}, call{}
	s.origin, s.parents, s.marked = inflight.Origin{}, inflight.Parents{}, nil
}
