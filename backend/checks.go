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
	cfg := &c.cfg.Health
	if c.running == nil || e.stop != nil || cfg.Interval == 0 && !cfg.AskServer {
		return
	}
	ctx, stop := context.WithCancel(c.running)
	e.stop = stop
	if cfg.Interval == 0 {
		c.tasks.Go(func() { c.every(ctx, e, askEvery, c.inquire) })
		return
	}
	c.tasks.Go(func() { c.every(ctx, e, cfg.Interval, c.checkOnce) })
}

// firstWithin is in which time all endpoints are asked first, unless they are many:
// each of them gets firstEach.
const (
	firstWithin = 100 * time.Millisecond
	firstEach   = 10 * time.Millisecond
)

// soon is when to ask first: a thousand endpoints should not all be asked at once.
func (c *Cluster) soon(most time.Duration) time.Duration {
	c.lock()
	within := max(firstWithin, time.Duration(len(c.members))*firstEach)
	c.unlock()
	return time.Duration(rand.Int64N(int64(min(within, most))))
}

// askEvery is how often a daemon is asked what kind of server it is that has not said
// so, where there are no health checks.
const askEvery = 10 * time.Second

// inquire asks e what kind of server it is, if it has not said so.
func (c *Cluster) inquire(ctx context.Context, e *Endpoint) {
	asks, dialect, life := c.toAsk(e)
	if !asks {
		return
	}
	r := c.probe(ctx, e, dialect, true)
	if r.Finding == health.OtherDialect {
		r = c.probe(ctx, e, r.Dialect, true)
	}
	c.lock()
	e.said(r, life)
	c.unlock()
}

// wonder has e, which has just answered somebody, asked at once what kind of server it
// is, if it has not said so. That is done once in a life: a daemon that never says it
// would be checked with each client that comes.
func (c *Cluster) wonder(e *Endpoint) {
	if c.cfg.Health.AskServer && !e.asked && !e.wondered {
		e.wondered = true
		select {
		case e.kick <- struct{}{}:
		default:
		}
	}
}

// toAsk reports whether e is to be asked what kind of server it is, in which dialect
// it is asked anything, and in which of its lives.
func (c *Cluster) toAsk(e *Endpoint) (asks bool, d wire.Dialect, life int) {
	c.lock()
	defer c.unlock()
	if d = e.dialect(); d == 0 {
		d = wire.V502
	}
	return c.cfg.Health.AskServer && !e.asked, d, e.lives
}

// said notes what kind of server e said it is, and in which dialect. Where another life
// has begun since it was asked, it was another daemon that said so.
func (e *Endpoint) said(r health.Result, life int) {
	if r.Dialect != 0 {
		e.learn(r.Dialect)
	}
	if r.Answered && life == e.lives {
		e.asked = true
		e.server.Store(uint32(r.Server))
	}
}

// every does something about e soon, and then again and again, until ctx ends.
func (c *Cluster) every(ctx context.Context, e *Endpoint, interval time.Duration, do func(context.Context, *Endpoint)) {
	timer := time.NewTimer(c.soon(interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.kick:
		}
		do(ctx, e)
		timer.Reset(health.Jitter(interval, rand.Float64()))
	}
}

// checkOnce makes one check, in the endpoint's dialect. Where that is not known,
// or has changed, the answer tells it, and the endpoint is asked again.
func (c *Cluster) checkOnce(ctx context.Context, e *Endpoint) {
	asks, dialect, life := c.toAsk(e)
	began := time.Now()
	r := c.probe(ctx, e, dialect, asks)
	if r.Finding == health.OtherDialect {
		c.lock()
		e.learn(r.Dialect)
		declared := e.declared
		c.unlock()
		if declared == 0 {
			r = c.probe(ctx, e, r.Dialect, asks)
		}
	}
	if ctx.Err() != nil {
		return
	}
	c.checked(e, r, life, began)
}

// probe dials e and asks it whether it is well.
func (c *Cluster) probe(ctx context.Context, e *Endpoint, d wire.Dialect, asks bool) health.Result {
	cfg := &c.cfg.Health
	return c.question(ctx, e, health.Probe{
		Dialect: d, Serializer: cfg.Serializer, Object: cfg.Object, Handshake: cfg.Handshake, AskServer: asks, Key: c.cfg.Key,
	})
}

// question dials e and asks it, within the time of a health check.
func (c *Cluster) question(ctx context.Context, e *Endpoint, p health.Probe) health.Result {
	by := time.Now().Add(c.cfg.Health.Timeout)
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
	return p.Run(conn)
}

// checked takes the result of a check into account, which was made in one of e's lives.
func (c *Cluster) checked(e *Endpoint, r health.Result, life int, began time.Time) {
	c.lock()
	defer c.unlock()
	if e.gone {
		return
	}
	e.metrics.Checked(r.Finding.String(), time.Since(began).Seconds())
	if r.Finding != health.OtherDialect {
		e.said(r, life)
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
	e.another() // it may come back as another version
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
