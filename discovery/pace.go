package discovery

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second

	// A blocking query returns at once as long as there is something new. The
	// first few do so undelayed; then, half a second apart, which keeps both the
	// load that we make and the delay of what is new within bounds.
	paceBurst    = 5
	paceInterval = 500 * time.Millisecond
)

// backoff is how long to wait after failures, one after the other.
type backoff struct{ failures int }

// next is the delay after one more failure. It doubles up to maxDelay; the
// latter half of it is chance, so that many who failed together do not return
// together.
func (b *backoff) next() time.Duration {
	delay := maxDelay
	if b.failures < 7 {
		delay = min(firstDelay<<b.failures, maxDelay)
	}
	b.failures++
	return delay/2 + rand.N(delay/2)
}

// reset says that it went well.
func (b *backoff) reset() { b.failures = 0 }

// pace is a token bucket that begins full.
type pace struct {
	interval time.Duration // in which one token is added
	burst    int
	empty    time.Time // when the bucket was empty, were it never bounded
}

// next is the delay until one more may begin, and counts it as begun then.
func (p *pace) next(now time.Time) time.Duration {
	if full := now.Add(-time.Duration(p.burst) * p.interval); p.empty.Before(full) {
		p.empty = full
	}
	p.empty = p.empty.Add(p.interval)
	return max(p.empty.Sub(now), 0)
}

// sleep waits, and reports false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
