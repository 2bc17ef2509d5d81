package integration

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// TestConsulShare adds an endpoint with a weight, again and again, and measures when it gets its
// first call, and then which part of all.
func TestConsulShare(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	daemons := startNamed(t, "pyro5", "one", "two", "heavy")
	c.register(t, instanceOf(t, "cam", daemons["one"]), instanceOf(t, "cam", daemons["two"]))
	heavy := instanceOf(t, "cam", daemons["heavy"])
	d := startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes:
  - {name: calls, match: {object: lab.worker}, cluster: lots, mode: call}
  - {name: sessions, match: {object: other.worker}, cluster: turns}
clusters:
  - {name: lots, slow_start: 0s, consul: cam, balance: least_request}
  - {name: turns, slow_start: 0s, consul: cam, balance: round_robin}
consul: {address: %q}
`, c.address))
	// One client where load counts: what is chosen then depends on weights alone, not on how many
	// calls are under way where.
	l := startLoad(t, "pyro5", d.location, "call:lab.worker:1:0", "session:other.worker:3:1")

	const rounds = 4
	delays := map[string][]time.Duration{}
	for range rounds {
		l.reaches(t, "one", "two")
		l.anew(t)
		heavy.Weights = &api.AgentWeights{Passing: 3, Warning: 1}
		began := time.Now()
		c.register(t, heavy)
		eventually(t, "each group has got to the endpoint", func() bool {
			for _, m := range l.report(t) {
				if m.First["heavy"] == 0 {
					return false
				}
			}
			return true
		})
		for name, m := range l.report(t) {
			delays[name] = append(delays[name], sinceUnix(began, m.First["heavy"]))
		}
		l.hasShare(t, "heavy", 3.0/5, 100)
		c.deregister(t, heavy)
	}
	for name, ds := range delays {
		slices.Sort(ds)
		t.Logf("group %s: from the beginning of the registration to the first call: %v", name, ds)
		// Of several, since the machine may be busy with other things at any moment.
		if ds[0] > time.Second {
			t.Errorf("group %s: the endpoint never got a call within a second: %v", name, ds)
		}
	}

	c.register(t, heavy)
	l.reaches(t, "one", "two", "heavy")
	l.hasShare(t, "heavy", 3.0/5, 1000)
	heavy.Weights.Passing = 1
	c.register(t, heavy)
	eventually(t, "the weight has changed", func() bool {
		return d.weight(t, "lots", daemons["heavy"].backend()) == 1 && d.weight(t, "turns", daemons["heavy"].backend()) == 1
	})
	l.hasShare(t, "heavy", 1.0/3, 1000)
}

// hasShare lets each group make so many calls, and compares the part of them that one
// daemon got with what chance allows: five standard deviations, beyond which one in a million
// such tests would be.
func (l *load) hasShare(t *testing.T, daemon string, share float64, calls int) {
	t.Helper()
	l.anew(t)
	var report map[string]made
	eventually(t, "there are calls enough", func() bool {
		report = l.report(t)
		for _, m := range report {
			if m.total() < calls {
				return false
			}
		}
		return true
	})
	for name, m := range report {
		n := m.total()
		tolerance := 5 * math.Sqrt(share*(1-share)/float64(n))
		got := float64(m.Daemons[daemon]) / float64(n)
		if math.Abs(got-share) > tolerance {
			t.Errorf("group %s: %s got %.3f of %d calls, want %.3f, give or take %.3f", name, daemon, got, n, share, tolerance)
		} else {
			t.Logf("group %s: %s got %.3f of %d calls (%.3f, give or take %.3f)", name, daemon, got, n, share, tolerance)
		}
	}
}

func (m made) total() int {
	n := 0
	for _, calls := range m.Daemons {
		n += calls
	}
	return n
}
