package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// TestNamesWithoutStorage: where Consul is away at a start, who asks for a name is told so, and
// not that there is no such name. What needs no storage is answered.
func TestNamesWithoutStorage(t *testing.T) {
	r := startPublic(t, fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:0"}]
name_server: {listeners: [{name: ns, address: "127.0.0.1:0"}]}
topics: lab.topics
consul: {address: "127.0.0.1:%d"}
`, freePort(t)))
	c := caller(t, portOf(r.facade.listeners[0]), names.OwnName)
	for _, call := range []struct {
		method string
		args   []values.Value
		fails  bool
	}{
		{"lookup", []values.Value{"lab.cam"}, true},
		{"list", nil, true},
		{"yplookup", []values.Value{values.List{"m"}}, true},
		{"register", []values.Value{"lab.cam", "PYRO:o@192.0.2.1:1"}, true},
		{"lookup", []values.Value{"lab.topics"}, false},
		{"lookup", []values.Value{names.OwnName}, false},
	} {
		_, err := c.Call(t.Context(), call.method, call.args, nil)
		if (err != nil) != call.fails || err != nil && !strings.HasPrefix(err.Error(), "NamingError: the name server's storage is unavailable: ") {
			t.Errorf("%s%v: %v", call.method, call.args, err)
		}
	}
}
