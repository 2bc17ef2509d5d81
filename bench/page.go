//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
)

// page prints the whole document: tables with what it takes to read and repeat them.
func (r report) page(w io.Writer) error {
	c := r.Conditions
	_, err := fmt.Fprintf(w, pageHead,
		c.Date, c.Revision, c.CPU, c.Cores, c.Kernel, c.Go, c.HAProxy, r.others(),
		c.Rounds, c.Duration, c.Warmup, c.IdleSessions, c.Settle, c.Procs)
	if err != nil {
		return err
	}
	return r.tables(w)
}

// others says how quiet the machine was.
func (r report) others() string {
	var shares []float64
	for _, s := range r.Samples {
		if s.Calls > 0 {
			shares = append(shares, 100*s.OthersShare)
		}
	}
	if len(shares) == 0 {
		return "not measured"
	}
	return fmt.Sprintf("%.0f %% of the machine in the median, %.0f %% at most", median(shares), slices.Max(shares))
}

const pageHead = `<!-- Written by go run ./bench -o docs/benchmarks.md; do not edit. -->
# Benchmarks

What pyro-dispatch costs, beside the direct connection and HAProxy in TCP mode.
` + "`make bench`" + ` repeats it and rewrites this page.

## Conditions

| | |
|---|---|
| date | %s |
| revision | %s |
| CPU | %s, %d cores |
| kernel | %s |
| Go | %s |
| HAProxy | %s; ` + "`mode tcp`, `option splice-auto`" + `, buffers of 16K unless stated |
| CPU taken by other processes during the turns | %s |
| rounds | %d, turns of %v after %v of warming up |
| idle sessions | %d, read after %v |
| GOMAXPROCS of load generator and daemon | %d each |

## How to read this

- Load generator, proxy and daemon are processes on one machine, over loopback, and share its cores. So calls per second and times say how
  the contenders compare, not what a network of machines would do. **CPU time per call** is the figure that carries over best: it is what one core's worth of proxy can serve.
- Contenders take turns of a few seconds, directly after one another, and another begins in each round. "× 0.85" is the median over the rounds of the ratio *within* a round;
  the range after it is the lowest and highest round. Figures without × are medians over the rounds. Where a range contains 1, call it a draw.
- What other processes take of the machine shows in calls per second and times, p99 first, and hardly in CPU time per call and memory.
  For a page worth keeping run it on a quiet machine.
- A connection has one call in flight and makes the next when the reply is here. Requests and replies are of the same size; headers (40 bytes each way) come on top.
- CPU time is user and system time of the whole proxy process, in ticks of 10 ms. The kernel's work for a packet that it does in an interrupt is charged to
  whoever is running, in part to daemon and load generator: the same for all contenders.
- Resident memory is the growth of a fresh proxy process, per session, after a handshake and one call each; socket buffers of the kernel are not in it.
- pyro-dispatch frames every message, routes by the CONNECT, and counts; HAProxy copies bytes.

`
