package config_test

import (
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

func TestBounds(t *testing.T) {
	for _, test := range []struct {
		name                 string
		max, reserve, pinned int
		call                 bool
		want                 config.Bounds
	}{
		{"sessions have no limit", 0, 1, 0, false, config.Bounds{}},
		{"nor a share of one, unless it is given", 0, 1, 7, false, config.Bounds{MaxPinned: 7}},
		{"calls have one", 0, 1, 0, true, config.Bounds{MaxConnections: 32, NestedReserve: 1, MaxPinned: 16}},
		{"all are given", 10, 2, 3, true, config.Bounds{MaxConnections: 10, NestedReserve: 2, MaxPinned: 3}},
		{"a limit for sessions", 5, 1, 0, false, config.Bounds{MaxConnections: 5, NestedReserve: 1, MaxPinned: 2}},
		{"two connections", 2, 1, 0, true, config.Bounds{MaxConnections: 2, NestedReserve: 1, MaxPinned: 1}},
		{"one connection", 1, 1, 0, true, config.Bounds{MaxConnections: 1, MaxPinned: 1}},
		{"too much for the limit", 4, 9, 9, true, config.Bounds{MaxConnections: 4, NestedReserve: 3, MaxPinned: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := config.Cluster{Name: "c", MaxConnections: test.max, NestedReserve: test.reserve, MaxPinned: test.pinned}
			if got := cluster.Bounds(test.call); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			// One of several routes is enough.
			routes := []config.Route{{Cluster: "c", Mode: config.ModeSession}, {Cluster: "other", Mode: config.ModeCall}}
			if test.call {
				routes = append(routes, config.Route{Cluster: "c", Mode: config.ModeCall})
			}
			c := config.Config{Routes: routes}
			if got := c.BoundsOf(&cluster); got != test.want {
				t.Errorf("in a configuration: got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestUsesConsul(t *testing.T) {
	for doc, want := range map[string]bool{
		`{consul: {address: "127.0.0.1:1"}, clusters: [{name: c, static: ["a:1"]}]}`: false,
		`{clusters: [{name: c, static: ["a:1"]}, {name: d, consul: x}]}`:             true,
		`{consul: {discover: {tag: x}}}`:                                             true,
		`{consul: {register: {name: x}}}`:                                            true,
	} {
		c, err := config.Load("x", []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.UsesConsul(); got != want {
			t.Errorf("%s: got %t", doc, got)
		}
	}
}

func TestGiven(t *testing.T) {
	c, err := config.Load("x", []byte(`consul: {address: "127.0.0.1:8500"}`))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Given("consul.address") || c.Given("consul.token") {
		t.Error("not what the file gives")
	}
	quick, socket := config.Default(), "unix:/run/consul.sock"
	if quick.Given("consul.address") {
		t.Error("a default is given")
	}
	if err := quick.ApplyQuick(config.Quick{Consul: &socket}); err != nil || !quick.Given("consul.address") {
		t.Errorf("not what the flag gives (%v)", err)
	}
}
