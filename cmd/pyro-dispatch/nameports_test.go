package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pyro-dispatch/pyro-dispatch/expose"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// portsRig is the ports of names alone, of a server that accepts nobody.
type portsRig struct {
	*namePorts
	logged *observer.ObservedLogs
}

// keptFor is how long ports stay reserved for keys that nobody uses.
const keptFor = 3 * time.Hour

// startPorts makes those of a range, which run until stop is called.
func startPorts(t *testing.T, s store.Store, first, last int) (r *portsRig, stop func()) {
	t.Helper()
	core, logged := observer.New(zapcore.InfoLevel)
	log, set := zap.New(core), metrics.New(metrics.Build{})
	ports, err := expose.New(expose.Config{Store: s, First: first, Last: last, Keep: keptFor, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	server := relay.NewServer(relay.Config{BufferMemory: 16 << 20, Metrics: set, Log: log})
	like := relay.ListenerConfig{MaxSessions: 1, Env: router.Env{Listener: "names", Metrics: set.Listener("names")}}
	r = &portsRig{newNamePorts(ports, last-first+1, "127.0.0.1", server, like, log), logged}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.run(ctx) }()
	return r, func() { cancel(); <-ended }
}

// wants has ports wanted for keys.
func (r *portsRig) wants(keys ...string) {
	routes := make(map[string]*router.Route)
	for _, key := range keys {
		routes[key] = &router.Route{Name: key}
	}
	r.want(routes)
}

// listening says whether somebody listens at a port of this machine.
func listening(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		c.Close()
	}
	return err == nil
}

// TestNamePortsStay: a port is its key's, and leads to the key's route, also after a
// restart and whoever asks first then; it is closed while nobody wants it, and is the
// same afterwards.
func TestNamePortsStay(t *testing.T) {
	first := freePorts(t, 3)
	path := t.TempDir() + "/ports.json"
	had := make(map[string]int)
	for _, order := range [][]string{{"a", "b", "c"}, {"c", "b", "a"}} {
		synctest.Test(t, func(t *testing.T) {
			s, err := store.OpenFile(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r, stop := startPorts(t, s, first, first+2)
			for i := range order {
				r.wants(order[:i+1]...)
				synctest.Wait()
			}
			for _, key := range order {
				port, err := r.port(t.Context(), key)
				if err != nil {
					t.Fatalf("%s: %v", key, err)
				}
				if had[key] == 0 {
					had[key] = port
				}
				if port != had[key] || r.all()[key] != port || !listening(port) {
					t.Errorf("%s has port %d, then %d, listed as %v; open: %v", key, had[key], port, r.all(), listening(port))
				}
				if got := r.table(key).Find(&router.Request{}); got == nil || got.Name != key {
					t.Errorf("the port of %s leads to %+v", key, got)
				}
			}
			r.wants("b")
			synctest.Wait()
			if listening(had["a"]) || !listening(had["b"]) || r.table("a").Find(&router.Request{}) != nil {
				t.Error("it is not only the port of b that is open")
			}
			if _, err := r.port(t.Context(), "a"); !errors.Is(err, expose.ErrNotWanted) {
				t.Errorf("the port of what nobody wants: %v", err)
			}
			r.wants("a", "b")
			if port, err := r.port(t.Context(), "a"); port != had["a"] || err != nil {
				t.Errorf("when it is wanted again, a has port %d (%v)", port, err)
			}
			stop()
			for key, port := range had {
				if listening(port) {
					t.Errorf("the port of %s is left open", key)
				}
			}
		})
	}
}

// TestNamePortTaken: a port that somebody else has is told of as such, and is not
// replaced by another; when it is free the name has it.
func TestNamePortTaken(t *testing.T) {
	first := freePorts(t, 1)
	other, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	synctest.Test(t, func(t *testing.T) {
		r, stop := startPorts(t, store.NewMemory(), first, first)
		defer stop()
		r.wants("a")
		_, err := r.port(t.Context(), "a")
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "no port of its own") {
			t.Errorf("the error is %v", err)
		}
		synctest.Wait() // the log may be a moment later
		if n := r.logged.FilterMessageSnippet("somebody else has the port").Len(); n != 1 {
			t.Errorf("it is logged %d times", n)
		}
		other.Close()
		time.Sleep(time.Minute)
		if port, err := r.port(t.Context(), "a"); port != first || err != nil {
			t.Errorf("when it is free, a has port %d (%v)", port, err)
		}
	})
}

// TestNamePortsFull: who finds the range full is told so, and has a port when that of
// another is given up at last; who has a port is not touched.
func TestNamePortsFull(t *testing.T) {
	first := freePorts(t, 1)
	synctest.Test(t, func(t *testing.T) {
		r, stop := startPorts(t, store.NewMemory(), first, first)
		defer stop()
		r.wants("a")
		if port, err := r.port(t.Context(), "a"); port != first || err != nil {
			t.Fatalf("a has port %d (%v)", port, err)
		}
		r.wants("a", "b")
		synctest.Wait()
		for range 2 { // the second time from memory
			if _, err := r.port(t.Context(), "b"); !errors.Is(err, expose.ErrRangeFull) || !strings.Contains(err.Error(), "no port of its own") {
				t.Errorf("the error is %v", err)
			}
		}
		if port, err := r.port(t.Context(), "a"); port != first || err != nil {
			t.Errorf("a, which has one, is told %d (%v)", port, err)
		}
		if n := r.logged.FilterMessage("there are no ports for some names or endpoints").Len(); n == 0 {
			t.Error("it is not logged")
		}
		r.wants("b")
		time.Sleep(keptFor - time.Minute)
		if _, err := r.port(t.Context(), "b"); !errors.Is(err, expose.ErrRangeFull) {
			t.Errorf("while the port is kept for a: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if port, err := r.port(t.Context(), "b"); port != first || err != nil {
			t.Errorf("when it is kept no longer, b has port %d (%v)", port, err)
		}
	})
}
