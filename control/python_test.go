package control_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
)

// interpreter is the Python with both libraries that integration/venv.sh makes. That
// is not made here, since unit tests should not need a network.
func interpreter(t *testing.T) string {
	t.Helper()
	venv := os.Getenv("DISPATCH_TEST_VENV")
	if venv == "" {
		venv = filepath.Join("..", ".venv")
	}
	python, err := filepath.Abs(filepath.Join(venv, "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skipf("no Python with Pyro4 and Pyro5 (make venv): %v", err)
	}
	if out, err := exec.Command(python, "-c", "import Pyro4, Pyro5, msgpack").CombinedOutput(); err != nil {
		t.Skipf("%s lacks Pyro4, Pyro5 or msgpack: %v\n%s", python, err, out)
	}
	return python
}

// Real proxies of both libraries take us for a daemon of theirs, in every serializer.
func TestRealProxies(t *testing.T) {
	python := interpreter(t)
	for name, test := range map[string]struct {
		lib string
		key string
	}{
		"Pyro4": {"Pyro4", ""}, "Pyro5": {"Pyro5", ""}, "Pyro4 signed": {"Pyro4", "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := newLab()
			d := control.New(control.Config{
				Lookup:     func(id string) (control.Object, bool) { return served, id == "lab" },
				Registered: func() []string { return []string{"lab"} },
				HMACKey:    []byte(test.key),
			})
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan error)
			go func() { over <- d.Serve(ctx, l, "real") }()
			args := []string{"testdata/proxies.py", test.lib, l.Addr().String()}
			if test.key != "" {
				args = append(args, test.key)
			}
			if out, err := exec.CommandContext(t.Context(), python, args...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			cancel()
			if err := <-over; err != nil {
				t.Error(err)
			}
		})
	}
}
