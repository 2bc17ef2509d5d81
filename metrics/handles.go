package metrics

import (
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// Outcome is how a call ended.
type Outcome uint8

// The outcomes of a call.
const (
	Replied          Outcome = iota // A result came back.
	Raised                          // An exception came back: the daemon did its work.
	Sent                            // A oneway call was sent on completely.
	BackendClosed                   // The endpoint's connection ended before the reply did.
	BackendProtocol                 // The reply was not what Pyro sends.
	ClientClosed                    // The client went before its call was over.
	Aborted                         // We closed: drain_timeout had passed, or bad input came behind the call.
	NoEndpoint                      // Not sent: no endpoint could be used (mode call).
	QueueFull                       // Not sent: no endpoint had room, and the queue was full (mode call).
	QueueTimeout                    // Not sent: no endpoint had room within queue_timeout (mode call).
	HandshakeRefused                // Not sent: the daemon no longer accepts the client's CONNECT (mode call).
	TimedOut                        // No complete reply within timeout, or what was left of a call further up.
	SendTimedOut                    // The endpoint, or the client, took no bytes within send_timeout.
	NoBudget                        // Not sent: too little was left of the time of the call that it was made for.
	Circular                        // Not sent: it would have waited for itself.
	TooDeep                         // Not sent: it was made for as many others as max_depth allows.
	TooLarge                        // Not sent: the message, or its annotations, are larger than allowed.
	Undeliverable                   // Not sent: what the call is about cannot be read, or there is nobody whom it is for.
	numOutcomes
)

var outcomeNames = [numOutcomes]string{
	"ok", "exception", "oneway", "backend_closed", "backend_protocol_error", "client_closed", "aborted",
	"no_endpoint", "queue_full", "queue_timeout", "handshake_refused",
	"timeout", "send_timeout", "no_budget", "circular", "max_depth", "too_large", "undeliverable",
}

// String is the outcome's label value.
func (o Outcome) String() string { return outcomeNames[o] }

// Calls counts what happens on one pair of route and cluster. Its collectors
// are looked up once, when the route is made, so that a call costs a few
// atomic additions.
type Calls struct {
	ended    [numOutcomes]prometheus.Counter
	inFlight prometheus.Gauge
	duration prometheus.Observer
	request  prometheus.Counter
	reply    prometheus.Counter
	refused  prometheus.Counter
	late     prometheus.Counter
	circles  [2][2]prometheus.Counter
	legs     [numOutcomes]prometheus.Counter
	legTime  prometheus.Observer
	unheard  prometheus.Counter

	exemplified atomic.Int64 // when a call was last
}

// Calls gives the collectors of a route and its cluster.
func (s *Set) Calls(route, cluster string) *Calls {
	c := &Calls{
		inFlight: s.inFlight.WithLabelValues(route, cluster),
		duration: s.duration.WithLabelValues(route, cluster),
		request:  s.bytes.WithLabelValues(route, cluster, "request"),
		reply:    s.bytes.WithLabelValues(route, cluster, "reply"),
		refused:  s.refusals.WithLabelValues(route, cluster),
		late:     s.late.WithLabelValues(route, cluster),
		legTime:  s.legTime.WithLabelValues(route, cluster),
		unheard:  s.unheard.WithLabelValues(route, cluster),
	}
	for i, certainty := range circleCertainties {
		for j, action := range circleActions {
			c.circles[i][j] = s.circles.WithLabelValues(route, cluster, certainty, action)
		}
	}
	for o := range numOutcomes {
		c.ended[o] = s.calls.WithLabelValues(route, cluster, o.String())
		c.legs[o] = s.legs.WithLabelValues(route, cluster, o.String())
	}
	return c
}

// Began counts a call that waits for a reply.
func (c *Calls) Began() { c.inFlight.Inc() }

// Ended counts the end of a call for which Began was called. seconds is its
// duration, and is observed only where a reply came.
func (c *Calls) Ended(o Outcome, seconds float64) {
	c.inFlight.Dec()
	c.ended[o].Inc()
	if o == Replied || o == Raised {
		c.duration.Observe(seconds)
	}
}

// exemplarEvery is how often a call's correlation id is kept as an exemplar.
const exemplarEvery = int64(time.Second)

// Answered is Ended for a call whose reply was passed on. Now and then its correlation
// id, where it is not zero, becomes the exemplar of its duration; at is a time by any
// one clock.
func (c *Calls) Answered(o Outcome, seconds float64, correlation [16]byte, at time.Duration) {
	last := c.exemplified.Load()
	exemplars, ok := c.duration.(prometheus.ExemplarObserver)
	if !ok || correlation == [16]byte{} || last != 0 && int64(at)-last < exemplarEvery || !c.exemplified.CompareAndSwap(last, int64(at)) {
		c.Ended(o, seconds)
		return
	}
	c.inFlight.Dec()
	c.ended[o].Inc()
	exemplars.ObserveWithExemplar(seconds, prometheus.Labels{"correlation_id": uuid.UUID(correlation).String()})
}

// Undone takes back a Began: the call will begin again elsewhere.
func (c *Calls) Undone() { c.inFlight.Dec() }

// Oneway counts the end of a call that has no reply.
func (c *Calls) Oneway(o Outcome) { c.ended[o].Inc() }

// Request counts bytes sent on to an endpoint.
func (c *Calls) Request(n int64) { c.request.Add(float64(n)) }

// Reply counts bytes sent on to a client.
func (c *Calls) Reply(n int64) { c.reply.Add(float64(n)) }

// Refused counts a CONNECTFAIL of a daemon that was passed on.
func (c *Calls) Refused() { c.refused.Inc() }

// Late counts a reply that came after its call had been answered with a timeout.
func (c *Calls) Late() { c.late.Inc() }

// Leg counts the end of one leg of a call that is dispatched to a target of its own, or
// to several. seconds is how long the target took, and is observed where it answered.
func (c *Calls) Leg(o Outcome, seconds float64) {
	c.legs[o].Inc()
	if o == Replied || o == Raised {
		c.legTime.Observe(seconds)
	}
}

// Unheard counts a call that there is nobody for.
func (c *Calls) Unheard() { c.unheard.Inc() }

// Circle counts a call that closes, or may close, a circle of calls.
func (c *Calls) Circle(certain, rejected bool) { c.circles[index(certain)][index(rejected)].Inc() }

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Listener counts what happens at one listener.
type Listener struct {
	set      *Set
	name     string
	Sessions prometheus.Gauge
	Limit    prometheus.Gauge
	Started  prometheus.Counter
	// AcceptErrors counts failed accepts.
	AcceptErrors prometheus.Counter
}

// Listener gives the collectors of a listener.
func (s *Set) Listener(name string) *Listener {
	for _, reason := range endReasons {
		s.sessionsEnded.WithLabelValues(name, reason)
	}
	for _, reason := range rejectReasons {
		s.sessionsEnded.WithLabelValues(name, reason)
		s.rejected.WithLabelValues(name, reason)
	}
	return &Listener{
		set: s, name: name,
		Sessions:     s.sessions.WithLabelValues(name),
		Limit:        s.sessionsLimit.WithLabelValues(name),
		Started:      s.sessionsStarted.WithLabelValues(name),
		AcceptErrors: s.acceptErrors.WithLabelValues(name),
	}
}

// Ended counts the end of a session. reason is one of router.Reason's.
func (l *Listener) Ended(reason string) {
	l.set.sessionsEnded.WithLabelValues(l.name, reason).Inc()
}

// Rejected counts a client turned away. reason is one of router.Reason's.
func (l *Listener) Rejected(reason string) {
	l.set.rejected.WithLabelValues(l.name, reason).Inc()
}
