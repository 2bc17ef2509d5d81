//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// The comparison runs its own executable for daemon, load and hold. In tests that
// is the test binary, which is also the simplest proxy to compare.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "daemon", "load", "hold":
			if err := run(context.Background(), os.Args[1:]); err != nil {
				os.Stderr.WriteString(err.Error())
				os.Exit(1)
			}
			return
		case "forward":
			os.Stderr.WriteString(forward(os.Args[2], os.Args[3]).Error())
			os.Exit(1)
		}
	}
	// Under the race detector a process sleeps a second before it ends; the children need not.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// forward copies bytes between clients of one address and connections to another, until it is killed.
func forward(listen, backend string) error {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		client, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			daemon, err := net.Dial("tcp", backend)
			if err != nil {
				return
			}
			defer daemon.Close()
			go io.Copy(daemon, client)
			io.Copy(client, daemon)
		}()
	}
}

func testContenders() []contender {
	return []contender{
		{name: nameDirect, label: "direct"},
		{name: nameDispatch, label: "pyro-dispatch", command: func(listen, backend string) (*exec.Cmd, error) {
			return exec.Command(os.Args[0], "forward", listen, backend), nil
		}},
		{name: nameHAProxy2, label: "HAProxy", absent: "not installed"},
	}
}

func testComparison(contenders []contender) *comparison {
	return &comparison{
		parameters: parameters{Rounds: 2, Duration: 10 * time.Millisecond, Warmup: time.Millisecond, IdleSessions: 10, Settle: time.Millisecond, Procs: 1},
		contenders: contenders,
		scenarios: []scenario{
			{name: "small", label: "small", connections: 4, request: 64, reply: 64},
			{name: "large", label: "large", connections: 2, request: 1 << 20, reply: 1 << 20},
			{name: scenarioIdle, label: "idle", connections: 10, idle: true},
		},
		running: map[string]*proxy{},
		log:     io.Discard,
	}
}

func TestComparison(t *testing.T) {
	c := testComparison(testContenders())
	samples, err := c.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range samples {
		order = append(order, s.Scenario+"/"+s.Contender)
		if s.Scenario != scenarioIdle && (s.Calls < 1 || s.P50 <= 0 || (s.BytesPerSecond > 0) != (s.Scenario == "large")) {
			t.Errorf("figures make no sense: %+v", s)
		}
	}
	want := "small/direct small/dispatch large/direct large/dispatch idle/dispatch " + // another contender begins in the second round
		"small/dispatch small/direct large/dispatch large/direct idle/dispatch"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("turns were\n%s\nwant\n%s", got, want)
	}
	assertEnded(t, c)
}

func TestComparisonNamesWhatFailed(t *testing.T) {
	contenders := testContenders()
	contenders[1].command = func(listen, backend string) (*exec.Cmd, error) {
		return exec.Command("sh", "-c", "echo no such flag >&2; exit 3"), nil
	}
	c := testComparison(contenders)
	_, err := c.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "pyro-dispatch ended: exit status 3") || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("got error %v, want one with the exit status and its message", err)
	}
	assertEnded(t, c)
}

func TestComparisonEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := testComparison(testContenders())
	c.Duration = time.Hour
	forward := c.contenders[1].command
	var once sync.Once
	c.contenders[1].command = func(listen, backend string) (*exec.Cmd, error) {
		once.Do(func() { time.AfterFunc(50*time.Millisecond, cancel) }) // while it starts, or in its first turn
		return forward(listen, backend)
	}
	if _, err := c.run(ctx); err == nil {
		t.Error("no error")
	}
	assertEnded(t, c)
}

// assertEnded checks that no process of a comparison was left behind.
func assertEnded(t *testing.T, c *comparison) {
	t.Helper()
	children := []*child{c.daemon}
	for _, p := range c.running {
		children = append(children, p.child)
	}
	for _, child := range children {
		if child == nil {
			continue
		}
		if err := child.cmd.Process.Signal(os.Interrupt); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("%s (process %d) still runs", child.name, child.pid())
		}
	}
}
