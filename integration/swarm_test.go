package integration

import (
	"fmt"
	"testing"
)

// TestManyClients has 200 clients connected at once, each making calls with ids of its own,
// a quarter of them oneway: the daemon's ledger must have every id exactly once.
func TestManyClients(t *testing.T) {
	const processes, proxiesEach, callsEach = 4, 50, 20
	for _, c := range []struct{ lib, servertype string }{
		{"pyro4", "thread"}, {"pyro5", "thread"}, {"pyro5", "multiplex"},
	} {
		t.Run(c.lib+"/"+c.servertype, func(t *testing.T) {
			server := startDaemon(t, c.lib, "--servertype", c.servertype, "--threadpool-size", "250")
			d := startDispatcher(t, server.backend())

			var proxies []*proxy
			for range processes {
				r := startRemote(t, c.lib)
				for range proxiesEach {
					proxies = append(proxies, r.open(t, d.location, "lab.worker"))
				}
			}
			all := func(op string, fields func(i int) map[string]any) []any {
				var calls []*pending
				for i, p := range proxies {
					calls = append(calls, p.do(t, op, fields(i)))
				}
				var values []any
				for _, call := range calls {
					values = append(values, call.value(t))
				}
				return values
			}
			all("bind", func(int) map[string]any { return nil })
			once := all("record", func(i int) map[string]any {
				return map[string]any{"prefix": fmt.Sprintf("swarm/%d/", i), "count": callsEach}
			})
			for i, v := range once {
				if v != float64(callsEach*3/4) {
					t.Errorf("client %d: %v answered calls ran once, want %d", i, v, callsEach*3/4)
				}
			}

			ledger := startRemote(t, c.lib).open(t, server.location, "lab.worker")
			var counts map[string]any
			eventually(t, "every call is in the ledger", func() bool {
				counts = ledger.call(t, "recorded", "swarm/").(map[string]any)
				return len(counts) >= processes*proxiesEach*callsEach
			})
			for id, n := range counts {
				if n != float64(1) {
					t.Errorf("call %s ran %v times", id, n)
				}
			}
			if got, want := len(counts), processes*proxiesEach*callsEach; got != want {
				t.Errorf("%d different calls ran, want %d", got, want)
			}
		})
	}
}
