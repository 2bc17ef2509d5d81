package relay_test

import (
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// TestDeliverNowhereElse: an idempotent call whose one listener breaks off is not sent again
// to others, and its client is told what happened.
func TestDeliverNowhereElse(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, to := range []router.To{router.ToAll, router.ToFirst} {
			breaks := func() *pyrotest.Daemon { return &pyrotest.Daemon{OnInvoke: pyrotest.Hangup} }
			r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{breaks(), breaks()}, Cluster: func(c *backend.Config) {
				c.Retries, c.RetryBudget = 3, 100
			}, Calls: blobRoute(func(r *router.Route) {
				r.Deliver.To, r.Idempotent = to, true
			})})
			c := r.connect(pyrotest.Client{})
			m, err := c.Do(blobCall(c, "topic", []byte("x")))
			if err != nil || !strings.Contains(string(m.Data), router.ErrLost.Error()) {
				t.Errorf("to %d: told %q, %v", to, m.Data, err)
			}
			if n := r.value("dispatched_legs_total", "backend_closed"); n != 2 {
				t.Errorf("to %d: %v legs ended so", to, n)
			}
		}
	})
}
