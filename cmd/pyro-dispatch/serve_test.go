package main

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// caller is a client of an object of ours.
func caller(t *testing.T, port int, object string) *control.Client {
	t.Helper()
	var client *control.Client
	pyrotest.WaitFor(t, "the dispatcher", func() (ok bool) {
		c, err := control.Dial(t.Context(), control.ClientConfig{
			Network: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", port), Dialect: wire.V502, Object: object,
		})
		client = c
		return err == nil
	})
	t.Cleanup(func() { client.Close() })
	return client
}

// TestNamesEndToEnd: a name that is registered is called through us, at the common port
// or, where its object is at two daemons, at one of its own; and a dispatcher that has
// clients of the name server connected ends at once, leaving nothing.
func TestNamesEndToEnd(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // behind all others
	main, ns, own := freePort(t), freePort(t), freePort(t)
	cfg := loaded(t, fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:%d"}]
topics: lab.topics
name_server: {listeners: [{address: "127.0.0.1:%d", broadcast: false}], ports: "%d-%d"}
`, main, ns, own, own))
	cfg.Admin.Address.Address, cfg.Admin.Address.Network = "", ""
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, cfg, zap.NewNop(), "test") }()

	first, second := startDaemon(t), startDaemon(t)
	server := caller(t, ns, names.OwnName)
	register := func(name, at string) {
		t.Helper()
		if _, err := server.Call(t.Context(), "register", []values.Value{name, "PYRO:o@" + at}, nil); err != nil {
			t.Fatal(err)
		}
	}
	lookup := func(name string) (values.URI, error) {
		t.Helper()
		v, err := server.Call(t.Context(), "lookup", []values.Value{name}, nil)
		u, _ := v.(values.URI)
		return u, err
	}
	reached := func(u values.URI) {
		t.Helper()
		c, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", u.Host, u.Port), time.Second)
		if err != nil {
			t.Fatalf("%s: %v", u, err)
		}
		defer c.Close()
		if _, err := pyrotest.NewClient(c, pyrotest.Client{Dialect: wire.V502}).Connect(u.Object); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	register("a", first)
	u, err := lookup("a")
	if err != nil || u.Port != main {
		t.Fatalf("a is at %s: %v", u, err)
	}
	reached(u)
	register("b", second)
	if _, err := server.Call(t.Context(), "remove", []values.Value{"a"}, nil); err != nil {
		t.Fatal(err)
	}
	register("a", second)
	if u, err = lookup("b"); err != nil || u.Port != main {
		t.Fatalf("b, whose daemon is the only one, is at %s: %v", u, err)
	}
	register("a", first)
	// There is one port for the two of them: one has it, the other is told so.
	with := 0
	for _, name := range []string{"a", "b"} {
		if u, err = lookup(name); err != nil {
			continue
		}
		if with++; u.Port != own {
			t.Errorf("%s is at %s", name, u)
		}
		reached(u)
	}
	if with != 1 {
		t.Errorf("%d names have the port", with)
	}

	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(cfg.DrainTimeout):
		t.Error("it waits for a client that asks nothing")
	}
}

// startDaemon starts a daemon that has every object, and returns its address.
func startDaemon(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &pyrotest.Daemon{Dialect: wire.V502}
	d.Start(ln)
	t.Cleanup(d.Close)
	return ln.Addr().String()
}
