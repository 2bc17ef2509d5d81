package integration

import "testing"

// TestSessionInstances has many clients at once of a class with instance_mode="session", in
// mode session: each counts with an instance of its own.
func TestSessionInstances(t *testing.T) {
	const clients, calls = 32, 20
	for _, c := range []struct{ lib, servertype string }{
		{"pyro4", "thread"}, {"pyro4", "multiplex"}, {"pyro5", "thread"}, {"pyro5", "multiplex"},
	} {
		t.Run(c.lib+"/"+c.servertype, func(t *testing.T) {
			t.Parallel()
			d := startFlags(t, startDaemon(t, c.lib, "--servertype", c.servertype), "--mode", "session")
			r := startRemote(t, c.lib)
			var proxies []*proxy
			for range clients {
				proxies = append(proxies, r.open(t, d.location, "lab.session"))
			}
			// All proxies are at work at the same time, each on its calls in order.
			bumps := make([][]*pending, clients)
			for range calls {
				for i, p := range proxies {
					bumps[i] = append(bumps[i], p.start(t, "bump"))
				}
			}
			owner := map[any]int{}
			for i := range proxies {
				var own any
				for n, bump := range bumps[i] {
					got := bump.value(t).([]any) // the instance and its count
					if n == 0 {
						own = got[0]
						if other, taken := owner[own]; taken {
							t.Fatalf("clients %d and %d share the instance %v", other, i, own)
						}
						owner[own] = i
					}
					if got[0] != own || got[1] != float64(n+1) {
						t.Fatalf("call %d of client %d reached instance %v, count %v; its own is %v", n+1, i, got[0], got[1], own)
					}
				}
			}
		})
	}
}
