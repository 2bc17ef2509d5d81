package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// scene is a play of programs that find each other by a name server, which sends them through
// a dispatcher: it hands out the dispatcher's address for each of their daemons.
type scene struct {
	lib     string
	names   *process
	env     []string // of the programs
	d       *running
	members map[string]registration // by name
}

// registration is what a name server is told.
type registration struct{ Name, Object, Location string }

// openScene starts the name server. env is for all programs, as NAME=value.
func openScene(t *testing.T, lib string, env ...string) *scene {
	t.Helper()
	p := startProcess(t, lib+" name server", exec.Command(python, "py/nameserver.py", "--lib", lib), nil)
	line := p.line(t, p.stdout, "its location", func(string) bool { return true })
	var ready struct{ Location string }
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		t.Fatalf("%s printed %q: %v", p.name, line, err)
	}
	host, port, err := net.SplitHostPort(ready.Location)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{lib: lib, names: p, members: map[string]registration{}}
	s.env = slices.Concat(os.Environ(), []string{
		"PYRO_NS_HOST=" + host, "PYRO_NS_PORT=" + port, "PYRO_HOST=127.0.0.1",
		"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1",
	}, env)
	return s
}

// run starts a program as it is, in its own directory.
func (s *scene) run(t *testing.T, script string) *process {
	t.Helper()
	cmd := exec.Command(python, "py/example.py", script)
	cmd.Env = s.env
	return startProcess(t, s.lib+" "+filepath.Base(script), cmd, nil)
}

// await waits until each of these names is registered.
func (s *scene) await(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		var r registration
		s.names.line(t, s.names.stdout, "the registration of "+name, func(line string) bool {
			r = registration{}
			return json.Unmarshal([]byte(line), &r) == nil && r.Name == name
		})
		s.members[name] = r
	}
}

// dispatch starts a dispatcher with a cluster and a route for each name that was awaited, and
// has the name server hand out its address.
func (s *scene) dispatch(t *testing.T, mode string, flags ...string) {
	t.Helper()
	routes, clusters := "routes:\n", "clusters:\n"
	for name, m := range s.members {
		routes += fmt.Sprintf("- {name: %[1]q, match: {object: %[2]q}, cluster: %[1]q, mode: %[3]s}\n", name, m.Object, mode)
		clusters += fmt.Sprintf("- {name: %q, static: [%q]}\n", name, m.Location)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	yaml := "admin: {address: \"127.0.0.1:0\"}\nlisteners: [{address: \"127.0.0.1:0\"}]\n" + routes + clusters
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	s.d = runDispatcher(t, dispatcher, append([]string{"--config", file}, flags...)...)
	mapping := map[string]string{}
	for _, m := range s.members {
		mapping[m.Location] = s.d.location
	}
	line, err := json.Marshal(mapping)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.names.stdin.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

// ending is how a program ended: by itself, or with an exception.
type ending struct {
	Seconds         float64
	Exception, Text string
}

// ended waits until the program has ended by itself.
func ended(t *testing.T, p *process) ending {
	t.Helper()
	var last struct{ Ended *ending }
	p.line(t, p.stdout, "its end", func(line string) bool {
		last.Ended = nil
		return json.Unmarshal([]byte(line), &last) == nil && last.Ended != nil
	})
	return *last.Ended
}
