package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest/otlp"
)

// keptCalls of the calls that end at the frozen tier are made on connections that are kept,
// the others, enough for a breaker to open, on new ones.
const keptCalls, newCalls = 2, 6

// TestFrozenTierAccounts has R call A, A call B and B call C, with C frozen. Each tier hears of
// C's timeout in its own time, in one trace; C alone is blamed, also where the tiers hear of it by
// the end of a connection; and when it is back, nothing is left of all that.
func TestFrozenTierAccounts(t *testing.T) {
	t.Setenv("DISPATCH_CORRELATION", "generate")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, mode := range []string{"session", "call"} {
			t.Run(lib+"/"+mode, func(t *testing.T) {
				collector := otlp.Start(t)
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.HTTP())
				f := startFrozenTiers(t, lib, mode)
				if got := fmt.Sprint(f.root.call(t, "go_on", 3, f.d.location)); got != "[R A B C]" {
					t.Fatalf("in a line: %s", got)
				}

				frozen := f.nodes["C"]
				freeze(t, frozen)
				defer frozen.signal(t, syscall.SIGCONT) // it has to leave
				for i := range keptCalls {
					told := f.root.start(t, "go_on", 3, f.d.location).wait(t)
					want := "builtins.TimeoutError"
					if mode == "call" && i > 0 { // C's connection was given up, and no other can be made
						want = "Pyro" + lib[4:] + ".errors.PyroError"
					}
					heard(t, f, i, told, want, collector)
				}
				for range newCalls {
					if told := f.root.start(t, "go", 3, f.d.location).wait(t); told.Exception == "" {
						t.Errorf("a call to a frozen daemon gave %v", told.Value)
					} else {
						t.Logf("a call on new connections: %s: %s", told.Exception, told.Message)
					}
				}
				blamed(t, f)

				frozen.signal(t, syscall.SIGCONT)
				for _, method := range []string{"go_on", "go"} {
					eventually(t, "calls reach C again", func() bool {
						return fmt.Sprint(f.root.start(t, method, 3, f.d.location).wait(t).Value) == "[R A B C]"
					})
				}
				f.hangUp(t)
				atRest(t, f.d)
			})
		}
	}
}

// freeze stops all threads of a daemon. The signal alone does not say when that has happened.
func freeze(t *testing.T, d *daemon) {
	t.Helper()
	d.signal(t, syscall.SIGSTOP)
	eventually(t, "every thread has stopped", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			return false
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			if _, state, found := strings.Cut(string(stat), ") "); err != nil || !found || state[0] != 'T' {
				return false
			}
		}
		return true
	})
}

// frozenTiers are tiers with a client that calls the first.
type frozenTiers struct {
	*tiers
	names []string
	root  *proxy
}

func startFrozenTiers(t *testing.T, lib, mode string) *frozenTiers {
	t.Helper()
	f := &frozenTiers{names: []string{"R", "A", "B", "C"}, tiers: &tiers{nodes: map[string]*daemon{}}}
	routes, clusters := "routes:\n", "clusters:\n"
	for i, name := range f.names {
		node := startTier(t, lib, "thread", name, f.names[(i+1)%len(f.names)])
		f.nodes[name] = node
		routes += fmt.Sprintf("- {name: %[1]s, match: {object: %[1]s}, cluster: %[1]s, mode: %[2]s, timeout: 3s}\n", name, mode)
		clusters += fmt.Sprintf("- {name: %s, static: [%q], connect_timeout: 1s}\n", name, node.backend())
	}
	f.d = startConfigured(t, "admin: {address: \"127.0.0.1:0\"}\nlisteners: [{address: \"127.0.0.1:0\"}]\n"+routes+clusters)
	f.root = startRemote(t, lib).open(t, f.d.location, "R")
	return f
}

// hangUp has all that made calls give up their connections.
func (f *frozenTiers) hangUp(t *testing.T) {
	t.Helper()
	for _, name := range f.names {
		f.direct(t, name).call(t, "hang_up")
	}
	f.root.do(t, "release", nil).value(t)
}

// direct is a proxy for a tier's object that does not go through the dispatcher.
func (f *frozenTiers) direct(t *testing.T, name string) *proxy {
	t.Helper()
	node := f.nodes[name]
	return startRemote(t, node.lib).open(t, node.location, name)
}

// failure is what a tier heard of a call of its own.
type failure struct {
	Class, Text, Correlation string
	Seconds                  float64
}

