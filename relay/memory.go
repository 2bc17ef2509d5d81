package relay

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// Sizes of buffers in bytes.
const (
	readSize  = 16 << 10  // what one receive asks for
	moveSize  = 256 << 10 // for bodies that cannot be spliced
	freeSize  = 512       // kept parts up to this size are not worth an account
	spliceMin = 64 << 10  // bodies with less than this left are read like anything else
)

var (
	readPool = sync.Pool{New: func() any { return new([readSize]byte) }}
	movePool = sync.Pool{New: func() any { return new([moveSize]byte) }}
)

// memory is an account that incomplete messages of clients are charged to, in
// bytes. There are two: a client that has not said CONNECT may be anybody, and
// must not use up what the requests of others need.
//
// A session that finds its account empty stops reading until there is room. It
// may then hold what it had just read, at most readSize bytes, uncharged: it
// cannot be put back. Messages that arrive complete are not charged.
type memory struct {
	account *semaphore.Weighted
	metrics metrics.Buffer
}

// handshakeShare is the part of the buffer memory that CONNECTs may use: one in
// so many bytes.
const handshakeShare = 4

func newMemory(limit int64, m metrics.Buffer) (handshakes, requests *memory) {
	m.Limit.Set(float64(limit))
	forHandshakes := limit / handshakeShare
	return &memory{account: semaphore.NewWeighted(forHandshakes), metrics: m},
		&memory{account: semaphore.NewWeighted(limit - forHandshakes), metrics: m}
}

func (m *memory) tryTake(n int) bool {
	if !m.account.TryAcquire(int64(n)) {
		return false
	}
	m.metrics.InUse.Add(float64(n))
	return true
}

// take waits for room. It fails only with ctx.
func (m *memory) take(ctx context.Context, n int) error {
	m.metrics.Waits.Inc()
	if err := m.account.Acquire(ctx, int64(n)); err != nil {
		return err
	}
	m.metrics.InUse.Add(float64(n))
	return nil
}

func (m *memory) give(n int) {
	m.account.Release(int64(n))
	m.metrics.InUse.Sub(float64(n))
}

// charge is what is taken from an account for one buffer.
type charge struct {
	account *memory
	bytes   int
}

// settle gives it back.
func (c *charge) settle() {
	if c.bytes > 0 {
		c.account.give(c.bytes)
	}
	*c = charge{}
}

// charges is what is taken from accounts for several buffers. It is safe for concurrent
// use.
type charges struct {
	mu  sync.Mutex
	all []charge
}

// take takes n bytes from m, if there are so many.
func (c *charges) take(m *memory, n int) bool {
	if n > freeSize {
		if !m.tryTake(n) {
			return false
		}
		c.add(charge{m, n})
	}
	return true
}

// add takes over charges.
func (c *charges) add(more ...charge) {
	c.mu.Lock()
	c.all = append(c.all, more...)
	c.mu.Unlock()
}

// give hands everything over to the caller.
func (c *charges) give() []charge {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

func (c *charges) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all) > 0
}

// settle gives everything back.
func (c *charges) settle() {
	all := c.give()
	for i := range all {
		all[i].settle()
	}
}

// accountLocked is the account for what p keeps. It takes over p's charge, or
// makes one, for a CONNECT that the session has just begun to hold.
func (d *driver) accountLocked(p *pump) *memory {
	s := d.listener.server
	if p.port != router.Client {
		return s.requests
	}
	if d.session.State() == router.Handshake {
		return s.handshakes
	}
	if held := d.session.Held(); held > freeSize && d.connect.bytes == 0 {
		d.connect = p.buf.handOver()
		if d.connect.bytes == 0 && s.handshakes.tryTake(held) {
			d.connect = charge{s.handshakes, held}
		}
	}
	return s.requests
}
