package store

import (
	"context"
	"maps"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/pace"
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
		delays pace.Backoff
		limit  = pace.Bucket{Interval: pace.QueryInterval, Burst: pace.QueryBurst}
		log    = outageLog{log: c.log.With(zap.String("prefix", c.prefix))}
	)
	for pace.Sleep(ctx, limit.Next(time.Now())) {
		all, now, err := c.list(ctx, api.QueryOptions{WaitIndex: index, WaitTime: c.wait})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			log.failed(err)
			index = 0
			if !pace.Sleep(ctx, delays.Next()) {
				return
			}
			continue
		}
		log.answered()
		delays.Reset()
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
