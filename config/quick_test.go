package config_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

const fileForQuick = `
listeners: [{name: left, address: ":1"}]
routes: [{name: r, match: {listener: left}, cluster: c}]
clusters: [{name: c, static: ["a:1"]}]
`

func TestApplyQuick(t *testing.T) {
	for _, tt := range []struct {
		name       string
		file       string
		quick      config.Quick
		listeners  []string // name=address
		routes     []string // name=cluster
		static     []string
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
			var listeners, routes, static []string
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
			}
			if diff := cmp.Diff([][]string{tt.listeners, tt.routes, tt.static}, [][]string{listeners, routes, static}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(tt.validation, c.Validate().Error()); diff != "" {
				t.Errorf("Validate: -want +got:\n%s", diff)
			}
		})
	}
}

func TestApplyQuickRefuses(t *testing.T) {
	c := config.Default()
	err := c.ApplyQuick(config.Quick{Listen: []string{":1", "here"}, Backend: []string{""}})
	const want = `--listen: "here" has no port: write it as in here:9999
--backend: "" has no port: write it as in :9999`
	var problems config.Problems
	if !errors.As(err, &problems) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if len(c.Listeners) > 0 {
		t.Error("c was changed")
	}
}
