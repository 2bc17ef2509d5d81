package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// publicRig is a dispatcher that runs, but for its command line and admin server.
type publicRig struct {
	*public
	set    *metrics.Set
	opened []net.Listener
	stop   func() // as at the test's end; it may be called before
}

// startPublic starts one.
func startPublic(t *testing.T, text string) *publicRig {
	t.Helper()
	cfg, set := loaded(t, text), metrics.New(metrics.Build{})
	f, err := newFleet(cfg, set, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	config := assemble(cfg, f, set, zap.NewNop())
	opened, err := listenAll(cfg, config.Listeners)
	if err != nil {
		t.Fatal(err)
	}
	server := relay.NewServer(config)
	p, err := newPublic(f, server, config.Listeners, opened)
	if err != nil {
		t.Fatal(err)
	}
	serving, drain := context.WithCancel(context.Background())
	background, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.run(background) })
	running.Go(func() { p.run(background) })
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving) }()
	stop := sync.OnceFunc(func() {
		drain()
		if err := <-served; err != nil {
			t.Error(err)
		}
		end()
		running.Wait()
		f.close()
	})
	t.Cleanup(stop)
	return &publicRig{public: p, set: set, opened: opened, stop: stop}
}

// connect connects a client at a port of this machine.
func connect(t *testing.T, port int, object string) (*pyrotest.Client, error) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := pyrotest.NewClient(conn, pyrotest.Client{Dialect: wire.V502})
	_, err = c.Connect(object)
	return c, err
}

// portOf is the port of a listener.
func portOf(ln net.Listener) int { return ln.Addr().(*net.TCPAddr).Port }

// freePorts gives the first of n ports in a row that nobody listens at.
func freePorts(t *testing.T, n int) (first int) {
	t.Helper()
	for range 100 {
		first = freePort(t)
		free := first+n <= 65536
		for port := first + 1; free && port < first+n; port++ {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if free = err == nil; free {
				ln.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatalf("there are no %d free ports in a row", n)
	return 0
}
