package integration

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serializers are all that each library knows.
var serializers = map[string][]string{
	"pyro4": {"serpent", "json", "marshal", "pickle", "dill", "msgpack", "cloudpickle"},
	"pyro5": {"serpent", "json", "marshal", "msgpack"},
}

// TestSameAsDirect runs every scenario of py/ directly and through the dispatcher: the results,
// exceptions and frames that the client sees must be the same.
func TestSameAsDirect(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, servertype := range []string{"thread", "multiplex"} {
			name := lib + "/" + servertype
			server := []string{"--servertype", servertype}
			t.Run(name+"/plain", func(t *testing.T) {
				t.Parallel()
				direct, through := twoWays(t, lib, server...)
				for _, s := range serializers[lib] {
					suite := "main"
					// What a large payload passes through does not depend on the server type.
					if servertype == "thread" || s == "marshal" {
						suite += ",big"
					}
					t.Run(s, func(t *testing.T) { compare(t, lib, direct, through, "--suite", suite, "--serializer", s) })
				}
			})
			// These do little but wait, so all of them run at once, on daemons of their own.
			t.Run(name+"/waiting", func(t *testing.T) {
				t.Parallel()
				suites := map[string][]string{"slow": server, "commtimeout": append(server, "--commtimeout", "1.5")}
				runs := map[string][2]*process{}
				for suite, flags := range suites {
					direct := startDaemon(t, lib, flags...)
					_, through := twoWays(t, lib, flags...)
					runs[suite] = [2]*process{
						startScenarios(t, lib, direct.location, "--suite", suite),
						startScenarios(t, lib, through, "--suite", suite),
					}
				}
				for suite, run := range runs {
					t.Run(suite, func(t *testing.T) { sameOutcomes(t, outcomes(t, run[0]), outcomes(t, run[1])) })
				}
			})
			if lib == "pyro4" {
				t.Run(name+"/hmac", func(t *testing.T) {
					t.Parallel()
					direct, through := twoWays(t, lib, append(server, "--hmac", "a key")...)
					for _, s := range []string{"serpent", "pickle"} {
						t.Run(s, func(t *testing.T) {
							compare(t, lib, direct, through, "--hmac", "a key", "--suite", "main,hmac", "--serializer", s)
						})
					}
				})
			}
		}
		// Neither does compression, which happens in the serializers.
		t.Run(lib+"/compressed", func(t *testing.T) {
			t.Parallel()
			direct, through := twoWays(t, lib, "--compress")
			for _, s := range serializers[lib] {
				t.Run(s, func(t *testing.T) { compare(t, lib, direct, through, "--compress", "--serializer", s) })
			}
		})
	}
}

// twoWays starts a daemon and a dispatcher in front of it, and returns the location of each.
func twoWays(t *testing.T, lib string, flags ...string) (direct, through string) {
	t.Helper()
	d := startDaemon(t, lib, flags...)
	return d.location, startDispatcher(t, d.backend()).location
}

// compare runs the scenarios both ways, one after the other because they share the daemon.
func compare(t *testing.T, lib, direct, through string, flags ...string) {
	t.Helper()
	want := runScenarios(t, lib, direct, flags...)
	sameOutcomes(t, want, runScenarios(t, lib, through, flags...))
}

func sameOutcomes(t *testing.T, want, got []outcome) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("the client ran no scenario")
	}
	for _, w := range want {
		t.Run(w.Scenario, func(t *testing.T) {
			if w.Unexpected != "" {
				t.Fatalf("goes wrong without a dispatcher already: %s", w.Unexpected)
			}
			for _, g := range got {
				if g.Scenario == w.Scenario {
					if diff := cmp.Diff(w, g); diff != "" {
						t.Errorf("direct (-), through the dispatcher (+):\n%s", diff)
					}
					return
				}
			}
			t.Error("not run through the dispatcher")
		})
	}
}

// outcome is a line of py/client.py.
type outcome struct {
	Scenario   string
	Result     any
	Frames     []string
	Unexpected string // what no Pyro should do, or a fault in the scenario
}

func runScenarios(t *testing.T, lib, location string, flags ...string) []outcome {
	t.Helper()
	return outcomes(t, startScenarios(t, lib, location, flags...))
}

// startScenarios starts a client that runs scenarios; outcomes waits for it.
func startScenarios(t *testing.T, lib, location string, flags ...string) *process {
	t.Helper()
	args := append([]string{"py/client.py", "--lib", lib, "--location", location}, flags...)
	return startProcess(t, lib+" client at "+location, exec.Command(python, args...), nil)
}

func outcomes(t *testing.T, p *process) []outcome {
	t.Helper()
	if code := p.exitCode(t); code != 0 {
		t.Fatalf("%s: exit code %d\n%s", p.name, code, p.stderr)
	}
	var all []outcome
	for decoder := json.NewDecoder(bytes.NewBufferString(p.stdout.String())); decoder.More(); {
		var o outcome
		if err := decoder.Decode(&o); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		all = append(all, o)
	}
	return all
}
