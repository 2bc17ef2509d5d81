package store

import (
	"context"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"
)

// Watch is Store's. It follows what HashiCorp says of blocking queries
// (developer.hashicorp.com/consul/api-docs/features/blocking), as package discovery
// does: the index begins at 0, and anew where it goes backwards, and after every
// failure, since a Consul that was started anew may have a lower one and would keep us
// waiting for the old; and it is never below 1. Answers about keys come from the
// servers and not from an agent's view of its own, so that one without news is
// believed, other than there.
func (c *Consul) Watch(ctx context.Context, changed func(map[string]Entry)) {
	var (
		index  uint64
		told   map[string]Entry
		delays backoff
		limit  = pace{interval: paceInterval, burst: paceBurst}
		log    = outageLog{log: c.log.With(zap.String("prefix", c.prefix))}
	)
	for sleep(ctx, limit.next(time.Now())) {
		all, now, err := c.list(ctx, api.QueryOptions{WaitIndex: index, WaitTime: c.wait})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			log.failed(err)
			index = 0
			if !sleep(ctx, delays.next()) {
				return
			}
			continue
		}
		log.answered()
		delays.reset()
		if now < index {
			log.log.Warn("Consul's index went backwards", zap.Uint64("from", index), zap.Uint64("to", now))
			index = 0
		} else {
			index = max(now, 1)
		}
		if told == nil || !maps.EqualFunc(told, all, Entry.equal) {
			told = all
			changed(all)
		}
	}
}

// outageLog tells of the first of many failures, and of their end.
type outageLog struct {
	log      *zap.Logger
	since    time.Time
	failures int
}

func (l *outageLog) failed(err error) {
	if l.failures == 0 {
		l.since = time.Now()
		l.log.Warn("the store cannot ask Consul: what was known stays in force", zap.Error(err))
	}
	l.failures++
}

func (l *outageLog) answered() {
	if l.failures > 0 {
		l.log.Info("the store can ask Consul again", zap.Duration("after", time.Since(l.since)), zap.Int("failures", l.failures))
		l.failures = 0
	}
}

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second

	// A blocking query returns at once as long as there is something new. The first
	// few do so undelayed; then, half a second apart.
	paceBurst    = 5
	paceInterval = 500 * time.Millisecond
)

// backoff is how long to wait after failures, one after the other.
type backoff struct{ failures int }

// next is the delay after one more failure. It doubles up to maxDelay; the latter
// half of it is chance, so that many who failed together do not return together.
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
