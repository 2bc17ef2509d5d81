package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

const fileForQuick = `
listeners: [{name: left, address: ":1"}]
routes: [{name: r, match: {listener: left}, cluster: c}]
clusters: [{name: c, static: ["a:1"]}]
`

func text(s string) *string { return &s }

func TestApplyQuick(t *testing.T) {
	for _, tt := range []struct {
		name       string
		file       string
		quick      config.Quick
		listeners  []string // name=address
		routes     []string // name=cluster
		static     []string
		services   []string
		validation string
	}{
		{
			name:      "a complete proxy",
			quick:     config.Quick{Listen: []string{":9999"}, Backend: []string{"host:5555"}},
			listeners: []string{"main=:9999"}, routes: []string{"default=default"}, static: []string{"host:5555"},
		},
		{
			name:      "several of each",
			quick:     config.Quick{Listen: []string{":9999", "unix:/run/p.sock"}, Backend: []string{"[::1]:5555", "unix:/run/cam.sock"}},
			listeners: []string{"listener-1=:9999", "listener-2=unix:/run/p.sock"}, routes: []string{"default=default"},
			static: []string{"[::1]:5555", "unix:/run/cam.sock"},
		},
		{
			name: "nothing given, nothing changed", file: fileForQuick,
			listeners: []string{"left=:1"}, routes: []string{"r=c"}, static: []string{"a:1"},
		},
		{
			name: "backends of a file", file: fileForQuick,
			quick:     config.Quick{Backend: []string{"b:1"}},
			listeners: []string{"left=:1"}, routes: []string{"default=default"}, static: []string{"b:1"},
		},
		{
			name: "listeners of a file, to which a route refers", file: fileForQuick,
			quick:     config.Quick{Listen: []string{":2"}},
			listeners: []string{"main=:2"}, routes: []string{"r=c"}, static: []string{"a:1"},
			validation: `f.yaml:3:38: routes[0].match.listener: there is no listener "left": there is main`,
		},
		{
			name:      "addresses that mean nothing",
			quick:     config.Quick{Listen: []string{":1", "localhost:1"}, Backend: []string{":5555", "localhost:1"}},
			listeners: []string{"listener-1=:1", "listener-2=localhost:1"}, routes: []string{"default=default"}, static: []string{":5555", "localhost:1"},
			validation: `--listen: listeners[1].address: "localhost:1" is already taken by listeners[0] (":1")
--backend: clusters[0].static[0]: ":5555" names no host: a daemon is at one, as in localhost:5555
--backend: clusters[0].static[1]: "localhost:1" is listeners[1] itself: calls would go round in circles`,
		},
		{
			name:      "services of Consul",
			quick:     config.Quick{Listen: []string{":1"}, ConsulService: []string{"x", "y"}},
			listeners: []string{"main=:1"}, routes: []string{"default=default"}, services: []string{"x", "y"},
		},
		{
			name: "services and daemons in place of a file's", file: fileForQuick,
			quick:     config.Quick{Listen: []string{":1"}, Backend: []string{"b:1"}, ConsulService: []string{"x"}},
			listeners: []string{"main=:1"}, routes: []string{"default=default"}, static: []string{"b:1"}, services: []string{"x"},
		},
		{
			name:      "services that mean nothing",
			quick:     config.Quick{Listen: []string{":1"}, Backend: []string{":2"}, ConsulService: []string{"", "x", "x"}},
			listeners: []string{"main=:1"}, routes: []string{"default=default"}, static: []string{":2"}, services: []string{"", "x", "x"},
			validation: `--backend: clusters[0].static[0]: ":2" names no host: a daemon is at one, as in localhost:2
--consul-service: clusters[0].consul: is empty
--consul-service: clusters[0].consul: "x" is listed twice`,
		},
		{
			name: "numbers that mean nothing", file: fileForQuick,
			quick:     config.Quick{MaxConnections: text("-1"), Queue: text("1000001"), Retries: text("-2")},
			listeners: []string{"left=:1"}, routes: []string{"r=c"}, static: []string{"a:1"},
			validation: `--max-connections: clusters[0].max_connections: -1 is negative
--queue: clusters[0].queue: 1000001 is too many: at most 1000000
--retries: clusters[0].retries: -2 is negative`,
		},
		{
			name: "too few connections for what a file says", file: strings.Replace(fileForQuick, "name: c,", "name: c, max_pinned: 4, ", 1),
			quick:     config.Quick{MaxConnections: text("4"), Mode: text("call")},
			listeners: []string{"left=:1"}, routes: []string{"r=c"}, static: []string{"a:1"},
			validation: `f.yaml:4:34: clusters[0].max_pinned: 4 is not less than max_connections, which is 4`,
		},
		{
			name: "a timeout that means nothing", file: fileForQuick,
			quick:     config.Quick{Timeout: text("-1s")},
			listeners: []string{"left=:1"}, routes: []string{"r=c"}, static: []string{"a:1"},
			validation: `--timeout: defaults.timeout: -1s is negative`,
		},
		{
			name: "too short a timeout for what a file says", file: fileForQuick + "defaults: {budget_margin: 1s}",
			quick:     config.Quick{Timeout: text("1s")},
			listeners: []string{"left=:1"}, routes: []string{"r=c"}, static: []string{"a:1"},
			validation: `f.yaml:5:27: defaults.budget_margin: 1s is not less than timeout, which is 1s`,
		},
		{
			name:       "only a listener",
			quick:      config.Quick{Listen: []string{":1"}},
			listeners:  []string{"main=:1"},
			validation: "routes: there are none: every client would be refused\nclusters: there are none: calls need at least one daemon to go to",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default()
			if tt.file != "" {
				loaded, err := config.Load("f.yaml", []byte(tt.file))
				if err != nil {
					t.Fatal(err)
				}
				c = *loaded
			}
			if err := c.ApplyQuick(tt.quick); err != nil {
				t.Fatal(err)
			}
			var listeners, routes, static, services []string
			for _, l := range c.Listeners {
				listeners = append(listeners, l.Name+"="+l.Address.String())
			}
			for _, r := range c.Routes {
				routes = append(routes, r.Name+"="+r.Cluster)
			}
			for _, cluster := range c.Clusters {
				for _, e := range cluster.Static {
					static = append(static, e.Address.String())
				}
				services = append(services, cluster.Consul.Service...)
			}
			if diff := cmp.Diff([][]string{tt.listeners, tt.routes, tt.static, tt.services}, [][]string{listeners, routes, static, services}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(tt.validation, c.Validate().Error()); diff != "" {
				t.Errorf("Validate: -want +got:\n%s", diff)
			}
		})
	}
}

