package integration

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
)

// holdThrough starts a dispatcher whose drain would take longer than the test, with a call
// in flight and an idle client. It returns the call, and a function that lets it end.
func holdThrough(t *testing.T) (d *running, held *pending, letGo func()) {
	t.Helper()
	server := startDaemon(t, "pyro5")
	d = startConfigured(t, fmt.Sprintf(`
admin: {address: ""}
drain_timeout: 10m
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: r, cluster: c}]
clusters: [{name: c, static: [%q]}]
`, server.backend()))
	r := startRemote(t, "pyro5")
	r.open(t, d.location, "lab.worker").call(t, "nothing") // and stays connected
	held = r.open(t, d.location, "lab.worker").start(t, "hold", "drain")
	side := awaitHeld(t, server, "drain")
	return d, held, func() { side.call(t, "let_go", "drain") }
}

// TestDrain asks the dispatcher to leave while a call is in flight: the call ends well, nobody
// new gets in, and the exit code is 0.
func TestDrain(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			d, held, letGo := holdThrough(t)
			d.signal(t, s)
			eventually(t, "the listener is closed", func() bool {
				conn, err := net.Dial("tcp", d.location)
				if err == nil {
					_ = conn.Close()
				}
				return err != nil
			})
			select {
			case <-d.exited:
				t.Fatal("the dispatcher left although a call was in flight")
			default:
			}
			letGo()
			if got := held.value(t); got != "let go" {
				t.Errorf("the call in flight gave %v", got)
			}
			if code := d.exitCode(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestDrainSecondSignal(t *testing.T) {
	d, held, _ := holdThrough(t)
	d.ended = true // not with exit code 0, perhaps
	d.signal(t, syscall.SIGTERM)
	eventually(t, "the listener is closed", func() bool {
		conn, err := net.Dial("tcp", d.location)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	d.signal(t, syscall.SIGTERM)
	d.exitCode(t) // although drain_timeout has not passed
	if got := held.wait(t); !strings.HasSuffix(got.Exception, ".ConnectionClosedError") {
		t.Errorf("the call in flight gave %+v", got)
	}
}
