package integration

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. It is far more than anything needs, for a loaded machine: no
// test passes or fails by how long something takes.
const patience = 60 * time.Second

// output collects what a process prints, line by line, and lets tests wait for a line.
type output struct {
	mu      sync.Mutex
	lines   []string
	partial string
	grown   chan struct{} // closed and replaced at every change
}

func newOutput() *output { return &output{grown: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(o.partial+string(p), "\n")
	o.partial = lines[len(lines)-1]
	o.lines = append(o.lines, lines[:len(lines)-1]...)
	close(o.grown)
	o.grown = make(chan struct{})
	return len(p), nil
}

// from returns the complete lines from the i-th on, and a channel that closes when there are
// more.
func (o *output) from(i int) ([]string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines[i:], o.grown
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n") + "\n" + o.partial
}

// process is a program that ends with its test: it is asked to, waited for, and killed if that
// does not help. What it printed is shown when the test fails.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *output
	stderr *output
	exited chan struct{} // closed when the process is gone and its output is complete
	err    error         // of Wait, once exited is closed
}

// startProcess starts a program. end asks it to leave at the end of the test; a nil end closes
// its stdin.
func startProcess(t *testing.T, name string, cmd *exec.Cmd, end func(*process)) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, stdout: newOutput(), stderr: newOutput(), exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go p.wait()
	if end == nil {
		end = func(p *process) { _ = p.stdin.Close() }
	}
	t.Cleanup(func() {
		end(p)
		select {
		case <-p.exited:
		case <-time.After(patience):
			t.Errorf("%s did not leave when asked to", name)
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
		if t.Failed() {
			t.Logf("%s, stdout:\n%s\nstderr:\n%s", name, tail(p.stdout.String(), 2<<10), tail(p.stderr.String(), 32<<10))
		}
	})
	return p
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	close(p.exited)
}

// tail shortens what is shown of a log; its end matters most.
func tail(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return "[...]" + s[len(s)-limit:]
}

// line waits for the first line of o that match accepts.
func (p *process) line(t *testing.T, o *output, what string, match func(string) bool) string {
	t.Helper()
	deadline := time.After(patience)
	for seen := 0; ; {
		// Asked before reading: a process that is gone prints no more.
		gone := false
		select {
		case <-p.exited:
			gone = true
		default:
		}
		lines, grown := o.from(seen)
		for _, line := range lines {
			if match(line) {
				return line
			}
		}
		seen += len(lines)
		if gone {
			t.Fatalf("%s left without %s: %v", p.name, what, p.err)
		}
		select {
		case <-grown:
		case <-p.exited:
		case <-deadline:
			t.Fatalf("%s did not print %s", p.name, what)
		}
	}
}

// exitCode waits until the process has left.
func (p *process) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("%s does not leave", p.name)
		return -1
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("signalling %s: %v", p.name, err)
	}
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	p.exitCode(t)
}

// eventually polls until condition is true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// deadline is the time at which patience, beginning now, ends.
func deadline() time.Time { return time.Now().Add(patience) }
