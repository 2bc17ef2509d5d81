package main

import (
	"context"
	"maps"
	"slices"
	"time"
	"weak"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// What becomes of services that have gone.

// vanished notes that a service is gone.
func (c *catalog) vanished(d *discovered) {
	if d.route == nil {
		return
	}
	d.retreat()
	d.gone = time.Now()
	c.fleet.log.Info("service gone: it gets no new clients", zap.String("service", d.name))
}

// retreat gives up the routes that there are, except for clients which have them.
func (d *discovered) retreat() {
	for _, r := range []*router.Route{d.route, d.own} {
		if r != nil {
			d.before = append(d.before, weak.Make(r))
		}
	}
	d.route, d.own = nil, nil
	d.held()
}

// held reports whether clients may still have one of the routes before. In mode
// call nothing else tells of a client that makes no call.
func (d *discovered) held() bool {
	d.before = slices.DeleteFunc(d.before, func(r weak.Pointer[router.Route]) bool { return r.Value() == nil })
	return len(d.before) > 0
}

// tidy forgets the clusters of services that have been gone for long, until ctx
// ends.
func (c *catalog) tidy(ctx context.Context) {
	ticker := time.NewTicker(lookAfter)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			c.forget(now)
		}
	}
}

// forget ends clusters that nobody uses. A client that is connected has the
// cluster that it was let in to and no other: it would find nobody there when the
// service comes back. Whatever is connected still counts in the cluster's
// metrics, which end with it, and not in those of one made later.
func (c *catalog) forget(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, d := range maps.Clone(c.known) {
		if d.route != nil || now.Sub(d.gone) < forgetAfter || d.held() || len(d.cluster.Status().Endpoints) > 0 {
			continue
		}
		d.stop()
		<-d.ended
		c.fleet.remove(d.cluster)
		delete(c.known, name)
		c.fleet.set.Forget(name)
		c.fleet.log.Info("service forgotten", zap.String("service", name))
	}
}
