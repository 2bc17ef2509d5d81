package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Addresses at which nobody listens.
const (
	addrA = "192.0.2.1:9999"
	addrB = "192.0.2.2:9999"
)

// TestAnswers: what is asked for as it should not be is answered with a status
// that says so, and an error that helps.
func TestAnswers(t *testing.T) {
	s := newServer(newCluster("lab", &nowhere{}, tcp(addrA), tcp(addrB)), newCluster("dome", &nowhere{}))
	const drain = "/endpoints/192.0.2.1:9999/drain"
	tests := []struct {
		method, path string
		status       int
		err          []string // parts of it; none: there is no error
		allow        string
	}{
		{"GET", "/api/clusters", 200, nil, ""},
		{"HEAD", "/api/clusters", 200, nil, ""},
		{"GET", "/api/clusters/lab", 200, nil, ""},
		{"GET", "/api/clusters/l%61b", 200, nil, ""},
		{"POST", "/api/clusters/lab/pause", 200, nil, ""},
		{"POST", "/api/clusters/lab/resume", 200, nil, ""},
		{"POST", "/api/clusters/lab" + drain, 200, nil, ""},
		{"POST", "/api/clusters/lab/endpoints/192.0.2.1:9999/undrain", 200, nil, ""},
		{"POST", "/api/clusters/lab/pause?really=yes", 200, nil, ""},

		{"GET", "/api/clusters/loft", 404, []string{"no cluster loft", "dome, lab"}, ""},
		{"POST", "/api/clusters/loft/pause", 404, []string{"no cluster loft", "dome, lab"}, ""},
		{"POST", "/api/clusters/loft" + drain, 404, []string{"no cluster loft", "dome, lab"}, ""},
		{"POST", "/api/clusters/LAB/pause", 404, []string{"no cluster LAB"}, ""},
		{"POST", "/api/clusters/lab/endpoints/192.0.2.9:9999/drain", 404, []string{"no endpoint 192.0.2.9:9999 in cluster lab", addrA + ", " + addrB}, ""},
		{"POST", "/api/clusters/lab/endpoints/192.0.2.9:9999/undrain", 404, []string{"no endpoint 192.0.2.9:9999 in cluster lab", addrA + ", " + addrB}, ""},
		{"POST", "/api/clusters/lab/endpoints/192.0.2.1/drain", 404, []string{"no endpoint 192.0.2.1 in cluster lab"}, ""},
		{"POST", "/api/clusters/dome" + drain, 404, []string{"no endpoint 192.0.2.1:9999 in cluster dome; there is none"}, ""},
		{"GET", "/api/", 404, []string{"no path /api/", "GET /api/clusters/{cluster}", "POST /api/clusters/{cluster}/endpoints/{endpoint}/drain"}, ""},
		{"GET", "/api/clusters/", 404, []string{"no path"}, ""},
		{"GET", "/api/clusters/lab/", 404, []string{"no path"}, ""},
		{"GET", "/api/clusters/lab/endpoints", 404, []string{"no path"}, ""},
		{"POST", "/api/clusters/lab/stop", 404, []string{"no path /api/clusters/lab/stop"}, ""},
		{"POST", "/api/clusters/lab/endpoints/unix:/run/a.sock/drain", 404, []string{"no path /api/clusters/lab/endpoints/unix:/run/a.sock/drain"}, ""},

		{"POST", "/api/clusters", 405, []string{"POST"}, "GET, HEAD"},
		{"DELETE", "/api/clusters/lab", 405, []string{"DELETE"}, "GET, HEAD"},
		{"OPTIONS", "/api/clusters/lab", 405, []string{"OPTIONS"}, "GET, HEAD"},
		{"GET", "/api/clusters/lab/pause", 405, []string{"GET"}, "POST"},
		{"HEAD", "/api/clusters/lab/pause", 405, []string{"HEAD"}, "POST"},
		{"PUT", "/api/clusters/lab/resume", 405, []string{"PUT"}, "POST"},
		{"GET", "/api/clusters/lab" + drain, 405, []string{"GET"}, "POST"},
		{"GET", "/api/clusters/loft/pause", 405, []string{"GET"}, "POST"},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			response := s.ask(test.method, test.path)
			if response.Code != test.status {
				t.Errorf("%d, want %d", response.Code, test.status)
			}
			if got := response.Header().Get("Allow"); got != test.allow {
				t.Errorf("Allow: %q, want %q", got, test.allow)
			}
			if test.err == nil {
				return
			}
			var got struct{ Error string }
			decode(t, response, &got)
			for _, part := range test.err {
				if !strings.Contains(got.Error, part) {
					t.Errorf("%q lacks %q", got.Error, part)
				}
			}
		})
	}
}

