//go:build linux

// Command bench measures what pyro-dispatch costs, side by side with the
// direct connection and, where it is installed, HAProxy in TCP mode.
//
//	go run ./bench                          the whole comparison, about ten minutes
//	go run ./bench -quick                   the same in miniature: does everything run?
//	go run ./bench -o docs/benchmarks.md    also write the page with its conditions
//	go run ./bench -contenders dispatch,haproxy2 -scenarios small-16,huge
//	go run ./bench blobs -o docs/benchmarks.md   blob dispatch beside Pyro's example, about ten minutes
//
// One machine runs everything over loopback: a stand-in daemon, a load
// generator and the contenders, each a process of its own. Two of those
// processes are this program again:
//
//	bench daemon    answers CONNECT and INVOKE as fast as it can
//	bench load      calls in closed loops and prints its figures as JSON
//	bench hold      opens sessions, makes one call on each and keeps them open
//	bench blob-load, blob-listen   the same for blobs: clients, and listeners of topics
//
// Figures of one moment are not comparable with those of another on a machine
// that is shared or changes its clock, so contenders take turns of a few
// seconds and what counts is the median of the ratios within each round.
//
// It is not for testing correctness (the tests do that), nor for absolute
// figures of a production setup: daemon and load share the cores with the proxy.
// It speaks protocol 502 with its own few lines instead of package wire, so that a
// mistake there cannot hide itself (for blobs 48 as well). It needs Linux for its CPU and memory figures.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "daemon":
			return daemonCommand(ctx, args[1:])
		case "load":
			return loadCommand(ctx, args[1:])
		case "hold":
			return holdCommand(ctx, args[1:])
		case "blobs":
			return blobsCommand(ctx, args[1:])
		case "blob-listen":
			return blobListenCommand(ctx, args[1:])
		case "blob-load":
			return blobLoadCommand(ctx, args[1:])
		}
	}
	return compareCommand(ctx, args)
}

func daemonCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench daemon", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:9101", "address to listen on")
	procs := flags.Int("procs", 1, "GOMAXPROCS: more than it needs is spent on looking for work")
	flags.Parse(args)
	runtime.GOMAXPROCS(*procs)
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	return serve(ctx, ln.(*net.TCPListener), os.Stderr)
}

func loadCommand(ctx context.Context, args []string) error {
	var spec loadSpec
	flags := flag.NewFlagSet("bench load", flag.ExitOnError)
	flags.StringVar(&spec.Addr, "addr", "127.0.0.1:9101", "daemon or proxy to call")
	flags.IntVar(&spec.Connections, "conns", 1, "connections, each with one call in flight")
	flags.IntVar(&spec.Request, "request", 64, "bytes of data in each request, at least 4")
	flags.IntVar(&spec.Reply, "reply", 64, "bytes of data in each reply")
	flags.DurationVar(&spec.Warmup, "warmup", 300*time.Millisecond, "calls before the measured ones; at least one per connection")
	flags.DurationVar(&spec.Duration, "duration", 3*time.Second, "how long to measure; calls in flight at the end are waited for and counted")
	flags.IntVar(&spec.Calls, "calls", 0, "stop after so many calls in all, if the time is not over before (0: no limit)")
	flags.IntVar(&spec.Watch, "watch", 0, "process id whose CPU time to measure (0: none)")
	procs := flags.Int("procs", 1, "GOMAXPROCS")
	flags.Parse(args)
	runtime.GOMAXPROCS(*procs)
	result, err := runLoad(ctx, spec)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// holding is what bench hold prints when all its sessions are open.
const holding = "holding"

func holdCommand(ctx context.Context, args []string) error {
	spec := loadSpec{Request: 64, Reply: 64, Calls: 1}
	flags := flag.NewFlagSet("bench hold", flag.ExitOnError)
	flags.StringVar(&spec.Addr, "addr", "127.0.0.1:9101", "daemon or proxy to hold sessions with")
	flags.IntVar(&spec.Connections, "conns", 2000, "sessions to hold")
	flags.Parse(args)
	callers, err := openCallers(ctx, spec)
	defer closeCallers(callers)
	if err != nil {
		return err
	}
	if _, err := callAll(callers, time.Minute, 1); err != nil {
		return err
	}
	// The parent reads this line, measures, and then ends this process or closes its stdin.
	fmt.Println(holding)
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	return nil
}
