//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process of the comparison: it lives until stop, the end of its
// context, or its own end, which is then an error of whoever needed it.
type child struct {
	name   string
	cmd    *exec.Cmd
	stderr tail
	ended  chan struct{}
	err    error // of Wait; valid once ended is closed
}

// startChild starts a process that must not outlive ctx, nor this process.
func startChild(ctx context.Context, name string, cmd *exec.Cmd) (*child, error) {
	c := &child{name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &c.stderr
	// The daemon's and the proxies' own standard output is of no interest.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	go func() {
		c.err = cmd.Wait()
		stop()
		close(c.ended)
	}()
	return c, nil
}

// stop kills the process and waits for its end; a nil child needs none.
func (c *child) stop() {
	if c == nil {
		return
	}
	c.cmd.Process.Kill()
	<-c.ended
}

// pid is the process' id, 0 for a nil child.
func (c *child) pid() int {
	if c == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

// failure describes a process that ended by itself, or is nil while it runs.
func (c *child) failure() error {
	if c == nil {
		return nil
	}
	select {
	case <-c.ended:
		return fmt.Errorf("%s ended: %v\n%s", c.name, c.err, c.stderr.String())
	default:
		return nil
	}
}

// awaitSession waits until a whole handshake through the process succeeds, so a
// proxy is ready only when its backend is reached.
func (c *child) awaitSession(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := dial(ctx, addr)
		if err == nil {
			return conn.Close()
		}
		if failure := c.failure(); failure != nil {
			return failure
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready on %s: %w\n%s", c.name, addr, err, c.stderr.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail keeps the last bytes written to it, for error messages.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > most {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-most:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// freeAddr returns a loopback address on which nothing listens at the moment.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// userHz is the unit of times in /proc: 100 a second on every Linux that Go runs on.
const userHz = 100

// cpuTime returns the user and system time of a process with all its threads,
// ended ones too; 0 for pid 0.
func cpuTime(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time: %w", err)
	}
	return parseStat(stat)
}

// parseStat takes utime and stime, fields 14 and 15, from a /proc/PID/stat. Field 2 is
// the command in parentheses and may itself contain spaces and parentheses.
func parseStat(stat []byte) (time.Duration, error) {
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	fields := strings.Fields(string(rest)) // from field 3 on
	if len(fields) < 13 {
		return 0, fmt.Errorf("CPU time: unexpected /proc/PID/stat %q", stat)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("CPU time: %w", err)
	}
	return time.Duration(user+system) * (time.Second / userHz), nil
}

// residentBytes returns the resident memory of a process. smaps_rollup counts
// pages; the cheaper VmRSS may be off by some per core.
func residentBytes(pid int) (int64, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("resident memory: %w", err)
	}
	for line := range strings.Lines(string(rollup)) {
		if rest, ok := strings.CutPrefix(line, "Rss:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("resident memory: %w", err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("resident memory: no Rss in smaps_rollup")
}
