//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// parameters are what a reader needs to repeat a comparison.
type parameters struct {
	Rounds       int           `json:"rounds"`
	Duration     time.Duration `json:"duration_ns"`
	Warmup       time.Duration `json:"warmup_ns"`
	IdleSessions int           `json:"idle_sessions"`
	Settle       time.Duration `json:"settle_ns"`
	Procs        int           `json:"load_and_daemon_procs"`
}

func compareCommand(ctx context.Context, args []string) error {
	var p parameters
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Measures pyro-dispatch beside the direct connection and HAProxy.\n",
			"Usage: go run ./bench [flags], or bench daemon|load|hold [flags] for the parts.\n")
		flags.PrintDefaults()
	}
	flags.IntVar(&p.Rounds, "rounds", 5, "rounds; every contender has its turn in every scenario of a round")
	flags.DurationVar(&p.Duration, "duration", 3*time.Second, "length of a turn")
	flags.DurationVar(&p.Warmup, "warmup", 300*time.Millisecond, "calls before each turn that are not counted")
	flags.IntVar(&p.IdleSessions, "idle-sessions", 2000, "sessions of the memory scenario, fewer if the limit of open files demands it")
	flags.DurationVar(&p.Settle, "settle", 3*time.Second, "pause before resident memory is read")
	flags.IntVar(&p.Procs, "procs", max(runtime.NumCPU()/4, 1), "GOMAXPROCS of load and of daemon")
	quick := flags.Bool("quick", false, "one short round: shows that all works, not how fast")
	selectContenders := flags.String("contenders", "", "comma-separated: direct, dispatch, call, call-3, call-1000, haproxy1, haproxy2, haproxy2-256k (default all)")
	selectScenarios := flags.String("scenarios", "", "comma-separated: small-1, small-16, small-256, large, huge, idle (default all)")
	dispatcher := flags.String("dispatcher", "", "pyro-dispatch binary to measure (default: build this source tree's)")
	page := flags.String("o", "", "file for the page with tables and conditions")
	jsonFile := flags.String("json", "", "file for every sample and the conditions, as JSON")
	flags.Parse(args)
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *quick {
		p.Rounds, p.Duration, p.Warmup, p.IdleSessions, p.Settle = 1, 300*time.Millisecond, 50*time.Millisecond, 200, time.Second
	}
	if p.Rounds < 1 || p.Duration <= 0 || p.IdleSessions < 1 || p.Procs < 1 {
		return errors.New("rounds, duration, idle-sessions and procs must be above 0")
	}
	limit, err := openFiles()
	if err != nil {
		return err
	}
	// A proxy has two connections per session, and HAProxy may splice.
	p.IdleSessions = min(p.IdleSessions, max((limit-1000)/3, 1))

	dir, err := os.MkdirTemp("", "pyro-dispatch-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := &comparison{parameters: p, running: map[string]*proxy{}, log: os.Stderr}
	if c.contenders, err = choose(*selectContenders, allContenders(dir, dispatcher), func(c contender) string { return c.name }); err != nil {
		return fmt.Errorf("-contenders: %w", err)
	}
	if c.scenarios, err = choose(*selectScenarios, allScenarios(p.IdleSessions), func(s scenario) string { return s.name }); err != nil {
		return fmt.Errorf("-scenarios: %w", err)
	}
	if *dispatcher == "" && slices.ContainsFunc(c.contenders, func(c contender) bool { return !strings.HasPrefix(c.name, "haproxy") && c.name != nameDirect }) {
		if *dispatcher, err = buildDispatcher(ctx, dir); err != nil {
			return err
		}
	}
	conditions := observeConditions(ctx, p)
	samples, err := c.run(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	r := report{Conditions: conditions, Samples: samples, contenders: c.contenders, scenarios: c.scenarios}
	if err := r.tables(os.Stdout); err != nil {
		return err
	}
	return errors.Join(writeFile(*page, keepBlobs(*page, r.page)), writeFile(*jsonFile, r.json))
}

// choose returns the items named in a comma-separated list, in their own order; all for an empty list.
func choose[T any](list string, items []T, name func(T) string) ([]T, error) {
	if list == "" {
		return items, nil
	}
	wanted := strings.Split(list, ",")
	var chosen []T
	var names []string
	for _, item := range items {
		names = append(names, name(item))
		if slices.Contains(wanted, name(item)) {
			chosen = append(chosen, item)
		}
	}
	for _, w := range wanted {
		if !slices.Contains(names, w) {
			return nil, fmt.Errorf("no %q; there are %s", w, strings.Join(names, ", "))
		}
	}
	return chosen, nil
}

// writeFile writes what print prints into a file, replacing it only when complete; no path, no file.
func writeFile(path string, print func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	var text strings.Builder
	if err := print(&text); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(text.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
