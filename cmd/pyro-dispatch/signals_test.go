package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

var quickRun = []string{"run", "--listen", "127.0.0.1:0", "--backend", "127.0.0.1:5555", "--admin="}

// fake returns a process that is not this one, and a function that sends it a
// signal.
func fake(serve serveFunc) (*process, func(os.Signal)) {
	var signals chan<- os.Signal
	p := &process{
		stdout: io.Discard, stderr: io.Discard,
		lookupEnv: func(string) (string, bool) { return "", false },
		notify:    func(c chan<- os.Signal) { signals = c },
		serve:     serve,
	}
	return p, func(s os.Signal) { signals <- s }
}

func TestFirstSignalDrains(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		var send func(os.Signal)
		p, send := fake(func(ctx context.Context, _ *config.Config, _ *zap.Logger, _ string) error {
			send(s)
			<-ctx.Done()
			return nil
		})
		if code := p.main(quickRun); code != exitOK {
			t.Errorf("%v: exit code %d", s, code)
		}
	}
}

func TestServeReturnsWithoutSignal(t *testing.T) {
	defer goleak.VerifyNone(t)
	for want, err := range map[int]error{exitOK: nil, exitFailure: errors.New("no")} {
		p, _ := fake(func(context.Context, *config.Config, *zap.Logger, string) error { return err })
		if code := p.main(quickRun); code != want {
			t.Errorf("serve returns %v: exit code %d, want %d", err, code, want)
		}
	}
}

// A process that does not finish draining can still be ended.
func TestSecondSignalEnds(t *testing.T) {
	for _, tt := range []struct {
		first, second syscall.Signal
		code          int
	}{
		{syscall.SIGTERM, syscall.SIGTERM, 143},
		{syscall.SIGINT, syscall.SIGINT, 130},
		{syscall.SIGTERM, syscall.SIGINT, 130},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "pyro-dispatch-stuck", quickRun...)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		for _, step := range []struct {
			line string
			send syscall.Signal
		}{{"serving", tt.first}, {"draining", tt.second}} {
			if !lines.Scan() || lines.Text() != step.line {
				t.Fatalf("it says %q (%v), want %q", lines.Text(), lines.Err(), step.line)
			}
			if err := cmd.Process.Signal(step.send); err != nil {
				t.Fatal(err)
			}
		}
		err = cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != tt.code {
			t.Errorf("%v, then %v: %v, want exit code %d", tt.first, tt.second, err, tt.code)
		}
	}
}