// failures are those of a tier, in order.
func (f *frozenTiers) failures(t *testing.T, name string) (all []failure) {
	t.Helper()
	raw, err := json.Marshal(f.direct(t, name).call(t, "failures"))
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// heard checks what the client, the tiers and the trace say of call i, which failed.
func heard(t *testing.T, f *frozenTiers, i int, told answer, class string, collector *otlp.Collector) {
	t.Helper()
	if told.Exception != class || !strings.Contains(told.Message, "route C,") {
		t.Errorf("call %d: the client got %+v, want %s", i, told, class)
	}
	if endpoint := f.nodes["C"].backend(); i == 0 && !strings.Contains(told.Message, endpoint) {
		t.Errorf("call %d: the client got %+v, which does not name %s", i, told, endpoint)
	}
	inner, correlation := 0.0, ""
	for _, name := range []string{"B", "A", "R"} { // from the innermost call to the outermost
		all := f.failures(t, name)
		if len(all) != i+1 {
			t.Fatalf("call %d: %s heard of %d failures: %+v", i, name, len(all), all)
		}
		got := all[i]
		t.Logf("call %d: %s got %s after %.3f s: %s", i, name, got.Class, got.Seconds, got.Text)
		if correlation == "" {
			correlation = got.Correlation
		}
		if got.Class != class || got.Text != told.Message || got.Correlation != correlation || !strings.Contains(got.Text, correlation) {
			t.Errorf("call %d: %s heard %+v", i, name, got)
		}
		if got.Seconds <= inner {
			t.Errorf("call %d: %s waited for %v s, and the tier behind it for %v", i, name, got.Seconds, inner)
		}
		inner = got.Seconds
	}
	outcome := "timeout"
	if class != "builtins.TimeoutError" {
		outcome = "no_endpoint"
	}
	traced(t, f, collector, correlation, outcome)
}

// traced waits for the trace of a call that failed, and checks that it tells what became of it
// at every tier: at the last the given outcome, and at the others an exception.
func traced(t *testing.T, f *frozenTiers, collector *otlp.Collector, correlation, last string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var calls []otlp.Span
	_, err := collector.Wait(ctx, func(spans []otlp.Span) bool {
		calls = slices.DeleteFunc(slices.Clone(spans), func(s otlp.Span) bool {
			return s.TraceID != strings.ReplaceAll(correlation, "-", "") || !strings.HasPrefix(s.Name, "pyro.call ")
		})
		return len(calls) >= len(f.names)
	})
	if err != nil || len(calls) != len(f.names) {
		t.Fatalf("of %s there are %+v, %v", correlation, calls, err)
	}
	slices.SortFunc(calls, func(a, b otlp.Span) int { return a.Start.Compare(b.Start) })
	for i, name := range f.names {
		s := calls[i]
		outcome, status := "exception", "UNSET"
		if name == "C" {
			outcome, status = last, "ERROR"
		}
		if s.Name != "pyro.call "+name || s.Attributes["pyro.outcome"] != outcome || s.Status != status {
			t.Errorf("the span of %s is %+v", name, s)
		}
		if i == 0 && s.Parent != "" {
			t.Errorf("the span of %s has the parent %s", name, s.Parent)
		}
		if i > 0 && (s.Parent != calls[i-1].SpanID || s.End.After(calls[i-1].End)) {
			t.Errorf("the span of %s is not within the one before: %+v, %+v", name, s, calls[i-1])
		}
	}
}

// blamed checks that the breaker and the outlier detection hold the failures against C alone.
func blamed(t *testing.T, f *frozenTiers) {
	t.Helper()
	m := f.d.metrics(t)
	if m[`pyro_dispatch_calls_total{cluster="C",outcome="timeout",route="C"}`] == 0 {
		t.Error("no call to C is counted as having run out of time")
	}
	for _, name := range f.names {
		address := f.nodes[name].backend()
		where := fmt.Sprintf("{cluster=%q,endpoint=%q", name, address)
		held := m["pyro_dispatch_endpoint_breaker_transitions_total"+where+`,state="open"}`] +
			m["pyro_dispatch_endpoint_ejections_total"+where+"}"] +
			m[fmt.Sprintf("pyro_dispatch_ejections_refused_total{cluster=%q}", name)]
		if state := f.d.state(t, name, address); name != "C" && (held != 0 || state != "up") {
			t.Errorf("%s, which is well, is %s; %v failures too many", name, state, held)
		}
		if name == "C" && held == 0 {
			t.Error("nothing is held against C")
		}
	}
}

// atRest waits until nothing is open, under way or remembered any more.
func atRest(t *testing.T, d *running) {
	t.Helper()
	gauges := []string{
		"sessions", "calls_in_flight", "calls_tracked", "endpoint_ghosts", "endpoint_leases", "queue_length",
		"endpoint_pinned", "buffer_memory_bytes",
	}
	left := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		m := d.metrics(t)
		left = ""
		for _, g := range gauges {
			if n := sum(m, "pyro_dispatch_"+g); n != 0 {
				left += fmt.Sprintf(" %s %v", g, n)
			}
		}
		if left == "" {
			return
		}
	}
	t.Errorf("in the end there are still%s", left)
}
