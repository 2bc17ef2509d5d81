package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

var update = flag.Bool("update", false, "rewrite the generated files from what the code says now")

// TestMain makes the program a command of the scripts, and of tests that need
// a real process. The other commands are the program with another serve, in
// place of the dispatcher.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"pyro-dispatch": main,
		// Says what it would serve.
		"pyro-dispatch-show": func() { os.Exit(thisProcess(serveShow).main(os.Args[1:])) },
		// Does not manage to start.
		"pyro-dispatch-fail": func() { os.Exit(thisProcess(serveFail).main(os.Args[1:])) },
		// Serves, and drains for ever.
		"pyro-dispatch-stuck": func() { os.Exit(thisProcess(serveStuck).main(os.Args[1:])) },
	})
}

func serveShow(_ context.Context, c *config.Config, log *zap.Logger, _ string) error {
	for _, l := range c.Listeners {
		fmt.Println("listener", l.Name, l.Address)
	}
	if c.Defaults != config.DefaultDefaults() {
		d := c.Defaults
		fmt.Println("defaults", d.Timeout, d.TimeoutError, d.Circular, d.Correlation)
	}
	for _, r := range c.Routes {
		fmt.Println("route", r.Name, "to", r.Cluster, "by", r.Mode)
		if r.Timeout != nil {
			fmt.Println("  timeout", *r.Timeout)
		}
	}
	for _, cluster := range c.Clusters {
		fmt.Println("cluster", cluster.Name, cluster.Static, cluster.Consul.Service)
		fmt.Println("  connections", cluster.MaxConnections, "queue", cluster.Queue, "retries", cluster.Retries)
	}
	if c.UsesConsul() {
		fmt.Printf("consul %s token %q of %q\n", c.Consul.Address, c.Consul.Token, c.Consul.TokenFile)
	}
	fmt.Printf("admin %q\n", c.Admin.Address)
	fmt.Println("log", c.Log.Level, c.Log.Format)
	log.Debug("a debug line")
	log.Info("an info line", zap.String("key", "value"))
	log.Error("an error line")
	return nil
}

func serveFail(context.Context, *config.Config, *zap.Logger, string) error {
	return errors.New("listen tcp 127.0.0.1:9999: bind: address already in use")
}

func serveStuck(ctx context.Context, _ *config.Config, _ *zap.Logger, _ string) error {
	fmt.Println("serving")
	<-ctx.Done()
	fmt.Println("draining")
	select {}
}

func TestScripts(t *testing.T) {
	const dir = "testdata/script"
	if scripts, err := filepath.Glob(filepath.Join(dir, "*.txtar")); err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts in %s (%v)", dir, err)
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, UpdateScripts: *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			example, err := os.ReadFile("../../pyro-dispatch.example.yaml")
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "example.yaml"), example, 0o600)
		},
	})
}
