package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// load is clients that call all the time, py/consul_load.py.
type load struct {
	*process
	asked int
}

// made is what became of the calls of a group of clients.
type made struct {
	Calls    int
	Failed   int
	Failures []string           // the first
	Longest  float64            // of those that did not fail, in seconds
	Daemons  map[string]int     // calls by the name of the daemon, since the count began anew
	First    map[string]float64 // when each answered first, in seconds since 1970
}

// Groups of the clients of one load: in mode call they call lab.worker and keep connected, in
// mode session other.worker, and connect again after some calls.
const (
	inCalls    = "call:lab.worker:4:0"
	inSessions = "session:other.worker:4:20"
)

// startLoad starts clients of "pyro4" or "pyro5", in groups as py/consul_load.py has them. None
// of their calls may have failed by the end of the test.
func startLoad(t *testing.T, lib, location string, groups ...string) *load {
	t.Helper()
	args := append([]string{"py/consul_load.py", "--lib", lib, "--location", location}, groups...)
	l := &load{process: startProcess(t, lib+" load", exec.Command(python, args...), nil)}
	t.Cleanup(func() { // before that of startProcess
		if t.Failed() {
			return
		}
		calls := 0
		for name, m := range l.report(t) {
			if m.Failed > 0 {
				t.Errorf("%d calls of group %s failed: %q", m.Failed, name, m.Failures)
			}
			calls += m.Calls
			t.Logf("%s, group %s: %d calls, the longest took %.3f s, by daemon since last looked at: %v", l.name, name, m.Calls, m.Longest, m.Daemons)
		}
		if calls == 0 {
			t.Error("there was no call")
		}
	})
	l.progress(t)
	return l
}

// report tells what has become of all calls so far.
func (l *load) report(t *testing.T) map[string]made { t.Helper(); return l.ask(t, "report") }

// anew is report, and lets the counts of daemons begin anew.
func (l *load) anew(t *testing.T) map[string]made { t.Helper(); return l.ask(t, "again") }

func (l *load) ask(t *testing.T, what string) map[string]made {
	t.Helper()
	l.asked++
	question := what + "-" + strconv.Itoa(l.asked) + " "
	if _, err := l.stdin.Write([]byte(question + "\n")); err != nil {
		t.Fatalf("%s: %v", l.name, err)
	}
	line := l.line(t, l.stdout, "a report", func(line string) bool { return strings.HasPrefix(line, question) })
	var m map[string]made
	if err := json.Unmarshal([]byte(line[len(question):]), &m); err != nil {
		t.Fatalf("%s printed %q: %v", l.name, line, err)
	}
	return m
}

// progress waits until every group has made many more calls.
func (l *load) progress(t *testing.T) {
	t.Helper()
	const many = 50
	before := l.report(t)
	eventually(t, "there are more calls", func() bool {
		for name, m := range l.report(t) {
			if m.Failed > 0 {
				t.Fatalf("%d calls of group %s failed: %q", m.Failed, name, m.Failures)
			}
			if m.Calls < before[name].Calls+many {
				return false
			}
		}
		return true
	})
}

// reaches waits until every group has calls answered by just these daemons, and each of them
// by all groups.
func (l *load) reaches(t *testing.T, daemons ...string) {
	t.Helper()
	slices.Sort(daemons)
	var last map[string]made
	defer func() {
		if t.Failed() {
			t.Logf("last, by daemon: %v", last)
		}
	}()
	eventually(t, fmt.Sprint("calls get to ", daemons), func() bool {
		l.anew(t)
		l.progress(t)
		last = l.report(t)
		for _, m := range last {
			if !slices.Equal(slices.Sorted(maps.Keys(m.Daemons)), daemons) {
				return false
			}
		}
		return true
	})
}

// instanceOf is a service instance that is the daemon; see instance.
func instanceOf(t *testing.T, service string, d *daemon) *api.AgentServiceRegistration {
	t.Helper()
	_, port, err := net.SplitHostPort(d.location)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return instance(service, n)
}

// startNamed starts a daemon for each name, which it answers to whoami.
func startNamed(t *testing.T, lib string, names ...string) map[string]*daemon {
	t.Helper()
	daemons := map[string]*daemon{}
	for _, name := range names {
		daemons[name] = startDaemon(t, lib, "--name", name)
	}
	return daemons
}

// startOnCams runs a dispatcher that has a service's instances as its only cluster, in mode call
// for lab.worker, and in mode session for other.worker. more goes into the configuration.
func startOnCams(t *testing.T, consul, more string) *running {
	t.Helper()
	return startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes:
  - {name: calls, match: {object: lab.worker}, cluster: cams, mode: call}
  - {name: sessions, match: {object: other.worker}, cluster: cams}
clusters:
  - {name: cams, slow_start: 0s, consul: cam}
consul: {address: %q, %s}
`, consul, more))
}

// source reads a metric of one source.
func (d *running) source(t *testing.T, metric, cluster, source string) float64 {
	t.Helper()
	total := 0.0
	for name, v := range d.metrics(t) {
		if strings.HasPrefix(name, "pyro_dispatch_source_"+metric+"{") &&
			strings.Contains(name, fmt.Sprintf(`cluster=%q`, cluster)) && strings.Contains(name, fmt.Sprintf(`source=%q`, source)) {
			total += v
		}
	}
	return total
}

// lines are those of the dispatcher's log with a message.
func (d *running) lines(msg string) []string {
	var all []string
	for line := range strings.SplitSeq(d.stderr.String(), "\n") {
		var entry struct{ Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == msg {
			all = append(all, line)
		}
	}
	return all
}

// logged tells how often the dispatcher has logged a message.
func (d *running) logged(msg string) int { return len(d.lines(msg)) }

// awaitLogged waits until a message was logged more often than before.
func (d *running) awaitLogged(t *testing.T, msg string, before int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q is logged", msg), func() bool { return d.logged(msg) > before })
}

// sinceUnix is the time from a moment to one in seconds since 1970.
func sinceUnix(from time.Time, unix float64) time.Duration {
	return time.Duration(unix*float64(time.Second)) - time.Duration(from.UnixNano())
}
