package control_test

import (
	"context"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func TestDaemonObject(t *testing.T) {
	inEach(t, func(t *testing.T, f form) {
		r := start(t, control.Config{})
		p := r.dial(f)
		if _, err := p.Connect("Pyro.Daemon"); err != nil {
			t.Fatal(err)
		}
		ask := func(method string, args ...values.Value) (values.Value, error) {
			return p.do(p.invocation("Pyro.Daemon", method, args, nil))
		}
		if v, err := ask("ping"); v != nil || err != nil {
			t.Errorf("ping: %v %v", v, err)
		}
		v, err := ask("registered")
		wantEqual(t, "registered", v, values.Value(values.List{"Pyro.Daemon", "lab"}))
		wantEqual(t, "registered", err, nil)
		v, _ = ask("info")
		if text, _ := v.(string); !strings.HasPrefix(text, "Pyro.Daemon bound on "+address+", NAT None, 2 objects") {
			t.Errorf("info: %v", v)
		}
		v, _ = p.do(p.invocation("Pyro.Daemon", "get_metadata", nil, values.Dict{{Key: "objectId", Value: "lab"}}))
		if d, ok := v.(values.Dict); !ok || len(d) != 3 {
			t.Errorf("get_metadata: %v", v)
		} else if _, set := d[0].Value.(values.Set); set && f.d == wire.V48 {
			t.Error("get_metadata: sets, which Python 2 cannot read")
		}
		_, err = ask("get_metadata", "nobody")
		wantRaised(t, err, "errors.DaemonError", "unknown object")
		_, err = ask("get_metadata")
		wantRaised(t, err, "builtins.TypeError", "DaemonObject.get_metadata() missing 1 required positional argument: 'objectId'")
		_, err = ask("get_next_stream_item", "x")
		wantRaised(t, err, "errors.PyroError", "item stream terminated")
	})
}

// A connection of a Unix socket has no addresses, and no source to count it by.
func TestUnixSocket(t *testing.T) {
	r := start(t, control.Config{Limits: control.Limits{PerSource: 1}})
	l, err := r.network.Listen("unix:/run/lab")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- r.daemon.Serve(ctx, l, "unix") }()
	for range 2 {
		c := pyrotest.DialClient(t, r.network, "unix:/run/lab", pyrotest.Client{})
		if _, err := c.Connect("lab"); err != nil {
			t.Fatal(err)
		}
		p := &peer{Client: c, t: t, form: form{wire.V502, wire.Serpent}, codec: form{wire.V502, wire.Serpent}.codec(t)}
		if _, err := p.call("echo"); err != nil {
			t.Error(err)
		}
		if from := r.lab.from; from.Local.IsValid() || from.Remote.IsValid() || from.Listener != "unix" {
			t.Errorf("%+v", from)
		}
	}
	cancel()
	wantEqual(t, "Serve", <-over, nil)
}
