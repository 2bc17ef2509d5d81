package backend

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// TestRenew: a client may begin another search while one that it has given up is still
// under way. It is for the race detector.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxConnections = 1
		r := newRigWith(cfg)
		r.daemon(t, addrA, &pyrotest.Daemon{})
		c, other := r.connected(t, "x"), r.connected(t, "x")
		held := other.must(t)
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			given := c.a
			go func() {
				l, err := r.Acquire(ctx, given)
				if err == nil {
					l.Done(Cancelled)
				}
				ended <- err
			}()
			synctest.Wait()
			cancel()
			c.a = r.Renew(c.a)
			c.a.Nested = !c.a.Nested
			c.a.Again()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		held.Done(Served)
		c.must(t).Done(Served)
		c.leave()
		other.leave()
		r.wantQuiet(t)
	})
}

// TestRenewed: where a client has to stay it stays.
func TestRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA, addrB))
		signal := make(chan struct{})
		r.daemon(t, addrA, onewayDaemon(signal))
		r.daemon(t, addrB, onewayDaemon(signal))
		c := r.connected(t, "x")
		l := c.must(t)
		rested := l.Conn
		c.oneway(t, l)
		c.a = r.Renew(c.a)
		if l = c.must(t); l.Conn != rested {
			t.Error("its oneway call is still running, and the next one goes elsewhere")
		}
		signal <- struct{}{}
		c.a.Stay(l)
		c.on(l)
		for range 4 {
			c.a = r.Renew(c.a)
			if at, err := c.call(t.Context()); err != nil || at != rested.Endpoint.Address.Addr {
				t.Errorf("its stream is at %v, and its call at %v, %v", rested.Endpoint.Address, at, err)
			}
		}
		c.leave()
		r.wantQuiet(t)
	})
}
