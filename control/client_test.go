package control_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// client dials what listens in the network.
func client(t *testing.T, n *pyrotest.Network, c control.ClientConfig) (*control.Client, error) {
	t.Helper()
	c.Address, c.Dial = address, n.DialContext
	if c.Object == "" {
		c.Object = "lab"
	}
	got, err := control.Dial(t.Context(), c)
	if err == nil {
		t.Cleanup(func() { _ = got.Close() })
	}
	return got, err
}

func TestClientCalls(t *testing.T) {
	inEach(t, func(t *testing.T, f form) {
		r := start(t, control.Config{HMACKey: []byte("key"), Unsigned502: true})
		c, err := client(t, r.network, control.ClientConfig{Dialect: f.d, Serializer: f.s, HMACKey: []byte("key")})
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "dialect", c.Dialect(), f.d)
		v, err := c.Call(t.Context(), "echo", []values.Value{"x"}, values.Dict{{Key: "y", Value: int64(2)}})
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "echo", flat(v), values.Value(values.List{values.List{"x"}, values.Dict{{Key: "y", Value: int64(2)}}}))
		_, err = c.Call(t.Context(), "naming", nil, nil)
		wantRaised(t, err, "errors.NamingError", "unknown name: x")
		if v, err := c.CallObject(t.Context(), "Pyro.Daemon", "ping", nil, nil); v != nil || err != nil {
			t.Errorf("ping: %v %v", v, err)
		}
		if _, err := c.Call(t.Context(), "echo", []values.Value{make(chan int)}, nil); !errors.Is(err, control.ErrRequest) {
			t.Errorf("what cannot be sent: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Call(gone, "echo", nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("without time: %v", err)
		}
		if _, err := c.Call(t.Context(), "echo", nil, nil); err != nil {
			t.Errorf("after that: %v", err)
		}
		_ = c.Close()
		if _, err := c.Call(t.Context(), "echo", nil, nil); !errors.Is(err, control.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestClientLearnsDialect(t *testing.T) {
	for name, test := range map[string]struct {
		daemon *pyrotest.Daemon
		want   wire.Dialect
		conns  int
	}{
		"pyro5":                  {&pyrotest.Daemon{Dialect: wire.V502}, wire.V502, 1},
		"pyro4":                  {&pyrotest.Daemon{Dialect: wire.V48}, wire.V48, 2},
		"closes without a word":  {&pyrotest.Daemon{OnConnect: closeV502}, wire.V48, 2},
		"resets without a word":  {&pyrotest.Daemon{OnConnect: resetV502}, wire.V48, 2},
		"refuses in the dialect": {&pyrotest.Daemon{OnConnect: pyrotest.RejectConnect("no")}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := &pyrotest.Network{}
			d := pyrotest.StartDaemon(t, n, address, test.daemon)
			c, err := client(t, n, control.ClientConfig{})
			if test.want == 0 {
				var refused *control.RefusedError
				if !errors.Is(err, control.ErrRefused) || !errors.As(err, &refused) || refused.Text != "no" {
					t.Errorf("%v", err)
				}
			} else if err != nil {
				t.Fatal(err)
			} else {
				wantEqual(t, "dialect", c.Dialect(), test.want)
			}
			wantEqual(t, "connections", len(d.Conns()), test.conns)
		})
	}
}

func closeV502(c *pyrotest.DaemonConn, m pyrotest.Message) {
	if m.Head.Dialect == wire.V502 {
		_ = c.Close()
		return
	}
	pyrotest.AcceptConnect(c, m)
}

func resetV502(c *pyrotest.DaemonConn, m pyrotest.Message) {
	if m.Head.Dialect == wire.V502 {
		_ = c.Reset()
		return
	}
	pyrotest.AcceptConnect(c, m)
}

// What is no answer ends the client.
func TestClientDistrustsReplies(t *testing.T) {
	bad := func(change func(m *pyrotest.Message)) pyrotest.Script {
		return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			m.Head.Type, m.Data = wire.Result, pyrotest.Encode(wire.Serpent, nil)
			change(&m)
			_ = c.Send(m)
		}
	}
	flag := func(m *pyrotest.Message, f wire.Flag) { m.Head.Flags |= m.Head.Dialect.Bit(f) }
	for name, test := range map[string]struct {
		script pyrotest.Script
		want   error
	}{
		"sequence":   {bad(func(m *pyrotest.Message) { m.Head.Seq++ }), control.ErrReply},
		"serializer": {bad(func(m *pyrotest.Message) { m.Head.SerializerID++ }), control.ErrReply},
		"type":       {bad(func(m *pyrotest.Message) { m.Head.Type = wire.Ping }), control.ErrReply},
		"dialect":    {bad(func(m *pyrotest.Message) { m.Head.Dialect = wire.V48 }), control.ErrReply},
		"stream":     {pyrotest.ReplyStream("s"), control.ErrReply},
		"exception":  {bad(func(m *pyrotest.Message) { flag(m, wire.Exception) }), control.ErrReply},
		"size":       {pyrotest.ReplySize(100_001), control.ErrReply},
		"noise":      {pyrotest.ReplyData([]byte("((")), values.ErrMalformed},
		"end":        {pyrotest.Hangup, nil},
		"bomb": {bad(func(m *pyrotest.Message) {
			var b bytes.Buffer
			w := zlib.NewWriter(&b)
			_, _ = w.Write(make([]byte, 1<<20))
			_ = w.Close()
			m.Data = b.Bytes()
			flag(m, wire.Compressed)
		}), values.ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			n := &pyrotest.Network{}
			pyrotest.StartDaemon(t, n, address, &pyrotest.Daemon{OnInvoke: test.script})
			c, err := client(t, n, control.ClientConfig{Dialect: wire.V502, MaxReply: 100_000})
			if err != nil {
				t.Fatal(err)
			}
			v, err := c.Call(t.Context(), "echo", nil, nil)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%v, %v; want %v", v, err, test.want)
			}
			if _, err := c.Call(t.Context(), "echo", nil, nil); !errors.Is(err, control.ErrClosed) {
				t.Errorf("then: %v", err)
			}
		})
	}
}

