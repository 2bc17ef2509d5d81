package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// TestNameServerMetrics: the name server counts its clients, its calls by how they ended,
// and the names that clients have registered, but not those that it publishes.
func TestNameServerMetrics(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	r := startPublic(t, `
listeners: [{name: main, address: "127.0.0.1:0"}]
name_server: {listeners: [{name: ns, address: "127.0.0.1:0"}], max_names: 2}
topics: lab.topics
`)
	port := portOf(r.facade.listeners[0])
	limit := float64(r.facade.daemon.Limits.Connections)
	state := func(sessions, started, ok, raised, registered float64) {
		t.Helper()
		pyrotest.WaitFor(t, "the end of sessions and calls is counted", func() bool {
			return gathered(t, r.set, "sessions", "ns") == sessions && gathered(t, r.set, "calls_total", "name-server") == ok+raised
		})
		wantGathered(t, r.set, map[[3]string]float64{
			{"sessions", "ns"}: sessions, {"sessions_started_total", "ns"}: started, {"sessions_limit", "ns"}: limit,
			{"calls_total", "name-server", "ok"}: ok, {"calls_total", "name-server", "exception"}: raised,
			{"calls_in_flight", "name-server"}: 0,
			{"names"}:                          registered, {"names_limit"}: 2,
		})
	}
	state(0, 0, 0, 0, 0)
	c := caller(t, port, names.OwnName)
	call := func(ok bool, method string, args ...values.Value) {
		t.Helper()
		if _, err := c.Call(t.Context(), method, args, nil); (err == nil) != ok {
			t.Errorf("%s%v: %v", method, args, err)
		}
	}
	call(true, "ping")
	call(true, "lookup", "lab.topics")
	call(false, "lookup", "a")
	state(1, 1, 2, 1, 0)
	call(true, "register", "a", "PYRO:o@192.0.2.1:1")
	call(true, "register", "b", "PYRO:p@192.0.2.1:1")
	call(false, "register", "c", "PYRO:q@192.0.2.1:1")
	state(1, 1, 4, 2, 2)
	call(true, "remove", "a")
	call(true, "register", "c", "PYRO:q@192.0.2.1:1")
	state(1, 1, 6, 2, 2)
	other := caller(t, port, names.OwnName)
	state(2, 2, 6, 2, 2)
	other.Close()
	c.Close()
	state(0, 2, 6, 2, 2)
	r.stop()
	state(0, 2, 6, 2, 2)
	if n := gathered(t, r.set, "sessions_ended_total", "ns"); n != 2 {
		t.Errorf("%v sessions have ended", n)
	}
}
