package backend

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// startChecks begins e's active health checks, where there are to be any and the
// cluster runs.
func (c *Cluster) startChecks(e *Endpoint) {
	if c.running == nil || c.cfg.Health.Interval == 0 || e.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(c.running)
	e.stop = stop
	c.tasks.Go(func() { c.check(ctx, e) })
}

// check asks e how it is, again and again, until ctx ends.
func (c *Cluster) check(ctx context.Context, e *Endpoint) {
	interval := c.cfg.Health.Interval
	// The first one after a part of the interval: a thousand endpoints should not
	// all be asked at once.
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(interval))))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		c.checkOnce(ctx, e)
		timer.Reset(health.Jitter(interval, rand.Float64()))
	}
}

// checkOnce makes one check, in the endpoint's dialect. Where that is not known,
// or has changed, the answer tells it, and the endpoint is asked again.
func (c *Cluster) checkOnce(ctx context.Context, e *Endpoint) {
	c.lock()
	dialect := e.dialect()
	c.unlock()
	if dialect == 0 {
		dialect = wire.V502
	}
	began := time.Now()
	r := c.probe(ctx, e, dialect)
	if r.Finding == health.OtherDialect {
		c.lock()
		e.learn(r.Dialect)
		declared := e.declared
		c.unlock()
		if declared == 0 {
			r = c.probe(ctx, e, r.Dialect)
		}
	}
	if ctx.Err() != nil {
		return
	}
	c.checked(e, r, began)
}

// probe dials e and asks it.
func (c *Cluster) probe(ctx context.Context, e *Endpoint, d wire.Dialect) health.Result {
	cfg := &c.cfg.Health
	by := time.Now().Add(cfg.Timeout)
	dialCtx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	conn, err := c.cfg.Dialer.DialContext(dialCtx, e.Address.Network, e.Address.Addr)
	if err != nil {
		if dialCtx.Err() != nil {
			return health.Result{Finding: health.Unanswered, Err: err}
		}
		return health.Result{Finding: health.Closed, Err: err}
	}
	defer conn.Close()
	conn.SetDeadline(by)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return health.Probe{Dialect: d, Serializer: cfg.Serializer, Object: cfg.Object, Handshake: cfg.Handshake}.Run(conn)
}

// checked takes the result of a check into account.
func (c *Cluster) checked(e *Endpoint, r health.Result, began time.Time) {
	c.lock()
	defer c.unlock()
	if e.gone {
		return
	}
	e.metrics.Checked(r.Finding.String(), time.Since(began).Seconds())
	if r.Dialect != 0 && r.Finding != health.OtherDialect {
		e.learn(r.Dialect)
	}
	verdict := r.Finding.Verdict(e.working(began), c.cfg.Health.Object != "")
	if !e.judge.Observe(verdict) {
		return
	}
	if e.judge.Up() {
		e.upSince = time.Now()
		c.note(func() { c.log.Info("endpoint is up again", zap.Stringer("endpoint", e.Address)) })
		c.weigh()
		c.serveAll()
		return
	}
	e.lives++ // it may come back as another version
	e.downFor = r.Finding.String() + ": " + r.Err.Error()
	c.note(func() {
		c.log.Warn("endpoint is down", zap.Stringer("endpoint", e.Address),
			zap.Stringer("finding", r.Finding), zap.Error(r.Err))
	})
	for len(e.idle) > 0 {
		c.discard(e.idle[0])
	}
	for l := range e.leases {
		if l.onDown != nil {
			c.note(l.onDown)
		}
	}
	c.weigh()
}
