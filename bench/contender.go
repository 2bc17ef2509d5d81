//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// contender is something that stands between load and daemon, or nothing.
type contender struct {
	name      string // for -contenders and JSON
	label     string // for people
	largeOnly bool   // takes part in scenarios with large bodies only
	smallOnly bool   // takes part in scenarios with small bodies and several connections only
	absent    string // why it cannot take part, or empty

	// command returns what to run so that it listens on one address and passes
	// sessions to the other; nil for the direct connection.
	command func(listen, backend string) (*exec.Cmd, error)
}

const (
	nameDirect   = "direct"
	nameDispatch = "dispatch"
	nameCall     = "call"
	nameFew      = "call-3"
	nameMany     = "call-1000"
	nameHAProxy1 = "haproxy1"
	nameHAProxy2 = "haproxy2"
	nameHAProxyB = "haproxy2-256k"
)

// dispatcherPackage is built for the comparison unless -dispatcher names a binary.
const dispatcherPackage = "github.com/pyro-dispatch/pyro-dispatch/cmd/pyro-dispatch"

// allContenders lists who can be selected, in the order of the tables. Their
// commands need dir for configuration files; the dispatcher's binary is found or
// built by prepare.
func allContenders(dir string, dispatcher *string) []contender {
	list := []contender{
		{name: nameDirect, label: "direct"},
		{name: nameDispatch, label: "pyro-dispatch", command: func(listen, backend string) (*exec.Cmd, error) {
			return exec.Command(*dispatcher, "run", "--listen", listen, "--backend", backend, "--admin=", "--log-level", "error"), nil
		}},
		{name: nameCall, label: "pyro-dispatch, mode call", command: func(listen, backend string) (*exec.Cmd, error) {
			return exec.Command(*dispatcher, "run", "--listen", listen, "--backend", backend, "--mode", "call", "--queue", "10000", "--admin=", "--log-level", "error"), nil
		}},
		{name: nameFew, label: "mode call, 3 endpoints, 1 route", smallOnly: true, command: manyEndpoints(dir, dispatcher, 3, 1)},
		{name: nameMany, label: "mode call, 1,000 endpoints and routes", smallOnly: true, command: manyEndpoints(dir, dispatcher, 1000, 1000)},
		{name: nameHAProxy1, label: "HAProxy, 1 thread", command: haproxy(dir, 1, 0)},
		{name: nameHAProxy2, label: "HAProxy, 2 threads", command: haproxy(dir, 2, 0)},
		{name: nameHAProxyB, label: "HAProxy, 2 threads, 256K buffers", command: haproxy(dir, 2, 256<<10), largeOnly: true},
	}
	if _, err := exec.LookPath("haproxy"); err != nil {
		for i := range list {
			if strings.HasPrefix(list[i].name, "haproxy") {
				list[i].absent = "not installed"
			}
		}
	}
	return list
}

// buildDispatcher compiles pyro-dispatch into dir and returns the binary's path.
func buildDispatcher(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "pyro-dispatch")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, dispatcherPackage).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building pyro-dispatch: %w\n%s", err, out)
	}
	return path, nil
}

// manyEndpoints returns the command of a pyro-dispatch in mode call with so many
// endpoints and routes. All endpoints are the one daemon, under addresses of their
// own of 127.0.0.0/8, and the last route is the one that matches.
func manyEndpoints(dir string, dispatcher *string, endpoints, routes int) func(listen, backend string) (*exec.Cmd, error) {
	return func(listen, backend string) (*exec.Cmd, error) {
		_, port, err := net.SplitHostPort(backend)
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "admin: {address: \"\"}\nlog: {level: error}\nlisteners: [{name: main, address: %q}]\nroutes:\n", listen)
		for i := range routes - 1 {
			fmt.Fprintf(&b, "  - {name: other-%d, match: {object: \"other.%d.*\"}, cluster: all, mode: call}\n", i, i)
		}
		b.WriteString("  - {name: all, cluster: all, mode: call}\nclusters:\n  - name: all\n    static:\n")
		for i := range endpoints {
			fmt.Fprintf(&b, "      - \"127.1.%d.%d:%s\"\n", i/250, i%250+1, port)
		}
		path := filepath.Join(dir, fmt.Sprintf("dispatch-%d.yaml", endpoints))
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			return nil, err
		}
		return exec.Command(*dispatcher, "run", "--config", path), nil
	}
}

// haproxy returns the command of an HAProxy in TCP mode; bufsize 0 leaves its
// default of 16 KiB. It runs as one process in the foreground: that is the worker.
func haproxy(dir string, threads, bufsize int) func(listen, backend string) (*exec.Cmd, error) {
	return func(listen, backend string) (*exec.Cmd, error) {
		maxconn, err := haproxyMaxconn()
		if err != nil {
			return nil, err
		}
		tune := ""
		if bufsize > 0 {
			tune = fmt.Sprintf("  tune.bufsize %d\n", bufsize)
		}
		config := fmt.Sprintf(`global
  nbthread %d
  maxconn %d
%sdefaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 5m
  timeout server 5m
listen pyro
  bind %s
  server daemon %s
`, threads, maxconn, tune, listen, backend)
		path := filepath.Join(dir, fmt.Sprintf("haproxy-%d-%d.cfg", threads, bufsize))
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, err
		}
		return exec.Command("haproxy", "-db", "-q", "-f", path), nil
	}
}

// haproxyMaxconn is as many sessions as fit: each takes two descriptors, and
// splicing two more for every fourth.
func haproxyMaxconn() (int, error) {
	limit, err := openFiles()
	return min((limit-100)*2/5, 5000), err
}

// openFiles is the number of files that a process started from here may open.
func openFiles() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return int(min(limit.Max, 1<<20)), nil
}