// TestClusters: all clusters are shown by name, whatever their order, and as
// they are when the request comes.
func TestClusters(t *testing.T) {
	lab, dome := newCluster("lab", &nowhere{}, tcp(addrB), tcp(addrA)), newCluster("dome", &nowhere{})
	s := newServer(lab, dome)
	get := func() (all []backend.Status) {
		decode(t, s.ask("GET", "/api/clusters"), &all)
		return all
	}
	if diff := cmp.Diff([]backend.Status{dome.Status(), lab.Status()}, get()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	lab.Pause()
	lab.SetMembers(0, nil)
	if got := get()[1]; !got.Paused || len(got.Endpoints) != 0 {
		t.Errorf("a cluster that is paused and empty is shown as %+v", got)
	}
	if got := newServer().ask("GET", "/api/clusters").Body.String(); got != "[]\n" {
		t.Errorf("no clusters are shown as %q", got)
	}
}

// TestDrain: a drained endpoint gets nothing new until it is taken back, and
// nothing else changes.
func TestDrain(t *testing.T) {
	d := &nowhere{}
	c := newCluster("lab", d, tcp(addrA), tcp(addrB))
	s := newServer(c, newCluster("dome", d, tcp(addrA)))
	steps := []struct {
		path           string
		stateA, stateB string
		dialled        []string
	}{
		{"/api/clusters/lab/endpoints/192.0.2.1:9999/drain", "draining", "up", []string{addrB}},
		{"/api/clusters/lab/endpoints/192.0.2.1:9999/drain", "draining", "up", []string{addrB}},
		{"/api/clusters/lab/endpoints/192.0.2.2:9999/drain", "draining", "draining", nil},
		{"/api/clusters/lab/endpoints/192.0.2.1:9999/undrain", "up", "draining", []string{addrA}},
		{"/api/clusters/lab/endpoints/192.0.2.1:9999/undrain", "up", "draining", []string{addrA}},
		{"/api/clusters/lab/endpoints/192.0.2.2:9999/undrain", "up", "up", []string{addrA, addrB}},
	}
	for _, step := range steps {
		got := s.status(t, "POST", step.path)
		if diff := cmp.Diff(map[string]string{addrA: step.stateA, addrB: step.stateB}, states(got)); diff != "" {
			t.Errorf("%s: states (-want +got):\n%s", step.path, diff)
		}
		if diff := cmp.Diff(got, s.status(t, "GET", "/api/clusters/lab")); diff != "" {
			t.Errorf("%s: the next answer is another (-before +now):\n%s", step.path, diff)
		}
		if got := states(s.status(t, "GET", "/api/clusters/dome"))[addrA]; got != "up" {
			t.Errorf("%s: in the other cluster the endpoint is %s", step.path, got)
		}
		if _, err := c.Acquire(t.Context(), &backend.Attempt{Dialect: wire.V502}); err == nil {
			t.Fatalf("%s: somebody was reached", step.path)
		}
		if diff := cmp.Diff(step.dialled, d.take()); diff != "" {
			t.Errorf("%s: dialled (-want +got):\n%s", step.path, diff)
		}
	}
}

// TestRemoved: an endpoint that no source names any more is shown while it is in
// use, but there is nothing to be done to it.
func TestRemoved(t *testing.T) {
	network := &pyrotest.Network{}
	ln, err := network.Listen(addrA)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := newCluster("lab", network, tcp(addrA))
	lease, err := c.Acquire(t.Context(), &backend.Attempt{Dialect: wire.V502})
	if err != nil {
		t.Fatal(err)
	}
	c.SetMembers(0, nil)
	s := newServer(c)
	if diff := cmp.Diff(map[string]string{addrA: "removed"}, states(s.status(t, "GET", "/api/clusters/lab"))); diff != "" {
		t.Errorf("in use (-want +got):\n%s", diff)
	}
	response := s.ask("POST", "/api/clusters/lab/endpoints/192.0.2.1:9999/drain")
	var got struct{ Error string }
	if decode(t, response, &got); response.Code != http.StatusNotFound || !strings.HasSuffix(got.Error, "there is none") {
		t.Errorf("to drain it is answered with %d, %q", response.Code, got.Error)
	}
	lease.Done(backend.Served)
	if got := s.status(t, "GET", "/api/clusters/lab").Endpoints; len(got) != 0 {
		t.Errorf("no longer in use, it is shown as %+v", got)
	}
}

// TestPause: while a cluster is paused a client waits and nobody is dialled;
// afterwards it goes on.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &nowhere{}
		c := newCluster("lab", d, tcp(addrA))
		s := newServer(c)
		for range 2 { // the second time changes nothing
			if got := s.status(t, "POST", "/api/clusters/lab/pause"); !got.Paused {
				t.Errorf("paused, it is %+v", got)
			}
		}
		ended := make(chan error, 1)
		go func() {
			_, err := c.Acquire(t.Context(), &backend.Attempt{Dialect: wire.V502})
			ended <- err
		}()
		time.Sleep(time.Second)
		if got := s.status(t, "GET", "/api/clusters/lab"); !got.Paused || got.Waiting != 1 {
			t.Errorf("with a client that waits, it is %+v", got)
		}
		if dialled := d.take(); dialled != nil {
			t.Errorf("it dialled %q", dialled)
		}
		for range 2 {
			if got := s.status(t, "POST", "/api/clusters/lab/resume"); got.Paused || got.Waiting != 0 {
				t.Errorf("resumed, it is %+v", got)
			}
		}
		<-ended
		if diff := cmp.Diff([]string{addrA}, d.take()); diff != "" {
			t.Errorf("dialled (-want +got):\n%s", diff)
		}
	})
}

