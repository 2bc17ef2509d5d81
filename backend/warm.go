package backend

import (
	"context"
	"time"
)

// maxWarming bounds the connections that are being opened for nobody.
const maxWarming = 32

// maxWarmLooks bounds how many pairs of endpoint and handshake are looked at in
// one go.
const maxWarmLooks = 10_000

// warmth is what a connection is opened for that nobody has asked for.
type warmth struct {
	endpoint  *Endpoint
	handshake *Handshake
}

// replenish opens connections where there are fewer than min_idle and clients
// have been before: a handshake to open them with is known from those.
func (c *Cluster) replenish(ctx context.Context) {
	if c.cfg.MinIdle == 0 {
		return
	}
	c.lock()
	defer c.unlock()
	now := time.Now()
	looks := maxWarmLooks
	for range c.members {
		if looks <= 0 || len(c.warming) >= maxWarming {
			return
		}
		c.warmFrom = (c.warmFrom + 1) % len(c.members)
		e := c.members[c.warmFrom]
		if e.drained || !e.well(now) {
			continue
		}
		idle := make(map[*Handshake]int)
		for _, conn := range e.idle {
			idle[conn.handshake]++
		}
		for _, h := range c.handshakes {
			looks--
			if h.users > 0 && !h.Signed && idle[h] < c.cfg.MinIdle && e.match(h.Dialect, now) == fits {
				c.startWarming(ctx, warmth{e, h}, now)
			}
		}
	}
}

// startWarming opens one connection, where there is room for it without closing
// another.
func (c *Cluster) startWarming(ctx context.Context, w warmth, now time.Time) {
	e := w.endpoint
	most := c.most(e)
	if _, under := c.warming[w]; under || len(c.warming) >= maxWarming || now.Before(e.full.settle) || e.growing ||
		most != unlimited && (e.conns >= most || e.busy() >= c.slots(most, false)) {
		return
	}
	v, ok := e.breaker.allow(false)
	if !ok {
		return
	}
	g := grant{endpoint: e, verdict: v}
	e.active++
	c.opens(e, &g, now)
	w.handshake.users++
	c.warming[w] = struct{}{}
	c.tasks.Go(func() { c.warm(ctx, w, g) })
}

// warm opens the connection and puts it into the pool.
func (c *Cluster) warm(ctx context.Context, w warmth, g grant) {
	a := &Attempt{Dialect: w.handshake.Dialect, Handshake: w.handshake}
	if l, _ := c.open(ctx, a, g); l != nil { // what went wrong is counted
		l.Done(Served)
	}
	c.lock()
	delete(c.warming, w)
	c.unlock()
	c.Leave(w.handshake)
}
