package integration

import (
	"fmt"
	"strings"
	"testing"
)

// TestSessionsWaitForThreads has more clients of mode session than the daemon has threads: those
// that it would refuse wait until others leave.
func TestSessionsWaitForThreads(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.lib, func(t *testing.T) {
			server := startDaemon(t, p.lib, "--threadpool-size", "4", "--name", "served")
			d := runDispatcher(t, dispatcher, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--backend", server.backend())
			first := swarm(t, &p, d.location, 4)
			type result struct {
				client int
				err    error
			}
			const more = 8
			served := make(chan result, more)
			for i := range more {
				go func() {
					conn, h, body, err := p.open(d.location)
					if err != nil || h.Type != msgConnectOK {
						served <- result{i, fmt.Errorf("CONNECT was answered with %+v %q, %w", h, body, err)}
						return
					}
					defer conn.Close()
					served <- result{i, p.whoami(conn)}
				}()
			}
			eventually(t, "all others wait", func() bool {
				return sum(d.metrics(t), "pyro_dispatch_queue_length") == more
			})
			callEach(t, &p, first) // they are none the worse for it
			for _, conn := range first {
				_ = conn.Close()
			}
			for range more {
				if r := <-served; r.err != nil {
					t.Errorf("client %d: %v", r.client, r.err)
				}
			}
		})
	}
}

// TestNoRoom has no room for a client, nor for a call: each is told why.
func TestNoRoom(t *testing.T) {
	server := startDaemon(t, "pyro5", "--name", "served")
	for _, c := range []struct{ name, settings, text string }{
		{"queue full", "queue: 0", "queue full"},
		{"queue timeout", "queue_timeout: 200ms", "no endpoint had room in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes:
  - {name: night-shift, match: {object: "lab.*"}, cluster: telescopes, mode: call}
  - {name: day-shift, cluster: cameras}
clusters:
  - {name: telescopes, static: [%[1]q], max_connections: 1, %[2]s}
  - {name: cameras, static: [%[1]q], max_connections: 1, %[2]s}
`, server.backend(), c.settings))
			told := func(who string, got answer, route, cluster string) {
				t.Helper()
				if got.Exception != "Pyro5.errors.CommunicationError" {
					t.Errorf("%s: %s: %s", who, got.Exception, got.Message)
				}
				for _, text := range []string{c.text, route, cluster} {
					if !strings.Contains(got.Message, text) {
						t.Errorf("%s: %q does not name %q", who, got.Message, text)
					}
				}
			}
			// Proxies of one process have a connection each.
			r := startRemote(t, "pyro5")
			one, two := r.open(t, d.location, "lab.worker"), r.open(t, d.location, "lab.worker")
			one.call(t, "whoami")
			two.call(t, "whoami")
			held := one.start(t, "hold", c.name)
			side := awaitHeld(t, server, c.name)
			told("a call", two.start(t, "whoami").wait(t), "night-shift", "telescopes")
			side.call(t, "let_go", c.name)
			held.value(t)
			if got := two.call(t, "whoami"); got != "served" { // when there is room again
				t.Errorf("whoami gave %v", got)
			}

			session := r.open(t, d.location, "other.worker")
			session.call(t, "whoami")
			other := startRemote(t, "pyro5").open(t, d.location, "other.worker")
			told("a client", other.start(t, "whoami").wait(t), "day-shift", "cameras")
		})
	}
}

// TestIdempotent kills a daemon that executes a call: where the route is idempotent another
// daemon answers it, and elsewhere the client learns that it failed.
func TestIdempotent(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		t.Run(fmt.Sprint(idempotent), func(t *testing.T) {
			daemons := []*daemon{
				startDaemon(t, "pyro5", "--name", "one"), startDaemon(t, "pyro5", "--name", "two"),
			}
			d := startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: all, cluster: all, mode: call, idempotent: %v}]
clusters: [{name: all, static: [%q, %q]}]
`, idempotent, daemons[0].backend(), daemons[1].backend()))
			r := startRemote(t, "pyro5")
			held := r.open(t, d.location, "lab.worker").start(t, "hold", "call")
			victim, survivor := daemons[0], daemons[1]
			if startRemote(t, "pyro5").open(t, survivor.location, "lab.worker").call(t, "holding", "call", 1.0) == true {
				victim, survivor = survivor, victim
			} else {
				awaitHeld(t, victim, "call")
			}
			victim.kill(t)
			if !idempotent {
				if got := held.wait(t); got.Exception != "Pyro5.errors.ConnectionClosedError" {
					t.Errorf("the call gave %+v", got)
				}
				return
			}
			awaitHeld(t, survivor, "call").call(t, "let_go", "call")
			if got := held.value(t); got != "let go" {
				t.Errorf("the call gave %v", got)
			}
			if n := sum(d.metrics(t), "pyro_dispatch_resends_total"); n != 1 {
				t.Errorf("%v calls sent again", n)
			}
		})
	}
}