func TestClientDistrustsHandshakes(t *testing.T) {
	for name, test := range map[string]struct {
		cfg    control.ClientConfig
		script pyrotest.Script
		want   error
	}{
		"type": {control.ClientConfig{}, pyrotest.ReplyData(nil), control.ErrReply},
		"dialect": {control.ClientConfig{Dialect: wire.V48}, func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			m.Head.Dialect = wire.V502
			pyrotest.AcceptConnect(c, m)
		}, control.ErrReply},
		"unsigned": {control.ClientConfig{HMACKey: []byte("key")}, pyrotest.AcceptConnect, nil},
		"pickle":   {control.ClientConfig{Dialect: wire.V48, Serializer: wire.Pickle}, pyrotest.AcceptConnect, nil},
	} {
		n := &pyrotest.Network{}
		pyrotest.StartDaemon(t, n, address, &pyrotest.Daemon{OnConnect: test.script})
		if _, err := client(t, n, test.cfg); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := client(t, &pyrotest.Network{}, control.ClientConfig{}); err == nil {
		t.Error("connected to nobody")
	}
}

// A client with a key takes no reply that is not signed, be it after a good handshake.
func TestClientWantsSignatures(t *testing.T) {
	n := &pyrotest.Network{}
	send := func(c *pyrotest.DaemonConn, m pyrotest.Message, typ wire.Type, data any, key string) {
		m.Head.Type, m.Chunks, m.Data = typ, nil, pyrotest.Encode(wire.Serpent, data)
		if key != "" {
			m = signed(m, key)
		}
		_ = c.Send(m)
	}
	key := "key"
	pyrotest.StartDaemon(t, n, address, &pyrotest.Daemon{
		OnConnect: func(c *pyrotest.DaemonConn, m pyrotest.Message) { send(c, m, wire.ConnectOK, "hello", "key") },
		OnInvoke:  func(c *pyrotest.DaemonConn, m pyrotest.Message) { send(c, m, wire.Result, "result", key) },
	})
	for _, key = range []string{"key", "", "yek"} {
		c, err := client(t, n, control.ClientConfig{HMACKey: []byte("key")})
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Call(t.Context(), "echo", nil, nil)
		if (err == nil) != (key == "key") || (v == "result") != (key == "key") {
			t.Errorf("signed with %q: %v, %v", key, v, err)
		}
	}
}

func TestClientTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &pyrotest.Network{}
		silent := &pyrotest.Daemon{OnInvoke: pyrotest.Silence}
		pyrotest.StartDaemon(t, n, address, silent)
		cfg := control.ClientConfig{Dialect: wire.V502, Timeout: 4 * time.Second}

		c, err := client(t, n, cfg)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.Call(t.Context(), "echo", nil, nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
		wantEqual(t, "time", time.Since(began), 4*time.Second)

		if c, err = client(t, n, cfg); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began = time.Now()
		// The second waits for its turn, and then finds the client closed.
		second := make(chan error)
		go func() {
			time.Sleep(time.Millisecond)
			_, err := c.Call(t.Context(), "echo", nil, nil)
			second <- err
		}()
		if _, err := c.Call(ctx, "echo", nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if err := <-second; !errors.Is(err, control.ErrClosed) {
			t.Errorf("second: %v", err)
		}
		wantEqual(t, "time", time.Since(began), time.Second)

		if c, err = client(t, n, cfg); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		if _, err := c.Call(t.Context(), "echo", nil, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a daemon that never answers CONNECT
		n := &pyrotest.Network{}
		pyrotest.StartDaemon(t, n, address, &pyrotest.Daemon{OnConnect: pyrotest.Silence})
		began := time.Now()
		if _, err := client(t, n, control.ClientConfig{Timeout: 4 * time.Second}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
		wantEqual(t, "time", time.Since(began), 4*time.Second)
	})
}
