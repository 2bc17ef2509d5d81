package integration

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestMixedCalls has clients that make calls of every kind in a random order, most of which leave
// the shared connections in another state than they found them in: oneway calls, streams,
// exceptions behind which the daemon closes, calls that nobody waits for, nested calls. Every
// client gets the answers to its own calls, and what had to run has run once.
func TestMixedCalls(t *testing.T) {
	for _, c := range []struct{ lib, mode, servertype string }{
		{"pyro5", "call", "thread"}, {"pyro4", "call", "thread"},
		{"pyro5", "call", "multiplex"}, {"pyro4", "call", "multiplex"},
		{"pyro5", "session", "thread"}, {"pyro4", "session", "thread"},
	} {
		t.Run(c.lib+"/"+c.mode+"/"+c.servertype, func(t *testing.T) {
			t.Parallel()
			var daemons []*daemon
			var static []string
			for range 3 {
				// Threads for the connections that may be open, and for those being closed.
				d := startDaemon(t, c.lib, "--servertype", c.servertype, "--threadpool-size", "40")
				daemons = append(daemons, d)
				static = append(static, d.backend())
			}
			d := startRouted(t, static, "mode: "+c.mode, "max_connections: 6, idle_timeout: 1s, ghost_timeout: 2s")
			flags := []string{"py/call_mix.py", "--lib", c.lib, "--location", d.location, "--run", "mix",
				"--clients", "16", "--rounds", "60"}
			if c.servertype == "multiplex" {
				flags = append(flags, "--single")
			}
			p := startProcess(t, c.lib+" mixed clients", exec.Command(python, flags...), nil)
			var report struct {
				Made   map[string]int
				Failed []string
				Once   []string
			}
			line := p.line(t, p.stdout, "its report", func(line string) bool { return strings.HasPrefix(line, "{") })
			if err := json.Unmarshal([]byte(line), &report); err != nil {
				t.Fatal(err)
			}
			for _, failure := range report.Failed {
				t.Errorf("failed: %s", failure)
			}
			for kind, n := range report.Made {
				if n == 0 {
					t.Errorf("no client made a call of kind %s", kind)
				}
			}
			t.Logf("%d calls had to run; made: %v", len(report.Once), report.Made)

			counts := map[string]int{}
			var sides []*proxy
			for _, d := range daemons {
				sides = append(sides, startRemote(t, c.lib).open(t, d.location, "lab.worker"))
			}
			eventually(t, "every call is in a ledger", func() bool {
				clear(counts)
				for _, side := range sides {
					for id, n := range side.call(t, "recorded", "mix/").(map[string]any) {
						counts[id] += int(n.(float64))
					}
				}
				return len(counts) >= len(report.Once)
			})
			for _, id := range report.Once {
				if counts[id] == 0 {
					t.Errorf("call %s was lost", id)
				}
			}
			for id, n := range counts {
				if n != 1 {
					t.Errorf("call %s ran %d times", id, n)
				}
			}
			nothingOpen(t, d)
		})
	}
}

// nothingOpen waits until the dispatcher has nothing open, or under way, any more.
func nothingOpen(t *testing.T, d *running) {
	t.Helper()
	var open []string
	defer func() {
		if t.Failed() {
			t.Logf("last, there was open: %v", open)
		}
	}()
	eventually(t, "nothing is open", func() bool {
		open = nil
		m := d.metrics(t)
		for _, gauge := range []string{"sessions", "calls_in_flight", "endpoint_connections", "endpoint_leases",
			"endpoint_ghosts", "endpoint_pinned", "queue_length", "buffer_memory_bytes"} {
			if v := sum(m, "pyro_dispatch_"+gauge); v != 0 {
				open = append(open, fmt.Sprintf("%s %s", gauge, strconv.FormatFloat(v, 'f', -1, 64)))
			}
		}
		return open == nil
	})
}
