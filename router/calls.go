package router

import (
	"slices"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/tracing"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// maxPipelined is how many requests a client may have sent on before the first
// of them is answered. Pyro's own clients never have more than one; a client
// that has more is made to wait, not refused.
const maxPipelined = 4

// call is a request: the client's next one, or one that has begun to be sent on.
type call struct {
	began          time.Duration // when enough of it was here to be dealt with
	sent           time.Duration // when its last byte was shown; 0: not yet
	due            time.Duration // when it has taken too long; 0: never
	allowed        time.Duration // how long it may take from its last byte; 0: any time
	latest         time.Duration // when a call further up has too little time left; 0: never
	correlation    [16]byte
	hasCorrelation bool
	made           bool // the correlation id is ours
	whole          bool // all of it was here when due was set
	child          bool // it comes from the method of another call, as far as can be told
	flight         *inflight.Call
	span           tracing.Span
	sealed         bool   // signed with a key that is not ours, or not signed as it must be: it is left alone
	proven         bool   // signed with the client's key, as has been seen
	unproven       bool   // that is to be seen when all of it is here
	late           bool   // it was answered with a timeout, and its reply is still to come
	to             *Route // the route of a call that has one of its own; nil: its client's
	kind           wire.Type
	serializer     wire.Serializer
	seq            uint16
	failure        error // why it could not be sent, or got no reply, where that is known
}

// nested reports whether the call may be made by a method that another call waits
// for: that is known, or it came with an id, as Pyro's servers give one to all that
// they call.
func (c *call) nested() bool { return c.child || c.hasCorrelation && !c.made }

// answerable reports whether an exception of ours would be taken for its result: a
// PING is answered with a PING, and a signed message with one that bears the same key's
// signature.
func (c *call) answerable() bool {
	return c.kind == wire.Invoke && !c.sealed && c.serializer != wire.UnknownSerializer
}

// complete: the last byte of the request is on its way. Its time begins now, unless it
// has waited since its last byte came.
func (c *call) complete(now time.Duration) {
	c.sent = now
	if c.allowed > 0 && !c.whole {
		c.due = now + c.allowed
	}
	if c.latest > 0 && (c.due == 0 || c.latest < c.due) {
		c.due = c.latest
	}
}

func (c *call) elapsed(now time.Duration) time.Duration {
	if c.sent == 0 {
		return 0
	}
	return now - c.sent
}

// callQueue holds the calls that wait for a reply. A daemon answers one
// connection's calls in order.
type callQueue struct {
	first call   // the oldest, which most clients leave it at
	rest  []call // those behind it
	some  bool   // there is a first
}

func (q *callQueue) len() int {
	if !q.some {
		return 0
	}
	return 1 + len(q.rest)
}

func (q *callQueue) full() bool { return q.len() == maxPipelined }

func (q *callQueue) at(i int) *call {
	if i == 0 {
		return &q.first
	}
	return &q.rest[i-1]
}

// waiting is how many calls the client waits for. Those that it does not are the
// oldest.
func (q *callQueue) waiting() int { return q.len() - q.late() }

// late is how many were answered with a timeout, and will be by the daemon.
func (q *callQueue) late() (n int) {
	for n < q.len() && q.at(n).late {
		n++
	}
	return n
}

func (q *callQueue) push(c call) {
	if q.some {
		q.rest = append(q.rest, c)
		return
	}
	q.first, q.some = c, true
}

func (q *callQueue) oldest() *call { return &q.first }
func (q *callQueue) newest() *call { return q.at(len(q.rest)) }

// pop takes the oldest out, and keeps nothing of it: sessions are idle for long.
func (q *callQueue) pop() call {
	c := q.first
	if len(q.rest) == 0 {
		q.first, q.some, q.rest = call{}, false, nil
		return c
	}
	q.first = q.rest[0]
	q.rest = slices.Delete(q.rest, 0, 1)
	return c
}
