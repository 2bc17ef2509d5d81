package integration

import (
	"fmt"
	"strings"
	"testing"
)

// TestLateReplies has every serializer's clients make calls that take too long, and then others
// at once: whoever keeps its connection is answered with its own reply, behind the late one
// that nobody gets; whoever drops it connects anew.
func TestLateReplies(t *testing.T) {
	for lib := range serializersOf {
		server := startDaemon(t, lib)
		for _, mode := range []string{"session", "call"} {
			for _, class := range []string{"pyro", "builtin"} {
				t.Run(lib+"/"+mode+"/"+class, func(t *testing.T) {
					t.Parallel() // they wait
					d := runDispatcher(t, dispatcher, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--backend", server.backend(),
						"--mode", mode, "--timeout", "1s", "--timeout-error", class, "--correlation", "generate")
					callers := callersOf(t, lib, d.location, "lab.worker")
					kept := 0
					const rounds = 2
					for round := range rounds {
						var late, next []*pending
						for _, c := range callers { // whose calls overlap
							late = append(late, c.start(t, "sleep", 1.4))
						}
						for i, c := range callers {
							want, keeps := "builtins.TimeoutError", true
							if class == "pyro" && !c.nested {
								want, keeps = "Pyro"+lib[4:]+".errors.TimeoutError", false
							}
							got := late[i].wait(t)
							if got.Exception != want {
								t.Errorf("%s: %+v, want %s", c.what, got, want)
							}
							for _, part := range []string{"route default", server.backend(), "correlation id "} {
								if !strings.Contains(got.Message, part) {
									t.Errorf("%s: no %q in %q", c.what, part, got.Message)
								}
							}
							if got := c.do(t, "connected", nil).value(t); got != keeps {
								t.Errorf("%s: with %s it is connected: %v", c.what, want, got)
							}
							if keeps {
								kept++
							}
							next = append(next, c.start(t, "echo", fmt.Sprint(c.what, round)))
						}
						for i, c := range callers {
							if got := next[i].value(t); got != fmt.Sprint(c.what, round) {
								t.Errorf("%s got %v", c.what, got)
							}
						}
					}
					eventually(t, "no ghosts are left", func() bool {
						return sum(d.metrics(t), "pyro_dispatch_endpoint_ghosts") == 0
					})
					m := d.metrics(t)
					if got := sum(m, "pyro_dispatch_late_replies_total"); mode == "session" && got != float64(kept) {
						t.Errorf("%v late replies went to nobody, want %d", got, kept)
					}
					if got, want := m[`pyro_dispatch_calls_total{cluster="default",outcome="timeout",route="default"}`], float64(rounds*len(callers)); got != want {
						t.Errorf("%v calls are counted as too late, want %v", got, want)
					}
				})
			}
		}
	}
}
