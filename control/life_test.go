package control_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// serpent502 is as good as any form where that does not matter.
var serpent502 = form{wire.V502, wire.Serpent}

// timeouts are all different, so that a test tells which one ran out.
func timeouts() control.Config {
	return control.Config{
		HandshakeTimeout: 3 * time.Second, IdleTimeout: 50 * time.Second, RequestTimeout: 7 * time.Second,
		CallTimeout: 11 * time.Second, DrainTimeout: 5 * time.Second,
	}
}

// inBubble runs a test in virtual time with a daemon of those timeouts.
func inBubble(t *testing.T, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) { test(t, start(t, timeouts())) })
}

// wantEndAfter checks when the daemon closes the connection.
func wantEndAfter(t *testing.T, p *peer, want time.Duration) {
	t.Helper()
	began := time.Now()
	m, err := p.Next()
	if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %+v, %v instead of the end", m, err)
	}
	if took := time.Since(began); took != want {
		t.Errorf("ended after %v, want %v", took, want)
	}
}

func TestTimeouts(t *testing.T) {
	t.Run("nothing", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) { wantEndAfter(t, r.dial(serpent502), 3*time.Second) })
	})
	t.Run("half a CONNECT", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) {
			p := r.dial(serpent502)
			b := p.ConnectMessage("lab").Bytes()
			if _, err := p.Write(b[:len(b)-1]); err != nil {
				t.Fatal(err)
			}
			wantEndAfter(t, p, 3*time.Second)
		})
	})
	t.Run("idle", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) {
			p := r.connected(serpent502)
			time.Sleep(49 * time.Second)
			if err := p.Ping(); err != nil {
				t.Fatal(err)
			}
			wantEndAfter(t, p, 50*time.Second)
		})
	})
	t.Run("half a request", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) {
			p := r.connected(serpent502)
			time.Sleep(40 * time.Second)
			if _, err := p.Write(p.invocation("lab", "echo", nil, nil).Bytes()[:1]); err != nil {
				t.Fatal(err)
			}
			wantEndAfter(t, p, 7*time.Second)
		})
	})
	t.Run("a call", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) {
			p := r.connected(serpent502)
			began := time.Now()
			_, err := p.call("wait")
			var e *values.Exception
			if !errors.As(err, &e) || e.Class != "errors.PyroError" || !strings.HasPrefix(e.Args[0].(string), "the call took too long") {
				t.Errorf("%v", err)
			}
			wantEqual(t, "time", time.Since(began), 11*time.Second)
			wantEqual(t, "outcomes", r.outcomes(), []control.Outcome{control.TimedOut})
		})
	})
	t.Run("a reply that is not taken", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) {
			r.network.Buffer = 1000
			p := r.connected(serpent502)
			text := strings.Repeat("x", 100_000)
			if err := p.Send(p.invocation("lab", "echo", []values.Value{text}, nil)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(8 * time.Second)
			if _, err := p.Next(); err == nil {
				t.Error("the reply was complete")
			}
		})
	})
}

// The end of Serve's context ends idle connections at once, and lets calls finish.
func TestDrain(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		idle, fresh, busy := r.connected(serpent502), r.dial(serpent502), r.connected(serpent502)
		call := busy.invocation("lab", "hold", nil, nil)
		if err := busy.Send(call); err != nil {
			t.Fatal(err)
		}
		<-r.lab.began
		r.end()
		wantEndAfter(t, idle, 0)
		wantEndAfter(t, fresh, 0)
		if _, err := r.network.Dial(address); err == nil {
			t.Error("still listening")
		}
		synctest.Wait()
		select {
		case <-r.over:
			t.Fatal("Serve returned with a call in flight")
		default:
		}
		time.Sleep(4 * time.Second)
		close(r.lab.held)
		if _, err := busy.Await(call); err != nil {
			t.Errorf("the call in flight: %v", err)
		}
		wantEndAfter(t, busy, 0)
		wantEqual(t, "Serve", <-r.over, nil)
	})
}

