package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// running is a dispatcher at work.
type running struct {
	*process
	location string // of its (first) listener, as in a Pyro URI
	admin    string // address of the admin server, empty if it is off
	ended    bool   // the test has looked at the exit code itself
}

// startDispatcher runs the dispatcher with one listener on a free port and the given backends,
// as the simplest command line has it.
func startDispatcher(t *testing.T, backends ...string) *running {
	t.Helper()
	args := []string{"--listen", "127.0.0.1:0", "--admin="}
	for _, b := range backends {
		args = append(args, "--backend", b)
	}
	return runDispatcher(t, dispatcher, args...)
}

// startConfigured runs the dispatcher with a configuration file.
func startConfigured(t *testing.T, yaml string) *running {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return runDispatcher(t, dispatcher, "--config", file)
}

// runDispatcher runs a dispatcher until the end of the test, when it must leave with exit code
// 0 on SIGTERM and must have logged neither a panic nor a data race.
func runDispatcher(t *testing.T, binary string, args ...string) *running {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"run", "--log-level", "info", "--log-format", "json"}, args...)...)
	if _, set := os.LookupEnv("DISPATCH_CORRELATION"); !set {
		cmd.Env = append(os.Environ(), "DISPATCH_CORRELATION=preserve") // byte for byte
	}
	d := &running{}
	t.Cleanup(func() { d.check(t) }) // after the process has left: cleanups run last in, first out
	d.process = startProcess(t, "dispatcher", cmd, func(p *process) { p.signal(t, syscall.SIGTERM) })
	d.location = locationOf(d.entry(t, "listening")["address"].(string))
	// The admin server, if there is one, was logged before.
	for _, line := range strings.Split(d.stderr.String(), "\n") {
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "admin server listening" {
			d.admin = entry.Address
		}
	}
	return d
}

// locationOf turns an address from the dispatcher's log into a Pyro location.
func locationOf(address string) string {
	if path := strings.TrimPrefix(address, "unix:"); strings.HasPrefix(path, "/") {
		return "./u:" + path
	}
	return address
}

// entry waits for a log entry with the given message.
func (d *running) entry(t *testing.T, msg string) map[string]any {
	t.Helper()
	var entry map[string]any
	d.line(t, d.stderr, "the log entry "+strconv.Quote(msg), func(line string) bool {
		entry = nil
		return json.Unmarshal([]byte(line), &entry) == nil && entry["msg"] == msg
	})
	return entry
}

func (d *running) check(t *testing.T) {
	log := d.stderr.String()
	for _, bad := range []string{"panic:", "DATA RACE", "fatal error:", "goroutine 1 ["} {
		if strings.Contains(log, bad) {
			t.Errorf("the dispatcher's log contains %q:\n%s", bad, tail(log, 32<<10))
		}
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 && !d.ended {
		t.Errorf("the dispatcher left with exit code %d", code)
	}
}

// metrics returns the values on the admin server, by name with labels.
func (d *running) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + d.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if i := strings.LastIndexByte(lines.Text(), ' '); i > 0 && lines.Text()[0] != '#' {
			if v, err := strconv.ParseFloat(lines.Text()[i+1:], 64); err == nil {
				values[lines.Text()[:i]] = v
			}
		}
	}
	return values
}

// sum adds up a metric over all its labels.
func sum(metrics map[string]float64, name string) float64 {
	total := 0.0
	for k, v := range metrics {
		if k == name || strings.HasPrefix(k, name+"{") {
			total += v
		}
	}
	return total
}

// descriptors tells what the dispatcher has open: how many pipes, and everything else.
func (d *running) descriptors(t *testing.T) (pipes int, others []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		switch {
		case err != nil: // closed since
		case strings.HasPrefix(target, "pipe:"):
			pipes++
		default:
			others = append(others, e.Name()+" "+target)
		}
	}
	return pipes, others
}

// closedAddress returns an address of this machine on which nobody listens: it stays bound, so
// that no other process gets it, until the test ends.
func closedAddress(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
}

// dial opens a connection whose reads and writes end at last when patience does.
func dial(t *testing.T, location string) net.Conn {
	t.Helper()
	network, address := "tcp", location
	if path, ok := strings.CutPrefix(location, "./u:"); ok {
		network, address = "unix", path
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(deadline()); err != nil {
		t.Fatal(err)
	}
	return conn
}

// readAll reads until the peer closes; a reset counts as a close.
func readAll(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	data, err := io.ReadAll(conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the peer neither closed nor answered; got %q so far", data)
	}
	return data
}
