package relay

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
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

// memory is the account that incomplete requests are charged to, in bytes.
//
// A session that finds the account empty stops reading until there is room. It
// may then hold what it had just read, at most readSize bytes, uncharged: it
// cannot be put back. Requests that arrive complete are not charged.
type memory struct {
	account *semaphore.Weighted
	limit   int64
	metrics metrics.Buffer
}

func newMemory(limit int64, m metrics.Buffer) *memory {
	m.Limit.Set(float64(limit))
	return &memory{account: semaphore.NewWeighted(limit), limit: limit, metrics: m}
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
	if n > 0 {
		m.account.Release(int64(n))
		m.metrics.InUse.Sub(float64(n))
	}
}
