package integration

import (
	"fmt"
	"testing"
)

// TestNothingLeaks does all that the scenarios do, and more brutally: afterwards the dispatcher
// has as many sessions, descriptors and goroutines as before.
func TestNothingLeaks(t *testing.T) {
	four, five := startDaemon(t, "pyro4"), startDaemon(t, "pyro5")
	victim := startDaemon(t, "pyro5", "--name", "victim")
	d := startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{name: main, address: "127.0.0.1:0", handshake_timeout: 300ms}]
routes:
  - {name: victims, match: {object: "other.*", dialect: pyro5}, cluster: victims}
  - {name: all, cluster: both}
clusters:
  - {name: both, static: [%q, %q]}
  - {name: victims, static: [%q]}
`, four.backend(), five.backend(), victim.backend()))

	// One client of each kind first, for what is made once.
	for _, lib := range []string{"pyro4", "pyro5"} {
		runScenarios(t, lib, d.location, "metadata")
	}
	idle := func() bool { return sum(d.metrics(t), "pyro_dispatch_sessions") == 0 }
	eventually(t, "no session is left of the first clients", idle)
	goroutines, descriptors := sum(d.metrics(t), "go_goroutines"), d.descriptors(t)

	disturbances := []struct {
		name string
		do   func(t *testing.T)
	}{
		{"pyro4 scenarios", func(t *testing.T) { runScenarios(t, "pyro4", d.location, "--suite", "main,slow") }},
		{"pyro5 scenarios", func(t *testing.T) { runScenarios(t, "pyro5", d.location, "--suite", "main,slow") }},
		{"garbage", func(t *testing.T) { answersTo(t, d.location, []byte("garbage garbage garbage")) }},
		{"silence", func(t *testing.T) { readAll(t, dial(t, d.location)) }},
		{"gone in the middle of a request", func(t *testing.T) {
			conn := handshake5(t, d.location)
			if _, err := conn.Write(append(header5(msgInvoke, json5, 0, 1, 1<<20, 0), "only a part"...)); err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		}},
		{"client killed in the middle of a call", func(t *testing.T) {
			r := startRemote(t, "pyro5")
			r.open(t, d.location, "lab.worker").start(t, "hold", "leak")
			side := startRemote(t, "pyro5").open(t, five.location, "lab.worker")
			if side.call(t, "holding", "leak", 30) != true {
				t.Fatal("the call never reached the daemon")
			}
			r.kill(t)
		}},
		{"daemon killed in the middle of a call", func(t *testing.T) {
			r := startRemote(t, "pyro5")
			held := r.open(t, d.location, "other.worker").start(t, "hold", "leak")
			if r.open(t, victim.location, "lab.worker").call(t, "holding", "leak", 30) != true {
				t.Fatal("the call never reached the daemon")
			}
			victim.kill(t)
			if got := held.wait(t); got.Exception == "" {
				t.Errorf("the call gave %v", got.Value)
			}
		}},
		{"nobody to connect to", func(t *testing.T) {
			r := startRemote(t, "pyro5")
			for range 5 {
				r.open(t, d.location, "other.worker").start(t, "whoami").wait(t)
			}
			r.kill(t)
		}},
	}
	for _, c := range disturbances {
		ok := t.Run(c.name, func(t *testing.T) { c.do(t) }) // its processes end with it
		if !ok {
			continue
		}
		eventually(t, "no session is left after: "+c.name, idle)
		var now float64
		eventually(t, "no goroutine is left after: "+c.name, func() bool {
			now = sum(d.metrics(t), "go_goroutines")
			return now <= goroutines
		})
		eventually(t, "no descriptor is left after: "+c.name, func() bool { return d.descriptors(t) <= descriptors })
	}
}
