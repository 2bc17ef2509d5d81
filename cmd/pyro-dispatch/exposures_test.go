package main

import (
	"cmp"
	"fmt"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// exposedDaemon starts one that has every object and answers each call with its address.
func exposedDaemon(t *testing.T) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = ln.Addr().String()
	d := &pyrotest.Daemon{Dialect: wire.V502, OnInvoke: pyrotest.ReplyData([]byte(address))}
	d.Start(ln)
	t.Cleanup(d.Close)
	return address
}

// TestExposures: the port of an endpoint leads to it alone, is told with what to set at
// its daemon, and is the same after a restart, wherever the configuration names it.
func TestExposures(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	first, second := exposedDaemon(t), exposedDaemon(t)
	dir, ports := t.TempDir(), freePorts(t, 3)
	had := make(map[string]int)
	for _, order := range [][2]string{{first, second}, {second, first}} {
		r := startPublic(t, fmt.Sprintf(`
state_dir: %q
listeners: [{name: main, address: "127.0.0.1:0", advertise: "lab.example:9999"}]
routes: [{cluster: c}]
clusters: [{name: c, static: [%q, %q], dialect: pyro5, expose: per_endpoint, ports: "%d-%d", health_check: {enabled: false}}]
`, dir, order[0], order[1], ports, ports+2))
		all := r.exposed() // at once: daemons ask when they start
		if len(all) != 2 {
			t.Fatalf("exposed are %v", all)
		}
		for _, e := range all {
			if want := fmt.Sprintf("PYRO_NATHOST=lab.example PYRO_NATPORT=%d", e.NATPort); e.Set != want || e.NATHost != "lab.example" || e.Cluster != "c" {
				t.Errorf("%s is told as %+v", e.Endpoint, e)
			}
			if had[e.Endpoint] = cmp.Or(had[e.Endpoint], e.NATPort); had[e.Endpoint] != e.NATPort {
				t.Errorf("%s has port %d, and had %d", e.Endpoint, e.NATPort, had[e.Endpoint])
			}
			for range 3 { // the balancer would send one of them elsewhere
				c, err := connect(t, e.NATPort, "o")
				if err != nil {
					t.Fatal(err)
				}
				if reply, err := c.Call(nil); err != nil || string(reply.Data) != e.Endpoint {
					t.Errorf("the port of %s leads to %s (%v)", e.Endpoint, reply.Data, err)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		wantGathered(t, r.set, map[[3]string]float64{
			{"ports", "c"}: 2, {"ports_limit", "c"}: 3, {"sessions_started_total", "expose:c"}: 6, {"store_failures_total", "ports"}: 0,
		})
		r.stop()
		wantGathered(t, r.set, map[[3]string]float64{{"sessions", "expose:c"}: 0, {"endpoint_connections", "c"}: 0})
	}
}

// TestExposuresFull: where the range has no room, some endpoint has no port; it is served
// otherwise all the same, and the metrics show that the range is full.
func TestExposuresFull(t *testing.T) {
	first, second := exposedDaemon(t), exposedDaemon(t)
	port := freePorts(t, 1)
	r := startPublic(t, fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{cluster: c}]
clusters: [{name: c, static: [%q, %q], dialect: pyro5, expose: per_endpoint, ports: "%d", health_check: {enabled: false}}]
`, first, second, port))
	if all := r.exposed(); len(all) != 1 || all[0].NATPort != port {
		t.Errorf("exposed are %v", all)
	}
	wantGathered(t, r.set, map[[3]string]float64{{"ports", "c"}: 1, {"ports_limit", "c"}: 1})
	for range 2 {
		if _, err := connect(t, portOf(r.opened[0]), "o"); err != nil {
			t.Error(err)
		}
	}
}

// TestPortsShareSessions: clients at ports of names and of endpoints count for the
// max_sessions of the listener that the ports belong to, and for no other's.
func TestPortsShareSessions(t *testing.T) {
	first, second := exposedDaemon(t), exposedDaemon(t)
	ports := freePorts(t, 3)
	r := startPublic(t, fmt.Sprintf(`
listeners:
  - {name: main, address: "127.0.0.1:0", max_sessions: 3}
  - {name: other, address: "127.0.0.1:0", max_sessions: 1}
name_server: {listeners: [{name: ns, address: "127.0.0.1:0"}], listener: main, ports: "%d-%d"}
routes: [{cluster: c}]
clusters: [{name: c, static: [%q], dialect: pyro5, expose: per_endpoint, ports: "%d", health_check: {enabled: false}}]
`, ports, ports+1, first, ports+2))
	ns := caller(t, portOf(r.facade.listeners[0]), names.OwnName)
	at := []int{portOf(r.opened[0]), r.exposed()[0].NATPort} // of main, and of ports that belong to it
	for name, daemon := range map[string]string{"a": first, "b": second} {
		if _, err := ns.Call(t.Context(), "register", []values.Value{name, "PYRO:o@" + daemon}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		v, err := ns.Call(t.Context(), "lookup", []values.Value{name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, v.(values.URI).Port)
	}
	for without := range at {
		var connected []*pyrotest.Client
		for i, port := range at {
			if i == without {
				continue
			}
			c, err := connect(t, port, "o")
			if err != nil {
				t.Fatalf("port %d: %v", port, err)
			}
			connected = append(connected, c)
		}
		for _, port := range at {
			_, err := connect(t, port, "o")
			if err == nil || !strings.Contains(err.Error(), "too many sessions on listener main") {
				t.Errorf("the fourth client, at port %d: %v", port, err)
			}
		}
		c, err := connect(t, portOf(r.opened[1]), "o")
		if err != nil {
			t.Errorf("at another listener: %v", err)
		}
		for _, c := range append(connected, c) {
			c.Close()
		}
		pyrotest.WaitZero(t, "sessions", func() float64 {
			sum := 0.0
			for _, l := range []string{"main", "other", "names", "expose:c"} {
				sum += gathered(t, r.set, "sessions", l)
			}
			return sum
		})
	}
	wantGathered(t, r.set, map[[3]string]float64{
		{"sessions_limit", "main"}: 3, {"sessions_limit", "names"}: 3, {"sessions_limit", "expose:c"}: 3, {"sessions_limit", "other"}: 1,
		{"ports", ""}: 3, {"ports_limit", ""}: 3, // of both ranges
	})
}
