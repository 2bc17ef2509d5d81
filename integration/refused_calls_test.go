package integration

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// serializersOf are those of each library.
var serializersOf = map[string][]string{
	"pyro4": {"serpent", "json", "marshal", "pickle", "dill", "msgpack", "cloudpickle"},
	"pyro5": {"serpent", "json", "marshal", "msgpack"},
}

// serialCaller is a client with one serializer, whose calls bear a correlation id or do not.
type serialCaller struct {
	*proxy
	what   string
	nested bool
}

// callersOf starts two clients for each serializer of a library, and connects them.
func callersOf(t *testing.T, lib, location, object string) (all []serialCaller) {
	t.Helper()
	for _, serializer := range serializersOf[lib] {
		p := startProcess(t, lib+" client", exec.Command(python, "py/remote.py", "--lib", lib, "--serializer", serializer), nil)
		r := &remote{process: p, answers: map[int]chan answer{}}
		go r.dispatch()
		for _, nested := range []bool{false, true} {
			c := serialCaller{r.open(t, location, object), fmt.Sprintf("%s, nested: %v", serializer, nested), nested}
			if nested {
				c.do(t, "correlate", nil).value(t)
			}
			c.do(t, "bind", nil).value(t)
			all = append(all, c)
		}
	}
	return all
}

// told makes a call that is answered by the dispatcher, and checks with which class and text,
// and that the proxy has kept or dropped its connection, as it does with that class.
func (c *serialCaller) told(t *testing.T, lib, class, text, method string, args ...any) {
	t.Helper()
	got := c.start(t, method, args...).wait(t)
	if got.Exception != "Pyro"+lib[4:]+".errors."+class || !strings.Contains(got.Message, text) {
		t.Errorf("%s: %+v, want a %s that says %q", c.what, got, class, text)
	}
	if kept := c.do(t, "connected", nil).value(t); kept != (class == "PyroError") {
		t.Errorf("%s: with a %s it is connected: %v", c.what, class, kept)
	}
}

// TestRefusedCalls has calls find no endpoint, and no room, in every serializer.
func TestRefusedCalls(t *testing.T) {
	for lib := range serializersOf {
		t.Run(lib, func(t *testing.T) {
			gone, busy := startDaemon(t, lib), startDaemon(t, lib)
			d := startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
listeners: [{address: "127.0.0.1:0"}]
routes:
  - {name: to-gone, match: {object: lab.worker}, cluster: gone, mode: call}
  - {name: to-busy, cluster: busy, mode: call}
clusters:
  - {name: gone, static: [%q]}
  - {name: busy, static: [%q], max_connections: 1, nested_reserve: 0, queue: 0}
`, gone.backend(), busy.backend()))
			class := map[bool]string{false: "CommunicationError", true: "PyroError"} // by whether it is nested

			callers := callersOf(t, lib, d.location, "lab.worker")
			gone.kill(t)
			for _, c := range callers {
				c.told(t, lib, class[c.nested], "no endpoint", "whoami")
			}

			callers = callersOf(t, lib, d.location, "other.worker")
			held := startRemote(t, lib).open(t, d.location, "other.worker").start(t, "hold", "room")
			side := awaitHeld(t, busy, "room")
			for _, c := range callers {
				c.told(t, lib, class[c.nested], "queue full", "whoami")
			}
			side.call(t, "let_go", "room")
			held.value(t)
			for _, c := range callers {
				if got := c.call(t, "echo", c.what); got != c.what {
					t.Errorf("when there is room again, %s got %v", c.what, got)
				}
			}
		})
	}
}

// TestTooLargeCalls has calls be larger than they may, in every serializer: nothing else happens
// to their clients.
func TestTooLargeCalls(t *testing.T) {
	for lib := range serializersOf {
		server := startDaemon(t, lib)
		for _, mode := range []string{"session", "call"} {
			t.Run(lib+"/"+mode, func(t *testing.T) {
				d := startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
listeners: [{address: "127.0.0.1:0"}]
limits: {max_message_size: 100KiB, max_handshake: 100KiB, store_and_forward: 64KiB}
routes: [{name: small, cluster: all, mode: %s}]
clusters: [{name: all, static: [%q]}]
`, mode, server.backend()))
				for _, c := range callersOf(t, lib, d.location, "lab.worker") {
					for range 2 {
						c.told(t, lib, "PyroError", "too large", "echo", strings.Repeat("x", 150<<10))
						if got := c.call(t, "echo", c.what); got != c.what {
							t.Errorf("afterwards %s got %v", c.what, got)
						}
					}
				}
			})
		}
	}
}
