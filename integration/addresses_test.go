package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// shortDir returns a directory whose path leaves room for a socket's name: a Unix socket
// address has some hundred bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestIPv6(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			server := startDaemon(t, lib, "--host", "::1")
			d := runDispatcher(t, dispatcher, "--listen", "[::1]:0", "--backend", server.backend(), "--admin=")
			compare(t, lib, server.location, d.location)
		})
	}
}

func TestUnixSockets(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			dir := shortDir(t)
			server := startDaemon(t, lib, "--unixsocket", filepath.Join(dir, "daemon.sock"))
			d := runDispatcher(t, dispatcher, "--listen", "unix:"+filepath.Join(dir, "listener.sock"),
				"--backend", server.backend(), "--admin=")
			compare(t, lib, server.location, d.location)
		})
	}
}

// TestMixedAddresses has a listener and a daemon of different families.
func TestMixedAddresses(t *testing.T) {
	dir := shortDir(t)
	four := startDaemon(t, "pyro5", "--name", "ipv4")
	six := startDaemon(t, "pyro5", "--name", "ipv6", "--host", "::1")
	unix := startDaemon(t, "pyro5", "--name", "unix", "--unixsocket", filepath.Join(dir, "daemon.sock"))
	r := startRemote(t, "pyro5")
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0", "unix:" + filepath.Join(dir, "listener.sock")} {
		d := runDispatcher(t, dispatcher, "--listen", listen, "--backend", four.backend(), "--backend", six.backend(),
			"--backend", unix.backend(), "--admin=")
		got := connections(t, r, d.location, 15)
		if got["ipv4"] == 0 || got["ipv6"] == 0 || got["unix"] == 0 {
			t.Errorf("connections from %s: %s", listen, fmt.Sprint(got))
		}
	}
}
