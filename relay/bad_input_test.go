package relay_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func smallLimits(e *router.Env) {
	e.Limits = router.Limits{Message: 1 << 20, Annotations: 1000, Handshake: 4000, StoreAndForward: 64 << 10}
}

// head is the header of a message that may lie about its lengths.
func head(d wire.Dialect, t wire.Type, annotationsLen, dataLen uint32) []byte {
	return wire.AppendHead(nil, wire.Head{
		Dialect: d, Type: t, SerializerID: d.SerializerID(wire.Serpent), Seq: 7,
		AnnotationsLen: annotationsLen, DataLen: dataLen,
	})
}

func with(b []byte, at int, value byte) []byte {
	b[at] = value
	return b
}

// overrun has a chunk that is longer than the annotations.
func overrun(d wire.Dialect, t wire.Type) []byte {
	return append(head(d, t, 10, 1), "ABCD\xff\xff\xff\xff\xff\xff1"...)
}

// What a client may send in place of a CONNECT, and what it gets: CONNECTFAIL,
// as soon as it is clear what it is. Nobody else is disturbed, and no daemon
// hears of it.
func TestBadHandshakes(t *testing.T) {
	scenarios := []struct {
		name    string
		send    []byte
		dialect wire.Dialect // of the refusal; 0: there is none
		text    string       // part of it
		reason  string
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"), wire.V502, "invalid data", "not_pyro"},
		{"six bytes", []byte("GET /x"), wire.V502, "invalid data", "not_pyro"},
		{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), wire.V502, "invalid data", "not_pyro"},
		{"zeros", make([]byte, 100_000), wire.V502, "invalid data", "not_pyro"},
		{"version 47", []byte("PYRO\x00\x2f"), wire.V48, "unsupported protocol version", "unsupported_version"},
		{"version 503", []byte("PYRO\x01\xf7"), wire.V502, "invalid protocol version: 503", "unsupported_version"},
		{"checksum", with(head(wire.V48, wire.Connect, 0, 0), 22, 0), wire.V48, "checksum mismatch", "header_check"},
		{"magic", with(head(wire.V502, wire.Connect, 0, 0), 38, 0), wire.V502, "invalid message", "header_check"},
		{"negative length", head(wire.V48, wire.Connect, 0, 1<<31), wire.V48, "negative", "negative_length"},
		{"INVOKE in 48", head(wire.V48, wire.Invoke, 0, 0), wire.V48, "invalid msg type 4 received", "message_type"},
		{"INVOKE in 502", head(wire.V502, wire.Invoke, 0, 0), wire.V502, "invalid msg type 4 received (expected: 1)", "message_type"},
		{"type 99", head(wire.V502, 99, 0, 0), wire.V502, "invalid msg type 99", "message_type"},
		{"2 GiB", head(wire.V48, wire.Connect, 0, 1<<31-1), wire.V48, "max message size exceeded", "message_size"},
		{"8 GiB", head(wire.V502, wire.Connect, 1<<32-1, 1<<32-1), wire.V502, "message too large", "message_size"},
		{"handshake size", head(wire.V502, wire.Connect, 0, 5000), wire.V502, "handshake too large (5040, max=4000)", "handshake_size"},
		{"annotations size", head(wire.V502, wire.Connect, 2000, 1), wire.V502, "annotations too large (2000, max=1000)", "annotations_size"},
		{"annotations overrun in 48", overrun(wire.V48, wire.Connect), wire.V48, "annotation", "annotations"},
		{"annotations overrun in 502", overrun(wire.V502, wire.Connect), wire.V502, "annotation", "annotations"},
		{"nothing", nil, 0, "", "client_closed"},
		{"three bytes", []byte("GET"), 0, "", "truncated"},
		{"half a header", head(wire.V48, wire.Connect, 0, 0)[:12], 0, "", "truncated"},
		{"half a CONNECT", head(wire.V502, wire.Connect, 0, 10), 0, "", "truncated"},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				r := start(t, tr, setup{Env: smallLimits})
				b := r.bystander(pyrotest.Client{})
				c := r.dial(pyrotest.Client{})
				_, err := c.Write(s.send)
				noError(t, err)
				if s.dialect == 0 {
					noError(t, c.CloseWrite())
				} else {
					m, err := c.Next()
					noError(t, err)
					if m.Head.Dialect != s.dialect || m.Head.Type != wire.ConnectFail || m.Head.Seq != 0 || m.Head.Serializer() != wire.Marshal {
						t.Errorf("refused with %+v", m.Head)
					}
					if !strings.Contains(string(m.Data), s.text) {
						t.Errorf("refused with %q, want %q", m.Data, s.text)
					}
				}
				_, err = c.Next()
				wantError(t, "at the end", err, io.EOF)
				c.Close()
				b.end()
				r.stop()
				if r.reasons()[s.reason] < 1 {
					t.Errorf("ended by %v, want %s", r.reasons(), s.reason)
				}
				rejected := 1.0
				if s.reason == "client_closed" {
					rejected = 0
				}
				if n := r.value("rejected_total", s.reason); n != rejected {
					t.Errorf("%v rejected", n)
				}
				if n := len(r.daemon().Conns()); n != 1 {
					t.Errorf("%d connections to the daemon", n)
				}
			})
		})
	}
}

