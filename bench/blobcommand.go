//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func blobListenCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench blob-listen", flag.ExitOnError)
	n := flags.Int("n", mostListeners, "listeners")
	procs := flags.Int("procs", 1, "GOMAXPROCS")
	flags.Parse(args)
	runtime.GOMAXPROCS(*procs)
	return listenCommand(ctx, *n)
}

func blobLoadCommand(ctx context.Context, args []string) error {
	var spec blobSpec
	flags := flag.NewFlagSet("bench blob-load", flag.ExitOnError)
	flags.StringVar(&spec.Addr, "addr", "127.0.0.1:9999", "dispatcher")
	flags.StringVar(&spec.Object, "object", registryName, "its object id")
	flags.StringVar(&spec.Topic, "topic", "", "info of the blobs")
	version := flags.Int("protocol", int(pyro5), "48 or 502")
	flags.IntVar(&spec.Clients, "clients", 1, "clients, each with one blob in flight")
	flags.IntVar(&spec.Size, "size", 1<<10, "bytes of data of each call")
	flags.DurationVar(&spec.Warmup, "warmup", 300*time.Millisecond, "blobs before the measured ones")
	flags.DurationVar(&spec.Duration, "duration", 3*time.Second, "how long to measure")
	flags.IntVar(&spec.Watch, "watch", 0, "process id whose CPU time to measure (0: none)")
	procs := flags.Int("procs", 1, "GOMAXPROCS")
	flags.Parse(args)
	runtime.GOMAXPROCS(*procs)
	spec.Protocol = protocol(*version)
	if spec.Protocol != pyro4 && spec.Protocol != pyro5 {
		return fmt.Errorf("no protocol %d: there are 48 and 502", *version)
	}
	result, err := runBlobs(ctx, spec)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func blobsCommand(ctx context.Context, args []string) error {
	var p parameters
	flags := flag.NewFlagSet("bench blobs", flag.ExitOnError)
	flags.IntVar(&p.Rounds, "rounds", 5, "rounds; every contender has its turn in every scenario of a round")
	flags.DurationVar(&p.Duration, "duration", 2*time.Second, "length of a turn")
	flags.DurationVar(&p.Warmup, "warmup", 300*time.Millisecond, "blobs before each turn that are not counted")
	flags.IntVar(&p.Procs, "procs", max(runtime.NumCPU()/4, 1), "GOMAXPROCS of the clients and of the listeners")
	selected := flags.String("contenders", "", "comma-separated: dispatch, python-thread, python-multiplex (default all)")
	only := flags.String("only", "", "only scenarios with this in their name, such as 'Pyro5, 1 KiB, 16 clients'")
	everywhere := flags.Bool("everywhere", false, "also have contenders take part where they are known to fail, and go on when they do")
	dispatcher := flags.String("dispatcher", "", "pyro-dispatch binary to measure (default: build this source tree's)")
	python := flags.String("python", "", "interpreter of a venv with Pyro4 and Pyro5 (default: that of the tests)")
	page := flags.String("o", "", "page whose section of blobs is to be written anew")
	jsonFile := flags.String("json", "", "file for every sample and the conditions, as JSON")
	flags.Parse(args)
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if p.Rounds < 1 || p.Duration <= 0 || p.Procs < 1 {
		return errors.New("rounds, duration and procs must be above 0")
	}
	names, err := choose(*selected, []string{blobOurs, blobThread, blobMultiplex}, func(name string) string { return name })
	if err != nil {
		return fmt.Errorf("-contenders: %w", err)
	}
	c := &blobComparison{parameters: p, names: names, running: map[string]map[protocol]blobDispatcher{}, log: os.Stderr}
	for _, s := range allBlobScenarios() {
		if strings.Contains(fmt.Sprintf("%s, %s", s.Protocol, s), *only) {
			c.scenarios = append(c.scenarios, s)
		}
	}
	conditions := observeConditions(ctx, p)
	samples, idle, err := c.measure(ctx, *dispatcher, *python, *everywhere)
	if err != nil {
		return err
	}
	r := blobReport{Conditions: conditions, Python: c.python, Idle: idle, Samples: samples, scenarios: c.scenarios}
	return errors.Join(r.write(os.Stdout), r.intoPage(*page), writeFile(*jsonFile, r.json))
}

// measure starts everything, measures, and ends everything. Besides the samples it returns the
// resident memory of each contender before the first.
func (c *blobComparison) measure(ctx context.Context, dispatcher, python string, everywhere bool) (samples []blobSample, idle map[string]int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "pyro-dispatch-bench-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	if c.self, err = os.Executable(); err != nil {
		return nil, nil, err
	}
	if c.listeners, err = startListeners(ctx, c.self, c.Procs); err != nil {
		return nil, nil, err
	}
	defer c.listeners.stop()
	idle = map[string]int64{}
	for _, name := range c.names {
		stop, err := c.start(ctx, name, dir, dispatcher, python)
		defer stop()
		if err != nil {
			return nil, nil, err
		}
		for p, d := range c.running[name] {
			if err := c.register(ctx, d, p); err != nil {
				return nil, nil, errors.Join(err, d.child.failure())
			}
			if idle[blobKey(name, p)], err = residentBytes(d.child.pid()); err != nil {
				return nil, nil, err
			}
		}
	}
	samples, err = c.run(ctx, everywhere)
	return samples, idle, err
}

// blobKey names a contender's process for a protocol.
func blobKey(contender string, p protocol) string { return contender + " " + p.String() }

// start starts a contender, a process for each protocol: pyro-dispatch could be one for both, but
// the example cannot. What stop ends is what was started, after an error too.
func (c *blobComparison) start(ctx context.Context, name, dir, dispatcher, python string) (stop func(), err error) {
	c.running[name] = map[protocol]blobDispatcher{}
	stop = func() {}
	if name == blobOurs {
		if dispatcher == "" {
			if dispatcher, err = buildDispatcher(ctx, dir); err != nil {
				return stop, err
			}
		}
		for _, p := range []protocol{pyro4, pyro5} {
			d, err := startOurs(ctx, dispatcher, p)
			if err != nil {
				return stop, err
			}
			before := stop
			stop = func() { d.child.stop(); before() }
			c.running[name][p] = d
		}
		return stop, nil
	}
	if python == "" {
		if python, err = findPython(ctx); err != nil {
			return stop, err
		}
	}
	if python, err = filepath.Abs(python); err != nil {
		return stop, err
	}
	c.python = pythonVersions(ctx, python)
	for _, p := range []protocol{pyro4, pyro5} {
		d, err := startPython(ctx, python, p, strings.TrimPrefix(name, "python-"))
		if err != nil {
			return stop, err
		}
		before := stop
		stop = func() { d.stop(); before() }
		c.running[name][p] = d.blobDispatcher
	}
	return stop, nil
}

// startOurs starts pyro-dispatch by the short form, but for the name server,
// which takes no part in blobs, and logs that nobody reads.
func startOurs(ctx context.Context, dispatcher string, p protocol) (blobDispatcher, error) {
	addr, err := freeAddr()
	if err != nil {
		return blobDispatcher{}, err
	}
	d := blobDispatcher{addr: addr, object: registryName}
	cmd := exec.Command(dispatcher, "run", "--listen", addr, "--topics", registryName, "--admin=", "--log-level", "error")
	if d.child, err = startChild(ctx, "pyro-dispatch", cmd); err != nil {
		return d, err
	}
	err = d.child.await(ctx, func(ctx context.Context) error {
		_, err := callOnce(ctx, addr, p, registryName, "topics")
		return err
	})
	if err != nil {
		d.child.stop()
	}
	return d, err
}