// Values for all routes and clusters reach those of the file, and those of the
// other flags.
func TestApplyQuickToAll(t *testing.T) {
	const file = `
listeners: [{address: ":1"}]
routes: [{match: {object: x}, cluster: c, mode: session}, {cluster: d}]
clusters: [{name: c, static: ["a:1"], queue: 5}, {name: d, consul: x, retries: 6, max_connections: 7}]
`
	fromFile, err := config.Load("f.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	short := config.Default()
	for name, test := range map[string]struct {
		c     *config.Config
		quick config.Quick
	}{
		"of a file":      {fromFile, config.Quick{}},
		"of other flags": {&short, config.Quick{Listen: []string{":1"}, Backend: []string{"a:1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c, quick := test.c, test.quick
			quick.Consul, quick.Mode = text("https://consul.lab:8501"), text("call")
			quick.MaxConnections, quick.Queue, quick.Retries = text("16"), text("0"), text("3")
			if err := c.ApplyQuick(quick); err != nil {
				t.Fatal(err)
			}
			for _, r := range c.Routes {
				if r.Mode != config.ModeCall || !r.CacheHandshake {
					t.Errorf("route %s has mode %s, cache_handshake %t", r.Name, r.Mode, r.CacheHandshake)
				}
			}
			for _, cluster := range c.Clusters {
				if cluster.MaxConnections != 16 || cluster.Queue != 0 || cluster.Retries != 3 {
					t.Errorf("cluster %s: %d connections, a queue of %d, %d retries",
						cluster.Name, cluster.MaxConnections, cluster.Queue, cluster.Retries)
				}
			}
			if got := c.Consul.Address.String(); got != "https://consul.lab:8501" {
				t.Errorf("Consul is at %s", got)
			}
			if problems := c.Validate(); len(problems) > 0 {
				t.Error(problems)
			}
		})
	}
}

// What has a place in the defaults is put there, and nothing of the file is left
// that says something else; the rest of what it says is.
func TestApplyQuickToDefaults(t *testing.T) {
	const file = `
defaults: {timeout: 1s, timeout_error: pyro, circular: auto, correlation: generate, max_depth: 3}
listeners: [{address: ":1", timeout: 2s, send_timeout: 3s}]
routes: [{match: {object: x}, cluster: c, timeout: 4s, timeout_error: pyro, circular: reject, correlation: generate, max_depth: 5}, {cluster: c}]
clusters: [{name: c, static: ["a:1"]}]
`
	all := config.Quick{Timeout: text("9s"), TimeoutError: text("builtin"), Circular: text("allow"), Correlation: text("preserve")}
	for _, tt := range []struct {
		name  string
		quick config.Quick
		want  func(d *config.Defaults, l *config.Listener, r *config.Route)
	}{
		{"nothing", config.Quick{}, func(*config.Defaults, *config.Listener, *config.Route) {}},
		{"a timeout", config.Quick{Timeout: text("9s")}, func(d *config.Defaults, l *config.Listener, r *config.Route) {
			d.Timeout, l.Timeout, r.Timeout = 9*time.Second, nil, nil
		}},
		{"no timeout", config.Quick{Timeout: text("0s")}, func(d *config.Defaults, l *config.Listener, r *config.Route) {
			d.Timeout, l.Timeout, r.Timeout = 0, nil, nil
		}},
		{"an error", config.Quick{TimeoutError: text("builtin")}, func(d *config.Defaults, _ *config.Listener, r *config.Route) {
			d.TimeoutError, r.TimeoutError = config.TimeoutBuiltin, nil
		}},
		{"all", all, func(d *config.Defaults, l *config.Listener, r *config.Route) {
			d.Timeout, d.TimeoutError, d.Circular, d.Correlation = 9*time.Second, config.TimeoutBuiltin, config.CircularAllow, config.CorrelationPreserve
			l.Timeout, r.Timeout, r.TimeoutError, r.Circular, r.Correlation = nil, nil, nil, nil, nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			load := func() *config.Config {
				c, err := config.Load("f.yaml", []byte(file))
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			want, got := load(), load()
			tt.want(&want.Defaults, &want.Listeners[0], &want.Routes[0])
			if err := got.ApplyQuick(tt.quick); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, ignoreSource); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if problems := got.Validate(); len(problems) > 0 {
				t.Error(problems)
			}
		})
	}
	// With other flags that replace the routes.
	c := config.Default()
	all.Listen, all.Backend = []string{":1"}, []string{"a:1"}
	if err := c.ApplyQuick(all); err != nil {
		t.Fatal(err)
	}
	if p := c.PolicyOf(&c.Routes[0]); c.Defaults.Timeout != 9*time.Second || p.TimeoutError != config.TimeoutBuiltin ||
		p.Circular != config.CircularAllow || p.Correlation != config.CorrelationPreserve {
		t.Errorf("the short form has %v and %+v", c.Defaults.Timeout, p)
	}
}

func TestApplyQuickRefuses(t *testing.T) {
	c := config.Default()
	err := c.ApplyQuick(config.Quick{
		Listen: []string{":1", "here"}, Backend: []string{""},
		NameServer: []string{"9090"}, Advertise: text("pyro:port"),
		Timeout: text("5"), TimeoutError: text("python"), Circular: text(""), Correlation: text("none"),
		Consul: text("consul"), Mode: text("both"), MaxConnections: text("many"), Queue: text(""), Retries: text("99999999999999999999"),
	})
	const want = `--listen: "here" has no port: write it as in here:9999
--backend: "" has no port: write it as in :9999
--nameserver: "9090" is not an address: for a port on every local address, write :9090
--advertise: "pyro:port": port "port" is not a number from 0 to 65535
--consul: "consul" has no port: Consul's is 8500, as in consul:8500
--mode: "both" is not a mode: use session or call
--timeout: "5" has no unit: write 5s or 5ms
--timeout-error: "python" is not a kind of timeout error: use pyro or builtin
--circular: "" is not a way to treat circular calls: use auto, reject or allow
--correlation: "none" is not a way to treat correlation ids: use generate or preserve
--max-connections: "many" is not a whole number
--queue: "" is not a whole number
--retries: "99999999999999999999" is too large`
	var problems config.Problems
	if !errors.As(err, &problems) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if len(c.Listeners) > 0 {
		t.Error("c was changed")
	}
}