// What a client may send behind a good handshake: the connection is closed,
// and the daemon does not see a byte of it, but all that was good before.
func TestBadRequests(t *testing.T) {
	scenarios := []struct {
		name   string
		send   func(d wire.Dialect) []byte
		reason string
	}{
		{"garbage", func(wire.Dialect) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, "not_pyro"},
		{"much garbage", func(wire.Dialect) []byte { return make([]byte, 100_000) }, "not_pyro"},
		{"version", func(wire.Dialect) []byte { return []byte("PYRO\x01\xf7") }, "unsupported_version"},
		{"other dialect", func(d wire.Dialect) []byte { return head(wire.V48+wire.V502-d, wire.Invoke, 0, 0) }, "unsupported_version"},
		{"check", func(d wire.Dialect) []byte {
			b := head(d, wire.Invoke, 0, 0)
			return with(b, len(b)-1, b[len(b)-1]+1)
		}, "header_check"},
		{"CONNECT", func(d wire.Dialect) []byte { return head(d, wire.Connect, 0, 0) }, "message_type"},
		{"RESULT", func(d wire.Dialect) []byte { return head(d, wire.Result, 0, 0) }, "message_type"},
		{"2 GiB", func(d wire.Dialect) []byte { return head(d, wire.Ping, 0, 1<<31-1) }, "message_size"},
		{"annotations size", func(d wire.Dialect) []byte { return head(d, wire.Invoke, 2000, 1) }, "annotations_size"},
		{"annotations overrun", func(d wire.Dialect) []byte { return overrun(d, wire.Invoke) }, "annotations"},
		{"half a header", func(d wire.Dialect) []byte { return head(d, wire.Invoke, 0, 1)[:15] }, "client_closed"},
		{"half a request", func(d wire.Dialect) []byte { return head(d, wire.Invoke, 0, 100) }, "client_closed"},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				for _, d := range dialects {
					daemon := &pyrotest.Daemon{Record: true}
					r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{daemon}, Env: smallLimits})
					b := r.bystander(pyrotest.Client{Dialect: d})
					c := r.connect(pyrotest.Client{Dialect: d, Record: true})
					oneway := c.InvokeMessage([]byte("oneway\n"))
					oneway.Head.Flags |= d.Bit(wire.Oneway)
					call := c.InvokeMessage([]byte("call\n"))
					_, err := c.Write(append(append(oneway.Bytes(), call.Bytes()...), s.send(d)...))
					noError(t, err)
					if s.reason == "client_closed" {
						noError(t, c.CloseWrite())
					}
					_, err = c.Await(call)
					noError(t, err) // what was asked before is answered
					_, err = c.Next()
					wantError(t, "at the end", err, io.EOF)
					c.Close()
					conn := daemon.Conns()[1]
					<-conn.Ended()
					good := len(c.Sent()) - len(s.send(d))
					if got := conn.Received(); string(got) != string(c.Sent()[:good]) {
						t.Errorf("the daemon received %d bytes, want the %d good ones", len(got), good)
					}
					b.end()
					r.stop()
					if r.reasons()[s.reason] < 1 {
						t.Errorf("ended by %v, want %s", r.reasons(), s.reason)
					}
				}
			})
		})
	}
}

// Bytes come one at a time, but steadily: nothing is wrong with that.
func TestByteAtATime(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		daemon := &pyrotest.Daemon{Record: true}
		single := func(c net.Conn) net.Conn {
			return &shaped{Conn: c, next: func() int { return 1 }, settle: func() {}}
		}
		r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{daemon}, ShapeDaemon: single})
		for i, d := range dialects {
			c := r.dial(pyrotest.Client{Dialect: d, Record: true})
			c.Conn = single(c.Conn)
			_, err := c.Connect("some.object")
			noError(t, err)
			_, err = c.Call(pyrotest.CallData("call", 700))
			noError(t, err)
			noError(t, c.Ping())
			noError(t, c.Close())
			conn := daemon.Conns()[i]
			<-conn.Ended()
			checkBytes(t, c, conn)
		}
	})
}

// One byte a second is too slow: handshake_timeout and request_timeout count
// from the first byte, not from the last.
func TestSlowloris(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{})
		b := r.bystander(pyrotest.Client{})
		slowly := func(c *pyrotest.Client, m pyrotest.Message) time.Duration {
			started := time.Now()
			written := make(chan struct{})
			defer func() { <-written }()
			defer c.Close()
			go func() {
				defer close(written)
				for _, one := range m.Bytes() {
					time.Sleep(time.Second)
					if _, err := c.Write([]byte{one}); err != nil {
						return
					}
				}
			}()
			for {
				if _, err := c.Read(make([]byte, 1000)); err != nil {
					wantError(t, "at the end", err, io.EOF)
					return time.Since(started)
				}
			}
		}
		c := r.dial(pyrotest.Client{Record: true})
		if took := slowly(c, c.ConnectMessage("some.object")); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("slow handshake was cut after %v", took)
		}
		if !strings.Contains(string(c.Received()), "no CONNECT message in time") {
			t.Errorf("slow handshake refused with %q", c.Received())
		}
		c = r.connect(pyrotest.Client{})
		if took := slowly(c, c.InvokeMessage(make([]byte, 100))); took < 31*time.Second || took > 32*time.Second {
			t.Errorf("slow request was cut after %v", took)
		}
		b.end()
		r.stop()
		if n := r.reasons(); n["handshake_timeout"] != 1 || n["request_timeout"] != 1 {
			t.Errorf("ended by %v", n)
		}
	})
}