// A call that takes longer than the daemon waits loses its context and its connection.
func TestDrainIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		p := r.connected(serpent502)
		if err := p.Send(p.invocation("lab", "wait", nil, nil)); err != nil {
			t.Fatal(err)
		}
		<-r.lab.began
		began := time.Now()
		r.end()
		wantEqual(t, "Serve", <-r.over, nil)
		wantEqual(t, "time", time.Since(began), 5*time.Second)
		if m, err := p.Next(); err == nil {
			t.Errorf("got %+v", m)
		}
	})
}

// Connections too many are told so, and go when they were.
func TestConnectionLimits(t *testing.T) {
	for name, limits := range map[string]control.Limits{
		"in all": {Connections: 2}, "per source": {PerSource: 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, control.Config{Limits: limits})
			one, two := r.connected(serpent502), r.connected(serpent502)
			three := r.dial(serpent502)
			m, err := three.Connect("lab")
			if !errors.Is(err, pyrotest.ErrConnectFail) || !wire.Saturated(m.Data) {
				t.Fatalf("%v %q", err, m.Data)
			}
			wantEnd(t, three)
			elsewhere := pyrotest.DialClient(t, r.network, address, pyrotest.Client{Source: "192.0.2.77"})
			if _, err := elsewhere.Connect("lab"); (err == nil) != (name == "per source") {
				t.Errorf("from elsewhere: %v", err)
			}
			// A place that is given up can be had.
			_ = one.CloseWrite()
			wantEnd(t, one)
			for err = pyrotest.ErrConnectFail; errors.Is(err, pyrotest.ErrConnectFail); {
				_, err = r.dial(serpent502).Connect("lab")
			}
			if err != nil {
				t.Error(err)
			}
			if err := two.Ping(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Only so many are told at once, for as long as that takes.
func TestDeclining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, control.Config{Limits: control.Limits{Connections: 1}})
		r.connected(serpent502)
		for range 3 {
			for range 64 {
				if _, err := r.dial(serpent502).Connect("lab"); !errors.Is(err, pyrotest.ErrConnectFail) {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if _, err := r.dial(serpent502).Connect("lab"); err == nil || errors.Is(err, pyrotest.ErrConnectFail) {
				t.Errorf("one more: %v", err)
			}
			time.Sleep(2 * time.Second) // they linger
		}
	})
}

// Large requests that would take more memory than there is wait for it, and no longer
// than a request may take.
func TestMemoryIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := timeouts()
		c.Limits = control.Limits{Message: 100_000, Memory: 190_000}
		r := start(t, c)
		text := strings.Repeat("x", 90_000)
		var all []*peer
		for range 3 {
			p := r.connected(serpent502)
			m := p.invocation("lab", "note", []values.Value{text}, nil).Bytes()
			go func() { _, _ = p.Write(m[:80_000]) }()
			synctest.Wait()
			all = append(all, p)
		}
		// Two hold the memory until their time is over, and the third waits for it.
		began := time.Now()
		p := r.connected(serpent502)
		if _, err := p.call("note", "a small one"); err != nil || time.Since(began) != 0 {
			t.Errorf("a small request: %v, after %v", err, time.Since(began))
		}
		time.Sleep(time.Second) // so that it does not run out of time when the others do
		if _, err := p.call("note", text); err != nil || time.Since(began) != 7*time.Second {
			t.Errorf("a large request: %v, after %v", err, time.Since(began))
		}
		for _, p := range all {
			if m, err := p.Next(); err == nil {
				t.Errorf("got %+v", m)
			}
		}
	})
}

// flaky is a listener that fails before it accepts.
type flaky struct {
	net.Listener
	failures int
}

func (l *flaky) Accept() (net.Conn, error) {
	if l.failures--; l.failures >= 0 {
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestServeSurvivesFailuresToAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &pyrotest.Network{}
		l, err := network.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- control.New(control.Config{}).Serve(ctx, &flaky{l, 20}, "") }()
		c := pyrotest.DialClient(t, network, address, pyrotest.Client{})
		if _, err := c.Connect("Pyro.Daemon"); err != nil {
			t.Error(err)
		}
		cancel()
		wantEqual(t, "Serve", <-over, nil)
		// A listener that somebody else closes is an error.
		l, err = network.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		go func() { over <- control.New(control.Config{}).Serve(t.Context(), l, "") }()
		_ = l.Close()
		if err := <-over; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}
