package integration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// connections opens n connections, one after the other, keeps them open, and counts which
// daemon each reached.
func connections(t *testing.T, r *remote, location string, n int) map[string]int {
	t.Helper()
	reached := map[string]int{}
	for range n {
		reached[fmt.Sprint(r.open(t, location, "lab.worker").call(t, "whoami"))]++
	}
	return reached
}

func TestRoundRobin(t *testing.T) {
	var backends []string
	for _, name := range []string{"one", "two", "three"} {
		backends = append(backends, strconv.Quote(startDaemon(t, "pyro5", "--name", name).backend()))
	}
	d := startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: all, cluster: all}]
clusters: [{name: all, balance: round_robin, static: [%s]}]
`, strings.Join(backends, ", ")))
	got := connections(t, startRemote(t, "pyro5"), d.location, 12)
	if diff := cmp.Diff(map[string]int{"one": 4, "two": 4, "three": 4}, got); diff != "" {
		t.Errorf("connections by daemon (-want +got):\n%s", diff)
	}
}

func TestEndpointDown(t *testing.T) {
	one, two := startDaemon(t, "pyro5", "--name", "one"), startDaemon(t, "pyro5", "--name", "two")
	d := startDispatcher(t, one.backend(), closedAddress(t), two.backend())
	got := connections(t, startRemote(t, "pyro5"), d.location, 12)
	if got["one"]+got["two"] != 12 || got["one"] == 0 || got["two"] == 0 {
		t.Errorf("connections by daemon: %v, want 12 on both together", got)
	}
}

// TestDaemonKilledMidCall kills a daemon that executes a call: its client sees what it would
// see without a dispatcher, the other daemon's client nothing at all.
func TestDaemonKilledMidCall(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			victim, survivor := startDaemon(t, lib, "--name", "victim"), startDaemon(t, lib, "--name", "survivor")
			d := startDispatcher(t, victim.backend(), survivor.backend())
			r := startRemote(t, lib)

			proxies := map[string]*proxy{}
			for range 2 {
				p := r.open(t, d.location, "lab.worker")
				proxies[p.call(t, "whoami").(string)] = p
			}
			direct := r.open(t, victim.location, "lab.worker")
			through := proxies["victim"].start(t, "hold", "through")
			alone := direct.start(t, "hold", "alone")
			elsewhere := proxies["survivor"].start(t, "hold", "elsewhere")
			awaitHeld(t, victim, "through")
			awaitHeld(t, victim, "alone")
			side := awaitHeld(t, survivor, "elsewhere")
			victim.kill(t)

			want, got := alone.wait(t), through.wait(t)
			if got.Exception != want.Exception || !strings.HasSuffix(got.Exception, ".ConnectionClosedError") {
				t.Errorf("through the dispatcher: %s: %s; directly: %s: %s", got.Exception, got.Message, want.Exception, want.Message)
			}
			side.call(t, "let_go", "elsewhere")
			if got := elsewhere.value(t); got != "let go" {
				t.Errorf("the other daemon's call gave %v", got)
			}
			if got := connections(t, r, d.location, 4); got["survivor"] != 4 {
				t.Errorf("new connections by daemon: %v, want all on the survivor", got)
			}
			// The proxy that lost its connection makes a new one, as it would to a daemon.
			if got := proxies["victim"].call(t, "whoami"); got != "survivor" {
				t.Errorf("the proxy of the killed daemon reconnected to %v", got)
			}
		})
	}
}

// TestBothDialectsOnePort has one daemon of each library behind one listener.
func TestBothDialectsOnePort(t *testing.T) {
	four, five := startDaemon(t, "pyro4", "--name", "pyro4"), startDaemon(t, "pyro5", "--name", "pyro5")
	for name, static := range map[string]string{
		"learnt":   fmt.Sprintf("[%q, %q]", four.backend(), five.backend()),
		"declared": fmt.Sprintf("[{address: %q, dialect: pyro4}, {address: %q, dialect: pyro5}]", four.backend(), five.backend()),
	} {
		t.Run(name, func(t *testing.T) {
			d := startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: all, cluster: both}]
clusters: [{name: both, static: %s}]
`, static))
			clients := map[string]*remote{"pyro4": startRemote(t, "pyro4"), "pyro5": startRemote(t, "pyro5")}
			for range 5 {
				for lib, r := range clients {
					if got := connections(t, r, d.location, 2); got[lib] != 2 {
						t.Fatalf("a client of %s reached %v", lib, got)
					}
				}
			}
		})
	}
}

// TestRoutes sends clients by object and dialect, and tells the others that no route matches.
func TestRoutes(t *testing.T) {
	lab, other := startDaemon(t, "pyro5", "--name", "lab"), startDaemon(t, "pyro5", "--name", "other")
	d := startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes:
  - {name: lab-route, match: {object: "lab.*", dialect: pyro5}, cluster: lab}
  - {name: other-route, match: {object: "other.worker"}, cluster: other}
clusters:
  - {name: lab, static: [%q]}
  - {name: other, static: [%q]}
`, lab.backend(), other.backend()))
	r := startRemote(t, "pyro5")
	for object, want := range map[string]string{"lab.worker": "lab", "other.worker": "other"} {
		if got := r.open(t, d.location, object).call(t, "whoami"); got != want {
			t.Errorf("object %s reached %v, want %s", object, got, want)
		}
	}
	got := r.open(t, d.location, "Pyro.Daemon").start(t, "ping").wait(t)
	if got.Exception != "Pyro5.errors.CommunicationError" || !strings.Contains(got.Message, "route") {
		t.Errorf("an object without a route: %s: %s", got.Exception, got.Message)
	}
}

// TestNoEndpoint has nobody to connect to: the client's exception says where it went.
func TestNoEndpoint(t *testing.T) {
	d := startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: night-shift, cluster: telescopes}]
clusters: [{name: telescopes, static: [%q, %q], connect_timeout: 2s}]
`, closedAddress(t), closedAddress(t)))
	for lib, class := range map[string]string{"pyro4": "Pyro4.errors.CommunicationError", "pyro5": "Pyro5.errors.CommunicationError"} {
		got := startRemote(t, lib).open(t, d.location, "lab.worker").start(t, "whoami").wait(t)
		if got.Exception != class || !strings.Contains(got.Message, "rejected") ||
			!strings.Contains(got.Message, "night-shift") || !strings.Contains(got.Message, "telescopes") {
			t.Errorf("%s client: %s: %s; want a %s that names route and cluster", lib, got.Exception, got.Message, class)
		}
	}
}
