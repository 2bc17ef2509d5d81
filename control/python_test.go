package control_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
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

// realDaemon starts testdata/daemon.py, and gives its address.
func realDaemon(t *testing.T, args ...string) string {
	t.Helper()
	python := interpreter(t)
	cmd := exec.CommandContext(t.Context(), python, append([]string{"testdata/daemon.py"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // ends by its input or by the test's context; how does not matter
		if t.Failed() {
			t.Logf("the daemon said: %s", &complaints)
		}
	})
	location, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(location)
}

// The client calls real daemons of both libraries, in every serializer.
func TestClientOfRealDaemons(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		d    wire.Dialect
		key  string
	}{
		"Pyro4": {[]string{"Pyro4"}, wire.V48, ""}, "Pyro5": {[]string{"Pyro5"}, wire.V502, ""},
		"Pyro4 signed": {[]string{"Pyro4", "secret"}, wire.V48, "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			address := realDaemon(t, test.args...)
			for _, s := range []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Msgpack} {
				cfg := control.ClientConfig{Address: address, Object: "lab", Serializer: s, HMACKey: []byte(test.key)}
				c, err := control.Dial(t.Context(), cfg)
				if err != nil {
					t.Fatalf("%s: %v", s, err)
				}
				defer c.Close()
				wantEqual(t, "dialect", c.Dialect(), test.d)
				call := func(method string, args ...values.Value) (values.Value, error) {
					return c.Call(t.Context(), method, args, nil)
				}
				v, err := c.Call(t.Context(), "echo", []values.Value{int64(1), "grün", nil}, values.Dict{{Key: "k", Value: 1.5}})
				if err != nil {
					t.Fatalf("%s: %v", s, err)
				}
				wantEqual(t, s.String(), flat(v), values.Value(values.List{
					values.List{int64(1), "grün", nil}, values.Dict{{Key: "k", Value: 1.5}},
				}))
				var e *values.Exception
				if _, err := call("naming"); !errors.As(err, &e) || e.Class != "errors.NamingError" || e.Args[0] != "unknown name: x" {
					t.Errorf("%s: %v", s, err)
				}
				if _, err := call("key"); !errors.As(err, &e) || e.Class != "builtins.KeyError" {
					t.Errorf("%s: %v", s, err)
				}
				if v, err := call("uri"); err != nil || fmt.Sprint(v) != "PYRO:thing@[::1]:4711" {
					t.Errorf("%s: %v %v", s, v, err)
				}
				for _, on := range []bool{true, false} {
					if _, err := call("compress", on); err != nil {
						t.Errorf("%s: %v", s, err)
					}
					if v, err := call("big", int64(300_000)); err != nil || v != strings.Repeat("x", 300_000) {
						t.Errorf("%s: %.20v %v", s, v, err)
					}
				}
				if v, err := c.CallObject(t.Context(), "Pyro.Daemon", "ping", nil, nil); v != nil || err != nil {
					t.Errorf("%s: %v %v", s, v, err)
				}
				cfg.Object = "nobody"
				var refused *control.RefusedError
				if _, err := control.Dial(t.Context(), cfg); !errors.As(err, &refused) || refused.Text != "unknown object" {
					t.Errorf("%s: %v", s, err)
				}
			}
		})
	}
}

// Real daemons refuse as we do.
func TestRealRefusals(t *testing.T) {
	daemons := map[wire.Dialect]string{wire.V48: realDaemon(t, "Pyro4"), wire.V502: realDaemon(t, "Pyro5")}
	for _, test := range refusals() {
		if test.ours {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", daemons[test.d])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			f := form{test.d, wire.Serpent}
			wantRefused(t, &peer{
				Client: pyrotest.NewClient(conn, pyrotest.Client{Dialect: test.d, Timeout: 10 * time.Second}),
				t:      t, form: f, codec: f.codec(t),
			}, test)
		})
	}
}