// TestAddresses: every address can be named in a path.
func TestAddresses(t *testing.T) {
	addresses := []backend.Address{
		tcp(addrA), tcp("daemons.lab:5555"), tcp("[::1]:5555"), tcp("[fe80::1%eth0]:5555"),
		unix("/run/pyro.sock"), unix("/run/pyro/a.sock"), unix("/run/../a b%2Fc?d#e.sock"), unix("relative.sock"), unix("@pyro"),
	}
	paths := make(map[string]string)
	for _, a := range addresses {
		paths[url.PathEscape(a.String())] = a.String()
	}
	// As people write them.
	for _, path := range []string{"[::1]:5555", "%5B%3A%3A1%5D%3A5555", "unix:%2Frun%2fpyro.sock", "unix%3A%2Frun%2Fpyro.sock", "unix:@pyro"} {
		address, err := url.PathUnescape(path)
		if err != nil {
			t.Fatal(err)
		}
		paths[path] = address
	}
	for path, address := range paths {
		t.Run(path, func(t *testing.T) {
			s := newServer(newCluster("lab", &nowhere{}, addresses...))
			want := make(map[string]string)
			for _, a := range addresses {
				want[a.String()] = "up"
			}
			for action, state := range map[string]string{"/drain": "draining", "/undrain": "up"} {
				if action == "/undrain" {
					s.status(t, "POST", "/api/clusters/lab/endpoints/"+path+"/drain")
				}
				want[address] = state
				got := s.status(t, "POST", "/api/clusters/lab/endpoints/"+path+action)
				if diff := cmp.Diff(want, states(got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", action, diff)
				}
			}
		})
	}
}

// TestCrossOrigin: the page of another server cannot change anything by way of
// somebody's browser.
func TestCrossOrigin(t *testing.T) {
	tests := []struct {
		name   string
		header []string
		status int
	}{
		{"no browser", nil, 200},
		{"the server's own page", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:9990"}, 200},
		{"the address bar", []string{"Sec-Fetch-Site", "none"}, 200},
		{"another server's page", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"another port's page", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:8080"}, 403},
		{"an old browser, the server's own page", []string{"Origin", "http://127.0.0.1:9990"}, 200},
		{"an old browser, another server's page", []string{"Origin", "https://evil.example"}, 403},
		{"an old browser, a sandboxed page", []string{"Origin", "null"}, 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(newCluster("lab", &nowhere{}, tcp(addrA)))
			response := s.ask("POST", "/api/clusters/lab/pause", test.header...)
			if response.Code != test.status {
				t.Errorf("%d, want %d", response.Code, test.status)
			}
			if test.status == http.StatusForbidden {
				var got struct{ Error string }
				if decode(t, response, &got); got.Error == "" {
					t.Error("there is no error")
				}
			}
			if got := s.status(t, "GET", "/api/clusters/lab").Paused; got != (test.status == http.StatusOK) {
				t.Errorf("afterwards paused is %t", got)
			}
			if response := s.ask("GET", "/api/clusters", test.header...); response.Code != http.StatusOK {
				t.Errorf("reading is answered with %d", response.Code)
			}
		})
	}
}
