package integration

import (
	"fmt"
	"net"
	"testing"
)

// idlePipes is how many descriptors the dispatcher may keep for the next large body to pass
// through: two for each of a bounded number of pipes.
const idlePipes = 32

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

	// Once before counting, for what is made at its first use and kept.
	scenarios := func(t *testing.T) {
		four := startScenarios(t, "pyro4", d.location, "--suite", "main,slow")
		five := startScenarios(t, "pyro5", d.location, "--suite", "main,slow")
		outcomes(t, four)
		outcomes(t, five)
	}
	scenarios(t)
	idle := func() bool {
		m := d.metrics(t)
		for _, gauge := range []string{"sessions", "calls_in_flight", "endpoint_connections", "buffer_memory_bytes", "spill_bytes", "spill_files"} {
			if sum(m, "pyro_dispatch_"+gauge) != 0 {
				return false
			}
		}
		return true
	}
	eventually(t, "nothing is open of the first clients", idle)
	goroutines := sum(d.metrics(t), "go_goroutines")
	pipes, others := d.descriptors(t)

	disturbances := []struct {
		name string
		do   func(t *testing.T)
	}{
		{"scenarios", scenarios},
		{"garbage", func(t *testing.T) { answersTo(t, d.location, []byte("garbage garbage garbage")) }},
		{"silence", func(t *testing.T) { readAll(t, dial(t, d.location)) }},
		{"gone in the middle of a request", func(t *testing.T) {
			conn := handshake5(t, d.location)
			if _, err := conn.Write(append(header5(msgInvoke, json5, 0, 1, 1<<20, 0), "only a part"...)); err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		}},
		// A killed process leaves a FIN, which is all that a client sends who still wants its
		// answer: the session lasts as long as the call, in the daemon too.
		{"client killed in the middle of a call", func(t *testing.T) {
			r := startRemote(t, "pyro5")
			r.open(t, d.location, "lab.worker").start(t, "hold", "killed")
			side := awaitHeld(t, five, "killed")
			r.kill(t)
			side.call(t, "let_go", "killed")
		}},
		// A reset says that nobody waits any more: the session ends although the call does not.
		{"client resets in the middle of a call", func(t *testing.T) {
			conn := handshake5(t, d.location)
			call := `{"object": "lab.worker", "method": "hold", "params": ["reset"], "kwargs": {}}`
			if _, err := conn.Write(append(header5(msgInvoke, json5, 0, 1, uint32(len(call)), 0), call...)); err != nil {
				t.Fatal(err)
			}
			awaitHeld(t, five, "reset")
			if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		}},
		{"daemon killed in the middle of a call", func(t *testing.T) {
			r := startRemote(t, "pyro5")
			held := r.open(t, d.location, "other.worker").start(t, "hold", "leak")
			awaitHeld(t, victim, "leak")
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
		eventually(t, "nothing is open after: "+c.name, idle)
		var now float64
		eventually(t, "no goroutine is left after: "+c.name, func() bool {
			now = sum(d.metrics(t), "go_goroutines")
			return now <= goroutines
		})
		eventually(t, "no descriptor is left after: "+c.name, func() bool {
			p, o := d.descriptors(t)
			return len(o) <= len(others) && p <= pipes+idlePipes
		})
	}
}
