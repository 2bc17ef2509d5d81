package backend

import (
	"context"
	"errors"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Has asks the daemon at a member's address whether it has an object, with a CONNECT for
// it on a connection of its own, and takes as long as a health check may. handshake is
// what the daemon's validateHandshake is given. known is false where that was not found
// out: there is no such member, or it refused for another reason, or was too busy, or did
// not answer. It says nothing about the endpoint's health, and changes nothing there.
func (c *Cluster) Has(ctx context.Context, a Address, object, handshake string) (has, known bool) {
	c.lock()
	e := c.byAddress[a]
	d := wire.V502
	if e != nil && e.dialect() != 0 {
		d = e.dialect()
	}
	c.unlock()
	if e == nil {
		return false, false
	}
	p := health.Probe{Dialect: d, Serializer: c.cfg.Health.Serializer, Object: object, Handshake: handshake, Key: c.cfg.Key}
	r := c.question(ctx, e, p)
	if r.Finding == health.OtherDialect {
		p.Dialect = r.Dialect
		r = c.question(ctx, e, p)
	}
	switch {
	case r.Finding == health.Alive:
		return true, true
	case errors.Is(r.Err, health.ErrUnknownObject):
		return false, true
	}
	return false, false
}
