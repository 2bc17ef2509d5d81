// Package pace says when to ask again: after failures, and how often at most. It is for
// whoever follows something that may be away for long, with others who do the same.
//
// It does not ask, and knows no errors.
package pace

import (
	"context"
	"math/rand/v2"
	"time"
)

// The delays of a Backoff, and the pace of blocking queries of Consul.
const (
	FirstDelay = 100 * time.Millisecond
	MaxDelay   = 10 * time.Second

	// A blocking query returns at once as long as there is something new. The
	// first few do so undelayed; then, half a second apart, which keeps both the
	// load that we make and the delay of what is new within bounds.
	QueryBurst    = 5
	QueryInterval = 500 * time.Millisecond
)

// Backoff is how long to wait after failures, one after the other.
type Backoff struct{ failures int }

// Next is the delay after one more failure. It doubles up to MaxDelay; the
// latter half of it is chance, so that many who failed together do not return
// together.
func (b *Backoff) Next() time.Duration {
	delay := MaxDelay
	if b.failures < 7 {
		delay = min(FirstDelay<<b.failures, MaxDelay)
	}
	b.failures++
	return delay/2 + rand.N(delay/2)
}

// Reset says that it went well.
func (b *Backoff) Reset() { b.failures = 0 }

// Bucket is a token bucket that begins full.
type Bucket struct {
	Interval time.Duration // in which one token is added
	Burst    int
	empty    time.Time // when the bucket was empty, were it never bounded
}

// Next is the delay until one more may begin, and counts it as begun then.
func (p *Bucket) Next(now time.Time) time.Duration {
	if full := now.Add(-time.Duration(p.Burst) * p.Interval); p.empty.Before(full) {
		p.empty = full
	}
	p.empty = p.empty.Add(p.Interval)
	return max(p.empty.Sub(now), 0)
}

// Sleep waits, and reports false when ctx ended.
func Sleep(ctx context.Context, d time.Duration) bool {
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
