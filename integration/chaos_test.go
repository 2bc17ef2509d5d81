package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ledgerDaemon is py/ledger_daemon.py at a port of its own, at which it can be started again.
type ledgerDaemon struct {
	*process
	lib, port, ledger, threads string
}

func startLedgerDaemon(t *testing.T, lib, threads string) *ledgerDaemon {
	t.Helper()
	_, port, _ := strings.Cut(freeAddress(t), ":")
	d := &ledgerDaemon{lib: lib, port: port, threads: threads, ledger: filepath.Join(t.TempDir(), "ledger")}
	d.start(t)
	return d
}

func (d *ledgerDaemon) address() string { return "127.0.0.1:" + d.port }

func (d *ledgerDaemon) start(t *testing.T) {
	t.Helper()
	d.process = startProcess(t, "ledger daemon "+d.port, exec.Command(python, "py/ledger_daemon.py",
		"--lib", d.lib, "--port", d.port, "--ledger", d.ledger, "--threadpool-size", d.threads), nil)
	d.line(t, d.stdout, "that it is ready", func(line string) bool { return line == "ready" })
}

// runs counts the lines of all ledgers.
func runs(t *testing.T, daemons []*ledgerDaemon) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, d := range daemons {
		b, err := os.ReadFile(d.ledger)
		if err != nil {
			t.Fatal(err)
		}
		for id := range strings.Lines(string(b)) {
			counts[strings.TrimSpace(id)]++
		}
	}
	return counts
}

// caller is py/caller.py.
type caller struct{ *process }

type callerReport struct {
	Answered []string
	Failed   [][2]string // id and exception class
}

func startCaller(t *testing.T, lib, location, name string, clients int) *caller {
	t.Helper()
	c := &caller{startProcess(t, "caller "+name, exec.Command(python, "py/caller.py",
		"--lib", lib, "--location", location, "--name", name, "--clients", strconv.Itoa(clients)), nil)}
	c.line(t, c.stdout, "that it is calling", func(line string) bool { return line == "calling" })
	return c
}

// report ends the calling and returns what became of every call.
func (c *caller) report(t *testing.T) callerReport {
	t.Helper()
	if err := c.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	var r callerReport
	c.line(t, c.stdout, "its report", func(line string) bool {
		return strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &r) == nil
	})
	c.exitCode(t)
	return r
}

// freeAddress returns an address of this machine on which nobody listens at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestChaos kills daemons, stops and continues them, and starts them again at once, one after
// the other, while 64 clients call. Every call that was answered ran once, and none ran twice.
// A call may fail only where its bytes had reached a daemon that was killed.
func TestChaos(t *testing.T) {
	for _, c := range []struct{ lib, mode, threads string }{
		{"pyro5", "call", "4"}, {"pyro4", "call", "4"}, {"pyro5", "session", "80"}, {"pyro4", "session", "80"},
	} {
		t.Run(c.lib+"/"+c.mode, func(t *testing.T) { chaos(t, c.lib, c.mode, c.threads) })
	}
}

// chaosRounds is how many times each of three daemons is disturbed.
const chaosRounds = 3

func chaos(t *testing.T, lib, mode, threads string) {
	var daemons []*ledgerDaemon
	var static []string
	for range 3 {
		d := startLedgerDaemon(t, lib, threads)
		daemons = append(daemons, d)
		static = append(static, strconv.Quote(d.address()))
	}
	limit := 0
	if mode == "call" {
		limit = 4
	}
	dispatcher := startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: all, cluster: all, mode: %s}]
clusters:
  - name: all
    static: [%s]
    max_connections: %d
    idle_timeout: 2s
    ghost_timeout: 2s
    health_check: {interval: 1s, timeout: 1s}
    breaker: {open: 500ms}
    outlier: {ejection: 500ms}
    slow_start: 1s
`, mode, strings.Join(static, ", "), limit))
	_, files := dispatcher.descriptors(t)

	var callers []*caller
	for i := range 4 {
		callers = append(callers, startCaller(t, lib, dispatcher.location, fmt.Sprintf("c%d", i), 16))
	}
	answered := func() float64 {
		return dispatcher.metrics(t)[`pyro_dispatch_calls_total{cluster="all",outcome="ok",route="all"}`]
	}
	// Calls go on: what has been done to a daemon has reached those who call it.
	progress := func() {
		t.Helper()
		before := answered()
		eventually(t, "calls are answered", func() bool { return answered() >= before+200 })
	}
	kills := 0
	for round := range chaosRounds * len(daemons) {
		d := daemons[round%len(daemons)]
		progress()
		switch round / len(daemons) % 3 {
		case 0: // gone for a while
			d.kill(t)
			kills++
			progress()
			d.start(t)
		case 1: // frozen
			d.signal(t, syscall.SIGSTOP)
			time.AfterFunc(time.Second, func() { d.cmd.Process.Signal(syscall.SIGCONT) })
			if mode == "call" {
				progress()
			}
			eventually(t, "it goes on", func() bool { return !stopped(t, d.process) })
		case 2: // flapping
			for range 3 {
				d.kill(t)
				kills++
				d.start(t)
			}
		}
	}
	progress()

	var answers, failures int
	var reports []callerReport
	for _, c := range callers {
		reports = append(reports, c.report(t))
	}
	counts := runs(t, daemons)
	for _, r := range reports {
		answers += len(r.Answered)
		failures += len(r.Failed)
		for _, id := range r.Answered {
			if counts[id] != 1 {
				t.Errorf("call %s was answered and ran %d times", id, counts[id])
			}
		}
		for _, f := range r.Failed {
			if counts[f[0]] > 1 {
				t.Errorf("call %s failed and ran %d times", f[0], counts[f[0]])
			}
			if !strings.HasSuffix(f[1], ".ConnectionClosedError") {
				t.Errorf("call %s failed with %s", f[0], f[1])
			}
		}
	}
	// In flight at a kill are at most as many calls as there are connections that may have one.
	most := 64 * kills
	if mode == "call" {
		most = limit * kills
	}
	if failures > most {
		t.Errorf("%d calls failed, of which %d can have reached a daemon that was killed", failures, most)
	}
	t.Logf("%d calls answered, %d failed at %d kills (at most %d may have)", answers, failures, kills, most)

	eventually(t, "nothing is open", func() bool {
		m := dispatcher.metrics(t)
		for _, gauge := range []string{"sessions", "calls_in_flight", "endpoint_connections", "endpoint_leases",
			"endpoint_ghosts", "endpoint_pinned", "queue_length", "buffer_memory_bytes"} {
			if sum(m, "pyro_dispatch_"+gauge) != 0 {
				return false
			}
		}
		return true
	})
	eventually(t, "no descriptor is left", func() bool {
		_, now := dispatcher.descriptors(t)
		return len(now) <= len(files)+1 // the poller's of parked sessions is made at the first use
	})
}

// stopped reports whether a process is stopped by a signal.
func stopped(t *testing.T, p *process) bool {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "T")
}
