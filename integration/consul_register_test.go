package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"
)

// TestConsulRegistersItself: the dispatcher is in Consul with a check that passes, is there
// again after Consul came back empty-handed, and takes itself out before anything else when it
// drains.
func TestConsulRegistersItself(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	server := startDaemon(t, "pyro5")
	d := startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
drain_timeout: 10m
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: r, cluster: c}]
clusters: [{name: c, static: [%q]}]
consul: {address: %q, register: {name: gate, tags: [lab], check_interval: 1s}}
`, server.backend(), c.address))
	passing := func() *api.ServiceEntry {
		entries, _, err := c.api.Health().Service("gate", "lab", true, nil)
		if err != nil || len(entries) != 1 {
			return nil
		}
		return entries[0]
	}
	checked := func() bool {
		checks, err := c.api.Agent().Checks()
		if err != nil {
			t.Fatal(err)
		}
		for _, check := range checks {
			if check.ServiceName == "gate" && strings.Contains(check.Output, "/readyz: 200 OK") {
				return passing() != nil
			}
		}
		return false
	}
	eventually(t, "it is registered, and its check has run and passes", checked)
	s := passing().Service
	version := d.entry(t, "started")["version"]
	if at := fmt.Sprint(s.Address, ":", s.Port); at != d.location || s.Meta["version"] != version || version == "" {
		t.Errorf("registered at %s with meta %v; want %s and version %v", at, s.Meta, d.location, version)
	}

	c.kill(t)
	c.start(t)
	c.await(t, 1)
	eventually(t, "it is registered in the new Consul, and its check has run and passes", checked)
	if got := d.source(t, "members", "", "registration"); got != 1 {
		t.Errorf("registered, says the metric: %v", got)
	}

	r := startRemote(t, "pyro5")
	held := r.open(t, d.location, "lab.worker").start(t, "hold", "drain")
	side := awaitHeld(t, server, "drain")
	d.signal(t, syscall.SIGTERM)
	eventually(t, "it is not registered any more", func() bool {
		entries, _, err := c.api.Health().Service("gate", "", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries) == 0
	})
	select {
	case <-held.answer:
		t.Error("the call in flight has ended")
	case <-d.exited:
		t.Fatal("the dispatcher left although a call was in flight")
	default:
	}
	d.entry(t, "draining")
	if log := d.stderr.String(); strings.Index(log, `"deregistered from Consul"`) > strings.Index(log, `"draining"`) {
		t.Errorf("it drained first:\n%s", log)
	}
	side.call(t, "let_go", "drain")
	if got := held.value(t); got != "let go" {
		t.Errorf("the call in flight gave %v", got)
	}
	if code := d.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestConsulDrainsWithoutConsul: where there is no Consul to deregister from, draining goes on.
func TestConsulDrainsWithoutConsul(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	server := startDaemon(t, "pyro5")
	d := startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: r, cluster: c}]
clusters: [{name: c, static: [%q]}]
consul: {address: %q, register: {name: gate}}
`, server.backend(), c.address))
	d.entry(t, "registered with Consul")
	c.kill(t)
	d.signal(t, syscall.SIGTERM)
	d.entry(t, "could not deregister from Consul: its health check will find out")
	if code := d.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestConsulCommandLine needs no file: the instances of both services are one cluster.
func TestConsulCommandLine(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	daemons := startNamed(t, "pyro5", "cam", "lens", "static")
	c.register(t, instanceOf(t, "cam", daemons["cam"]), instanceOf(t, "lens", daemons["lens"]))
	for _, mode := range []string{"session", "call"} {
		d := runDispatcher(t, dispatcher, "--listen", "127.0.0.1:0", "--admin=", "--consul", c.address, "--mode", mode,
			"--consul-service", "cam", "--consul-service", "lens", "--backend", daemons["static"].backend())
		l := startLoad(t, "pyro5", d.location, "all:lab.worker:2:5")
		l.reaches(t, "cam", "lens", "static")
	}
}
