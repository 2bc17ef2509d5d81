package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// exposure is where an endpoint is known outside.
type exposure struct {
	Endpoint string `json:"endpoint"`
	NATHost  string `json:"nathost"`
	NATPort  int    `json:"natport"`
}

// variables are what the daemon of the endpoint is to be started with. The libraries put host and
// port together as they are, so that an IPv6 address has its brackets.
func (e exposure) variables() []string {
	host := strings.TrimSuffix(e.location(), fmt.Sprint(":", e.NATPort))
	return []string{"PYRO_NATHOST=" + host, fmt.Sprint("PYRO_NATPORT=", e.NATPort)}
}

// location is where the endpoint is known, as in a URI.
func (e exposure) location() string {
	return net.JoinHostPort(strings.Trim(e.NATHost, "[]"), strconv.Itoa(e.NATPort))
}

// exposureOf finds an endpoint in what the admin API lists.
func exposureOf(t *testing.T, page []byte, endpoint string) exposure {
	t.Helper()
	var list struct {
		Endpoints []exposure `json:"endpoints"`
	}
	if err := json.Unmarshal(page, &list); err != nil {
		t.Fatalf("%s: %v\n%s", exposedPath, err, page)
	}
	for _, e := range list.Endpoints {
		if e.Endpoint == endpoint {
			return e
		}
	}
	t.Fatalf("%s is not among\n%s", endpoint, page)
	return exposure{}
}

func (n *natted) exposure(t *testing.T, d *running, endpoint string) exposure {
	t.Helper()
	return exposureOf(t, []byte(n.get(t, exposedPath)), endpoint)
}

func (d *running) exposure(t *testing.T, endpoint string) exposure {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + d.admin + exposedPath)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", exposedPath, resp.Status, err, page)
	}
	return exposureOf(t, page, endpoint)
}

// TestExposedPorts has each endpoint reached at the port that the API tells, and at no other's:
// two daemons have the same object.
func TestExposedPorts(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			ports := freePorts(t, 2)
			addresses := []string{fmt.Sprint("127.0.0.1:", ports[0]), fmt.Sprint("127.0.0.1:", ports[1])}
			d := startConfigured(t, exposed("127.0.0.1:0", "127.0.0.1:0", "", t.TempDir(), "32000-32700", addresses...))
			n := &names{lib: lib, kind: facade, d: d}
			asker := startPeer(t, edgeEnvironment(), nil, "--lib", lib)
			seen := map[int]bool{}
			for i, address := range addresses {
				e := d.exposure(t, address)
				if seen[e.NATPort] || e.NATHost == "" {
					t.Fatalf("%s is exposed at %+v", address, e)
				}
				seen[e.NATPort] = true
				name := fmt.Sprint("cam", i)
				startPeer(t, append(edgeEnvironment(), e.variables()...), nil, "--lib", lib, "--name", name, "--port", fmt.Sprint(ports[i]), "--object", "lab.cam")
				uri := "PYRO:lab.cam@" + e.location()
				eventually(t, name+" answers", func() bool { return asker.try(t, "call", uri, "whoami").Value == name })
				for range 5 {
					answers(t, asker.call(t, "call", uri, "whoami"), name)
				}
				if got := fmt.Sprint(asker.call(t, "itself", uri)); got != fmt.Sprintf("[%s %s]", uri, name) {
					t.Errorf("%s gives itself as %s", name, got)
				}
			}
			asker.end(t)
			n.atRest(t)
		})
	}
}
