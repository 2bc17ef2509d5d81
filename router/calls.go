package router

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// maxPipelined is how many requests a client may have sent on before the first
// of them is answered. Pyro's own clients never have more than one; a client
// that has more is made to wait, not refused.
const maxPipelined = 4

// call is a request that has begun to be sent on.
type call struct {
	sent           time.Duration // when its last byte was shown; 0: not yet
	correlation    [16]byte
	hasCorrelation bool
	kind           wire.Type
	seq            uint16
	failure        error // why it could not be sent, where that is known
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
	ring  [maxPipelined]call
	first uint8
	n     uint8
}

func (q *callQueue) len() int   { return int(q.n) }
func (q *callQueue) full() bool { return q.n == maxPipelined }

func (q *callQueue) push(c call) {
	q.ring[(q.first+q.n)%maxPipelined] = c
	q.n++
}

func (q *callQueue) oldest() *call { return &q.ring[q.first] }
func (q *callQueue) newest() *call { return &q.ring[(q.first+q.n-1)%maxPipelined] }

func (q *callQueue) pop() call {
	c := q.ring[q.first]
	q.first = (q.first + 1) % maxPipelined
	q.n--
	return c
}
