package integration

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/hashicorp/consul/api"
)

// TestConsulInstanceAway takes an instance away in each way that Consul has, and gives it back:
// it gets no new calls, keeps the client that it has, and gets calls again.
func TestConsulInstanceAway(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	daemons := startNamed(t, "pyro5", "one", "two", "three")
	for name := range daemons {
		c.register(t, instanceOf(t, "cam", daemons[name]))
	}
	two := instanceOf(t, "cam", daemons["two"])
	d := startOnCams(t, c.address, "")
	l := startLoad(t, "pyro5", d.location, inCalls, inSessions)
	stays := sessionOn(t, d, "two")
	for _, w := range []struct {
		name       string
		away, back func()
	}{
		{"deregistered", func() { c.deregister(t, two) }, func() { c.register(t, two) }},
		{"critical", func() { c.setState(t, two, api.HealthCritical) }, func() { c.setState(t, two, api.HealthPassing) }},
		{"in maintenance",
			func() { maintain(t, c.api.Agent().EnableServiceMaintenance(two.ID, "oil")) },
			func() { maintain(t, c.api.Agent().DisableServiceMaintenance(two.ID)) }},
	} {
		l.reaches(t, "one", "two", "three")
		w.away()
		l.reaches(t, "one", "three")
		if got := d.state(t, "cams", daemons["two"].backend()); got != "removed" {
			t.Errorf("%s, the endpoint is %s", w.name, got)
		}
		if got := stays.call(t, "whoami"); got != "two" {
			t.Errorf("%s, the client that stays is answered by %v", w.name, got)
		}
		w.back()
	}
	l.reaches(t, "one", "two", "three")
	if got := d.state(t, "cams", daemons["two"].backend()); got != "up" {
		t.Errorf("in the end the endpoint is %s", got)
	}
	if n := d.logged("endpoint removed: it drains"); n != 3 {
		t.Errorf("it was removed %d times, says the log", n)
	}
}

func maintain(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sessionOn returns a client of mode session whose daemon is the one of that name.
func sessionOn(t *testing.T, d *running, name string) *proxy {
	t.Helper()
	r := startRemote(t, "pyro5")
	var p *proxy
	eventually(t, "a session is at "+name, func() bool {
		p = r.open(t, d.location, "other.worker")
		return p.call(t, "whoami") == name
	})
	return p
}

// state is the state of an endpoint, as the admin server tells it.
func (d *running) state(t *testing.T, cluster, address string) string {
	t.Helper()
	return d.endpoint(t, cluster, address).State
}

// weight is the weight of an endpoint, as the admin server tells it.
func (d *running) weight(t *testing.T, cluster, address string) int {
	t.Helper()
	return d.endpoint(t, cluster, address).Weight
}

type endpointStatus struct {
	Address, State      string
	Weight, Connections int
}

// endpoint is what the admin server tells of an endpoint; none, if there is none.
func (d *running) endpoint(t *testing.T, cluster, address string) endpointStatus {
	t.Helper()
	resp, err := http.Get("http://" + d.admin + "/api/clusters/" + cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var status struct{ Endpoints []endpointStatus }
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	for _, e := range status.Endpoints {
		if e.Address == address {
			return e
		}
	}
	return endpointStatus{}
}
