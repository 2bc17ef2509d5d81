package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest/otlp"
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

// TestLateCalls has calls take too long in every serializer: each is raised as the class that
// was asked for, keeps or drops the connection as that class does, and disturbs no other call.
func TestLateCalls(t *testing.T) {
	t.Setenv("DISPATCH_CORRELATION", "generate")
	for lib, serializers := range map[string][]string{
		"pyro4": {"serpent", "json", "marshal", "pickle", "dill", "msgpack", "cloudpickle"},
		"pyro5": {"serpent", "json", "marshal", "msgpack"},
	} {
		tier := startTier(t, lib, "thread", "tier", "")
		for _, mode := range []string{"session", "call"} {
			for _, class := range []string{"pyro", "builtin"} {
				d := runDispatcher(t, dispatcher, "--listen", "127.0.0.1:0", "--admin=", "--backend", tier.backend(),
					"--mode", mode, "--timeout", "1s", "--timeout-error", class)
				var running sync.WaitGroup
				for _, serializer := range serializers {
					for _, nested := range []string{"root", "nested"} {
						running.Go(func() {
							got := lateCall(t, lib, d.location, serializer, nested)
							want := "builtins.TimeoutError"
							if class == "pyro" && nested == "root" {
								want = "Pyro" + lib[4:] + ".errors.TimeoutError"
							}
							kept := strings.HasPrefix(want, "builtins")
							if got.Class != want || got.Kept != kept || got.Next.Value != 0.0 {
								t.Errorf("%s %s %s %s %s: %+v, want %s", lib, mode, class, serializer, nested, got, want)
							}
							if !strings.Contains(got.Text, "route default") || !strings.Contains(got.Text, tier.backend()) || !strings.Contains(got.Text, "correlation id ") {
								t.Errorf("it reads %q", got.Text)
							}
						})
					}
				}
				running.Wait()
			}
		}
	}
}

// late is what py/late.py prints.
type late struct {
	Class, Text string
	Kept        bool
	Next        struct {
		Value       any
		Class, Text string
	}
}

func lateCall(t *testing.T, lib, location, serializer, nested string) (got late) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "py/late.py", lib, location, serializer, nested, "1.4").Output()
	if err != nil {
		t.Errorf("%s %s: %v", lib, serializer, err)
	} else if err := json.Unmarshal(out, &got); err != nil {
		t.Errorf("%q: %v", out, err)
	}
	return got
}

// TestFrozenTier has a root call A, A call B, and so on, and the last of them frozen: the
// innermost call fails first, every tier hears of it, only the frozen one is blamed, and one
// trace tells it all.
func TestFrozenTier(t *testing.T) {
	t.Setenv("DISPATCH_CORRELATION", "generate")
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, mode := range []string{"session", "call"} {
			t.Run(lib+"/"+mode, func(t *testing.T) {
				collector := otlp.Start(t)
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.HTTP())
				t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
				names := []string{"R", "A", "B", "C"}
				all := startTiers(t, lib, "thread", "defaults: {timeout: 2s}", mode, names...)
				p := startRemote(t, lib).open(t, all.d.location, "R")
				if got := fmt.Sprint(p.call(t, "go", 3, all.d.location)); got != "[R A B C]" {
					t.Fatalf("in a line: %s", got)
				}
				awaitTrace(t, collector, names)
				frozen := all.nodes["C"]
				frozen.signal(t, syscall.SIGSTOP)
				for i := range 6 { // enough for a breaker to open, if they counted
					got := p.start(t, "go", 3, all.d.location).wait(t)
					t.Logf("the root got %s: %s", got.Exception, got.Message)
					// Of a client that is not connected to C yet the CONNECT is not answered; then it is
					// B's call that runs out of time first.
					named := strings.Contains(got.Message, "route C,") || strings.Contains(got.Message, "route B,") && (mode == "session" || i > 0)
					if !strings.HasSuffix(got.Exception, "TimeoutError") || strings.HasPrefix(got.Exception, "Pyro") || !named {
						t.Errorf("the root got %+v", got)
					}
				}
				for _, name := range names[:3] {
					if s := all.d.state(t, name, all.nodes[name].backend()); s != "up" {
						t.Errorf("%s is %s", name, s)
					}
				}
				frozen.signal(t, syscall.SIGCONT)
				eventually(t, "it works again", func() bool {
					return fmt.Sprint(p.start(t, "go", 3, all.d.location).wait(t).Value) == "[R A B C]"
				})
			})
		}
	}
}

// awaitTrace waits for the spans of one call from tier to tier: one trace, in which each is the
// child of the one before.
func awaitTrace(t *testing.T, c *otlp.Collector, names []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var calls []otlp.Span
	_, err := c.Wait(ctx, func(spans []otlp.Span) bool {
		calls = slices.DeleteFunc(slices.Clone(spans), func(s otlp.Span) bool { return !strings.HasPrefix(s.Name, "pyro.call ") })
		return len(calls) >= len(names)
	})
	if err != nil {
		t.Fatalf("%v; there are %+v", err, calls)
	}
	parent := ""
	for _, name := range names {
		i := slices.IndexFunc(calls, func(s otlp.Span) bool { return s.Name == "pyro.call "+name })
		if i < 0 {
			t.Fatalf("no span of %s in %+v", name, calls)
		}
		if id := calls[i].Parent; parent != "" && id != parent {
			t.Errorf("%s is a child of %s, not of %s", name, id, parent)
		}
		if calls[i].TraceID != calls[0].TraceID {
			t.Errorf("%s is in another trace", name)
		}
		parent = calls[i].SpanID
	}
}
