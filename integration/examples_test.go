package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The tests here run the examples that come with Pyro, as they are, through a dispatcher.

// exampleOf returns the path of a script among the examples of a library.
func exampleOf(t *testing.T, lib, example, script string) string {
	t.Helper()
	return filepath.Join(sourcesOf(t, lib), "examples", example, script)
}

// TestExampleCircular has A call B, B call C and C call A. With threads the circle is served;
// multiplexing daemons would wait for themselves for ever, and the client learns which do.
func TestExampleCircular(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, servertype := range []string{"thread", "multiplex"} {
			for _, mode := range []string{"session", "call"} {
				t.Run(lib+"/"+servertype+"/"+mode, func(t *testing.T) {
					s := openScene(t, lib, "PYRO_SERVERTYPE="+servertype)
					names := []string{"example.chain.A", "example.chain.B", "example.chain.C"}
					for _, script := range []string{"servA.py", "servB.py", "servC.py"} {
						s.run(t, exampleOf(t, lib, "circular", script))
					}
					s.await(t, names...)
					s.dispatch(t, mode, "--timeout", "20s", "--circular", "auto", "--correlation", "generate")
					var circle []string
					for _, name := range append(names, names[0]) {
						address := s.members[name].Location
						eventually(t, "the dispatcher knows what "+name+" is", func() bool {
							return serverTypes(t, s.d, name)[address] == servertype
						})
						circle = append(circle, address)
					}
					rejection := "circular call: " + strings.Join(circle, " → ")
					circular(t, s, servertype, rejection, false)
					action := map[string]string{"thread": "passed", "multiplex": "rejected"}[servertype]
					if n := sumOfAction(s.d.metrics(t), action); n != 1 {
						t.Errorf("%v circles were %s", n, action)
					}
					if lib == "pyro5" && servertype == "thread" && mode == "session" {
						return // the servers' proxies belong to the threads that served the first client
					}
					// Again, with proxies that are connected and nothing left of the first time, but for
					// C's connection to A in mode session: it ended with the rejection, as C may hear only
					// now.
					circular(t, s, servertype, rejection, mode == "session")
					circular(t, s, servertype, rejection, false)
				})
			}
		}
	}
}

// circular runs the client of the circular example once. The servers may be told that a
// connection of theirs has ended.
func circular(t *testing.T, s *scene, servertype, rejection string, closed bool) {
	t.Helper()
	p := s.run(t, exampleOf(t, s.lib, "circular", "client.py"))
	got := ended(t, p)
	t.Logf("%.1f ms from the first line of the client to its last: %s", 1000*got.Seconds, got.Text)
	if servertype == "thread" {
		const want = "Result=['passed on from A', 'passed on from B', 'passed on from C', 'complete at A']"
		if got.Exception != "" || !strings.Contains(p.stdout.String(), want) {
			t.Errorf("got %+v, want %s", got, want)
		}
		return
	}
	if closed && strings.HasSuffix(got.Exception, ".errors.ConnectionClosedError") {
		return
	}
	if !strings.HasSuffix(got.Exception, ".errors.PyroError") || !strings.Contains(got.Text, rejection) {
		t.Errorf("got %+v, want %s", got, rejection)
	}
	if got.Seconds > 10 { // of 20, after which the call would have ended anyway
		t.Errorf("it took %v s to find the circle", got.Seconds)
	}
}

// sumOfAction is the number of circles with which that was done.
func sumOfAction(metrics map[string]float64, action string) (total float64) {
	for name, n := range metrics {
		if strings.HasPrefix(name, "pyro_dispatch_circles_total{") && strings.Contains(name, fmt.Sprintf("action=%q", action)) {
			total += n
		}
	}
	return total
}

// TestExampleDeadlock has a server call back a client that waits with its only proxy locked.
// The dispatcher's timeout ends that.
func TestExampleDeadlock(t *testing.T) {
	for _, mode := range []string{"session", "call"} {
		for _, servertype := range []string{"thread", "multiplex"} {
			t.Run(mode+"/"+servertype, func(t *testing.T) {
				t.Parallel() // they wait
				s := openScene(t, "pyro4", "PYRO_SERVERTYPE="+servertype)
				s.run(t, exampleOf(t, "pyro4", "deadlock", "server.py"))
				s.await(t, "example.deadlock")
				s.dispatch(t, mode, "--timeout", "2s", "--correlation", "generate")
				got := ended(t, s.run(t, exampleOf(t, "pyro4", "deadlock", "client.py")))
				t.Logf("after %.2f s: %s", got.Seconds, got.Text)
				if got.Exception != "Pyro4.errors.TimeoutError" || !strings.Contains(got.Text, "route example.deadlock") {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
}

// TestDeadlock5 is the same with Pyro5, in whose client it is a lock of the program's own. The
// callback goes through the dispatcher too, so that it is the first to fail.
func TestDeadlock5(t *testing.T) {
	for _, mode := range []string{"session", "call"} {
		for _, servertype := range []string{"thread", "multiplex"} {
			t.Run(mode+"/"+servertype, func(t *testing.T) {
				t.Parallel() // they wait
				s := openScene(t, "pyro5", "PYRO_SERVERTYPE="+servertype)
				s.run(t, "py/deadlock_server.py")
				s.await(t, "example.deadlock")
				client := s.run(t, "py/deadlock_client.py")
				s.await(t, "example.deadlock.callback")
				s.dispatch(t, mode, "--timeout", "2s", "--correlation", "generate")
				got := ended(t, client)
				t.Logf("after %.2f s: %s", got.Seconds, got.Text)
				if got.Exception != "builtins.TimeoutError" || !strings.Contains(got.Text, "route example.deadlock.callback") {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
}

// TestExampleTimeout has calls end by the client's own COMMTIMEOUT, and not before. The example's
// last call is to a daemon that never answers, with no timeout at all: without a dispatcher it
// hangs.
func TestExampleTimeout(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, mode := range []string{"session", "call"} {
			t.Run(lib+"/"+mode, func(t *testing.T) {
				t.Parallel() // they wait
				s := openScene(t, lib)
				s.run(t, exampleOf(t, lib, "timeout", "server.py"))
				s.await(t, "example.timeout", "example.timeout.frozendaemon")
				s.dispatch(t, mode, "--timeout", "30s")
				timeouts(t, s)
			})
		}
	}
}

// timeouts runs the client of the timeout example. It measures how long things take, to a fifth
// of a second, so that a machine at its limits may need another attempt.
func timeouts(t *testing.T, s *scene) {
	t.Helper()
	for attempt := 1; ; attempt++ {
		p := s.run(t, exampleOf(t, s.lib, "timeout", "client.py"))
		began := time.Now()
		got := ended(t, p)
		t.Logf("after %v: %s: %s", time.Since(began).Round(time.Millisecond), got.Exception, got.Text)
		if got.Exception == "builtins.AssertionError" && strings.Contains(got.Text, "duration") && attempt < 5 {
			continue
		}
		printed := p.stdout.String()
		if strings.Count(printed, "TimeoutError! As expected!") != 3 || !strings.Contains(printed, "This may take forever now.") ||
			strings.Contains(printed, "!?") || !strings.HasSuffix(got.Exception, ".errors.CommunicationError") {
			t.Errorf("it ended with %+v, and printed\n%s", got, printed)
		}
		return
	}
}
