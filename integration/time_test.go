package integration

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// startTier starts py/tier.py.
func startTier(t *testing.T, lib, servertype, name, next string) *daemon {
	t.Helper()
	p := startProcess(t, lib+" tier "+name, exec.Command(python, "py/tier.py",
		"--lib", lib, "--servertype", servertype, "--name", name, "--next", next), nil)
	line := p.line(t, p.stdout, "its location", func(string) bool { return true })
	var ready struct{ Location string }
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		t.Fatalf("%s printed %q: %v", p.name, line, err)
	}
	return &daemon{process: p, lib: lib, location: ready.Location}
}

// tiers are daemons of which each calls the next, through one dispatcher with a cluster for
// each.
type tiers struct {
	d     *running
	nodes map[string]*daemon
}

func startTiers(t *testing.T, lib, servertype, settings, mode string, names ...string) *tiers {
	t.Helper()
	all := &tiers{nodes: map[string]*daemon{}}
	yaml := "admin: {address: \"127.0.0.1:0\"}\nlisteners: [{name: main, address: \"127.0.0.1:0\"}]\n" + settings + "\n"
	routes, clusters := "routes:\n", "clusters:\n"
	for i, name := range names {
		node := startTier(t, lib, servertype, name, names[(i+1)%len(names)])
		all.nodes[name] = node
		routes += fmt.Sprintf("- {name: %[1]s, match: {object: %[1]s}, cluster: %[1]s, mode: %[2]s}\n", name, mode)
		clusters += fmt.Sprintf("- {name: %s, static: [%q], ghost_timeout: 10s}\n", name, node.backend())
	}
	all.d = startConfigured(t, yaml+routes+clusters)
	eventually(t, "all daemons have said what they are", func() bool {
		for _, name := range names {
			if serverTypes(t, all.d, name)[all.nodes[name].backend()] != servertype {
				return false
			}
		}
		return true
	})
	return all
}

// TestCircles has A call B, B call C and C call A: daemons with threads serve that, and of
// multiplexing ones the root learns at once which circle it was.
func TestCircles(t *testing.T) {
	t.Setenv("DISPATCH_CORRELATION", "generate")
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, mode := range []string{"session", "call"} {
			for _, servertype := range []string{"thread", "multiplex"} {
				t.Run(lib+"/"+mode+"/"+servertype, func(t *testing.T) {
					all := startTiers(t, lib, servertype, "defaults: {timeout: 20s}", mode, "A", "B", "C")
					p := startRemote(t, lib).open(t, all.d.location, "A")
					if got := fmt.Sprint(p.call(t, "go", 2, all.d.location)); got != "[A B C]" {
						t.Fatalf("in a line: %s", got)
					}
					began := time.Now()
					got := p.start(t, "go", 3, all.d.location).wait(t)
					t.Logf("the circle took %v", time.Since(began).Round(100*time.Microsecond))
					var chain []string
					for _, name := range []string{"A", "B", "C", "A"} {
						chain = append(chain, all.nodes[name].backend())
					}
					want := "circular call: " + strings.Join(chain, " → ")
					switch {
					case servertype == "thread" && fmt.Sprint(got.Value) != "[A B C A]":
						t.Errorf("got %+v", got)
					case servertype == "multiplex" && (!strings.HasSuffix(got.Exception, "errors.PyroError") || !strings.Contains(got.Message, want)):
						t.Errorf("got %+v, want %q", got, want)
					}
					if got := fmt.Sprint(p.call(t, "go", 1, all.d.location)); got != "[A B]" {
						t.Errorf("afterwards: %s", got)
					}
				})
			}
		}
	}
}
