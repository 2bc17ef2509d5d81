//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// comparison holds the processes that last for all rounds.
type comparison struct {
	parameters
	contenders []contender
	scenarios  []scenario
	self       string // this binary, for daemon, load and hold
	daemon     *child
	daemonAddr string
	running    map[string]*proxy
	log        io.Writer
}

// proxy is a contender at work; its child is nil for the direct connection.
type proxy struct {
	child *child
	addr  string
}

// run measures everything. When it returns none of its processes is left.
func (c *comparison) run(ctx context.Context) ([]sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	if c.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if c.daemonAddr, err = freeAddr(); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(c.daemonAddr)
	if err != nil {
		return nil, err
	}
	// At every loopback address, for those who want many endpoints.
	cmd := exec.Command(c.self, "daemon", "-listen", net.JoinHostPort("0.0.0.0", port), "-procs", strconv.Itoa(c.Procs))
	if c.daemon, err = startChild(ctx, "the daemon", cmd); err != nil {
		return nil, err
	}
	defer c.daemon.stop()
	if err := c.daemon.awaitSession(ctx, c.daemonAddr); err != nil {
		return nil, err
	}
	defer func() {
		for _, p := range c.running {
			p.child.stop()
		}
	}()
	for _, contender := range c.contenders {
		if contender.absent != "" {
			fmt.Fprintf(c.log, "%s: %s, left out\n", contender.label, contender.absent)
			continue
		}
		p, err := c.start(ctx, contender)
		if err != nil {
			return nil, err
		}
		c.running[contender.name] = p
	}
	return c.rounds(ctx)
}

// start starts a contender and waits until sessions pass through it.
func (c *comparison) start(ctx context.Context, who contender) (*proxy, error) {
	if who.command == nil {
		return &proxy{addr: c.daemonAddr}, nil
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	cmd, err := who.command(addr, c.daemonAddr)
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: addr}
	if p.child, err = startChild(ctx, who.label, cmd); err != nil {
		return nil, err
	}
	if err := p.child.awaitSession(ctx, addr); err != nil {
		p.child.stop()
		return nil, err
	}
	return p, nil
}

// rounds gives every contender its turns. Those of a scenario follow each other
// directly, and another contender begins in each round.
func (c *comparison) rounds(ctx context.Context) ([]sample, error) {
	var samples []sample
	for round := range c.Rounds {
		for _, scenario := range c.scenarios {
			for i := range c.contenders {
				contender := c.contenders[(i+round)%len(c.contenders)]
				if !takesPart(contender, scenario) {
					continue
				}
				s, err := c.turn(ctx, contender, scenario)
				if err != nil {
					failures := errors.Join(c.daemon.failure(), c.running[contender.name].child.failure())
					return nil, errors.Join(fmt.Errorf("%s, %s: %w", contender.label, scenario.label, err), failures)
				}
				s.Round, s.Scenario, s.Contender = round, scenario.name, contender.name
				samples = append(samples, s)
				fmt.Fprintf(c.log, "round %d of %d: %-22s %-33s %s\n", round+1, c.Rounds, scenario.label, contender.label, s.brief())
			}
		}
	}
	return samples, nil
}

// brief is a sample in one line, for watching.
func (s sample) brief() string {
	if s.BytesPerSession != 0 {
		return showBytes(s.BytesPerSession) + " per session"
	}
	line := fmt.Sprintf("%s calls/s, p50 %s, p99 %s", showCount(s.CallsPerSecond), showTime(float64(s.P50)), showTime(float64(s.P99)))
	if s.CPUPerCall != 0 {
		line += ", CPU " + showTime(float64(s.CPUPerCall))
	}
	return line
}

func (c *comparison) turn(ctx context.Context, who contender, s scenario) (sample, error) {
	if s.idle {
		return c.idleTurn(ctx, who, s)
	}
	p := c.running[who.name]
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Duration+3*stuck)
	defer cancel()
	machine, err := readMachineTime()
	if err != nil {
		return sample{}, err
	}
	ours, err := c.cpuOf(p)
	if err != nil {
		return sample{}, err
	}
	out, loadCPU, err := c.load(ctx, "-addr", p.addr, "-watch", strconv.Itoa(p.child.pid()),
		"-conns", strconv.Itoa(s.connections), "-request", strconv.Itoa(s.request), "-reply", strconv.Itoa(s.reply),
		"-warmup", c.Warmup.String(), "-duration", c.Duration.String())
	if err != nil {
		return sample{}, err
	}
	oursAfter, err := c.cpuOf(p)
	if err != nil {
		return sample{}, err
	}
	machineAfter, err := readMachineTime()
	if err != nil {
		return sample{}, err
	}
	var r loadResult
	if err := json.Unmarshal(out, &r); err != nil {
		return sample{}, fmt.Errorf("reading the figures of bench load: %w", err)
	}
	result := sample{
		Calls: r.Calls, CallsPerSecond: r.CallsPerSecond, P50: r.P50, P99: r.P99, CPUPerCall: r.CPU / time.Duration(r.Calls),
		OthersShare: othersShare(machine, machineAfter, oursAfter-ours+loadCPU),
	}
	if s.large() {
		result.BytesPerSecond = r.CallsPerSecond * float64(s.request+s.reply)
	}
	return result, nil
}

// cpuOf is the CPU time of the daemon and a proxy so far.
func (c *comparison) cpuOf(p *proxy) (time.Duration, error) {
	daemon, err := cpuTime(c.daemon.pid())
	if err != nil {
		return 0, err
	}
	between, err := cpuTime(p.child.pid())
	return daemon + between, err
}

// load runs this program's load generator and returns what it printed and the CPU time it took.
func (c *comparison) load(ctx context.Context, args ...string) (out []byte, cpu time.Duration, err error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.self, append([]string{"load", "-procs", strconv.Itoa(c.Procs)}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, 0, fmt.Errorf("bench load: %w\n%s", err, &stderr)
	}
	return stdout.Bytes(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// idleTurn measures a fresh process: one that has worked before would hide the
// growth in memory it already has. A few calls first take what any first session costs.
func (c *comparison) idleTurn(ctx context.Context, who contender, s scenario) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*c.Settle+3*stuck)
	defer cancel()
	p, err := c.start(ctx, who)
	if err != nil {
		return sample{}, err
	}
	defer p.child.stop()
	if _, _, err := c.load(ctx, "-addr", p.addr, "-conns", "2", "-calls", "200", "-warmup", "0"); err != nil {
		return sample{}, err
	}
	before, err := residentBytes(p.child.pid())
	if err != nil {
		return sample{}, err
	}
	cmd := exec.Command(c.self, "hold", "-addr", p.addr, "-conns", strconv.Itoa(s.connections))
	if _, err := cmd.StdinPipe(); err != nil { // it ends with its standard input
		return sample{}, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return sample{}, err
	}
	holder, err := startChild(ctx, "bench hold", cmd)
	if err != nil {
		return sample{}, err
	}
	defer holder.stop()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || strings.TrimSpace(line) != holding {
		<-holder.ended
		return sample{}, errors.Join(holder.failure(), p.child.failure())
	}
	// A garbage collector may want to give something back: what counts is what stays.
	select {
	case <-ctx.Done():
		return sample{}, ctx.Err()
	case <-time.After(c.Settle):
	}
	after, err := residentBytes(p.child.pid())
	if err != nil {
		return sample{}, err
	}
	if err := holder.failure(); err != nil {
		return sample{}, err
	}
	return sample{BytesPerSession: float64(after-before) / float64(s.connections)}, nil
}
