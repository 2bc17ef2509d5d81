package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// TestShortForm: the flags make the same configuration as a file that says it at length.
func TestShortForm(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
		file  string
	}{
		{"a name server with topics, seen from outside",
			[]string{"--listen", ":9999", "--nameserver", ":9090", "--topics", "lab.topics", "--advertise", "lab.example:19999", "--state-dir", "/var/lib/x"},
			`
state_dir: /var/lib/x
listeners: [{name: main, address: ":9999", advertise: "lab.example:19999"}]
name_server: {listeners: [{name: nameserver, address: ":9090", advertise: lab.example}]}
topics: {object: lab.topics}
`},
		{"a port alone is that of the listeners",
			[]string{"--listen", ":9999", "--nameserver", ":9090", "--nameserver", "127.0.0.1:9190", "--advertise", ":19999"},
			`
listeners: [{name: main, address: ":9999", advertise: ":19999"}]
name_server: {listeners: [{name: nameserver-1, address: ":9090"}, {name: nameserver-2, address: "127.0.0.1:9190"}]}
`},
		{"topics beside daemons, in mode call",
			[]string{"--listen", ":9999", "--topics", "lab.topics", "--backend", "10.0.0.1:5555", "--mode", "call", "--max-connections", "4", "--timeout", "5s"},
			`
defaults: {timeout: 5s}
listeners: [{name: main, address: ":9999"}]
routes: [{name: default, cluster: default, mode: call}]
clusters: [{name: default, static: ["10.0.0.1:5555"], max_connections: 4}]
topics: lab.topics
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "long.yaml")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			short, long := served(t, c.flags...), served(t, "--config", path)
			if diff := cmp.Diff(long, short, cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateComparable()); diff != "" {
				t.Errorf("the short form differs (-long +short):\n%s", diff)
			}
		})
	}
}

// served is the configuration that a command line has served.
func served(t *testing.T, flags ...string) (got *config.Config) {
	t.Helper()
	var stderr bytes.Buffer
	p := thisProcess(func(_ context.Context, c *config.Config, _ *zap.Logger, _ string) error {
		got = c
		return nil
	})
	p.stdout, p.stderr = &stderr, &stderr
	p.lookupEnv = func(string) (string, bool) { return "", false }
	p.notify = func(chan<- os.Signal) {}
	if code := p.main(append([]string{"run"}, flags...)); code != exitOK || got == nil {
		t.Fatalf("%q exits with %d: %s", flags, code, &stderr)
	}
	return got
}
