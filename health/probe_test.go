package health

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pyro-dispatch/pyro-dispatch/handshake"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	addr    = "192.0.2.10:9999"
	timeout = 3 * time.Second
)

var dialects = []wire.Dialect{wire.V48, wire.V502}

// ask starts the daemon and runs the probe with a deadline. It must be called in
// a bubble.
func ask(t *testing.T, d *pyrotest.Daemon, p Probe) Result {
	t.Helper()
	network := &pyrotest.Network{}
	pyrotest.StartDaemon(t, network, addr, d)
	conn, err := network.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	return p.Run(conn)
}

// TestAlive: a daemon accepts the CONNECT and answers a PING, in both dialects
// and every serializer.
func TestAlive(t *testing.T) {
	for _, d := range dialects {
		for s := wire.UnknownSerializer; s <= wire.Cloudpickle; s++ {
			t.Run(fmt.Sprintf("%s, %s", d, s), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					daemon := &pyrotest.Daemon{Dialect: d}
					var pings []pyrotest.Message
					daemon.OnPing = func(c *pyrotest.DaemonConn, m pyrotest.Message) {
						pings = append(pings, m)
						pyrotest.Pong(c, m)
					}
					got := ask(t, daemon, Probe{Dialect: d, Serializer: s, Object: "lab.camera", Handshake: "hello"})
					if got != (Result{Finding: Alive, Dialect: d}) {
						t.Errorf("%+v", got)
					}
					synctest.Wait()
					conn := daemon.Conns()[0]
					if err := conn.Err(); !errors.Is(err, io.EOF) {
						t.Errorf("the daemon's end: %v", err)
					}
					by := s
					if d.SerializerID(s) == 0 {
						by = wire.Serpent
					}
					want := wire.Head{
						Dialect: d, Type: wire.Connect, SerializerID: d.SerializerID(by),
						Flags: d.Bit(wire.MetaOnConnect), DataLen: uint32(len(conn.Connect.Data)),
					}
					if conn.Connect.Head != want {
						t.Errorf("CONNECT %+v", conn.Connect.Head)
					}
					object, err := handshake.Object(by, false, conn.Connect.Data, handshake.DefaultLimits())
					if err != nil || object != "lab.camera" {
						t.Errorf("asked for %q, %v", object, err)
					}
					if !bytes.Contains(conn.Connect.Data, []byte("hello")) {
						t.Errorf("the handshake is not in %q", conn.Connect.Data)
					}
					if len(pings) != 1 || pings[0].Head.Seq == 0 || pings[0].Head.SerializerID != d.SerializerID(by) {
						t.Errorf("PINGs %+v", pings)
					}
				})
			})
		}
	}
}

// TestDefaults: a Probe that says nothing asks for what every daemon has.
func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		daemon := &pyrotest.Daemon{}
		if got := ask(t, daemon, Probe{}); got.Finding != Alive {
			t.Errorf("%+v", got)
		}
		connect := daemon.Conns()[0].Connect
		if object, err := handshake.Object(wire.Serpent, false, connect.Data, handshake.DefaultLimits()); err != nil || object != "Pyro.Daemon" {
			t.Errorf("asked for %q, %v", object, err)
		}
	})
}

// dribble answers with b, a byte each second.
func dribble(b []byte) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, _ pyrotest.Message) {
		for i := range b {
			if _, err := c.Write(b[i : i+1]); err != nil || !c.Pause(time.Second) {
				return
			}
		}
	}
}

// cut answers as the script does with the first n bytes only, and closes.
func cut(n int, t wire.Type) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		_, _ = c.Write(reply(m, t, "some text or other")[:n])
		_ = c.Close()
	}
}

// reply is a whole reply to m.
func reply(m pyrotest.Message, t wire.Type, data string) []byte {
	m.Head.Type, m.Head.Flags, m.Data, m.Chunks = t, 0, []byte(data), nil
	return m.Bytes()
}

// announce answers with a header alone, of a message of that type and lengths.
func announce(t wire.Type, annotations, data uint32) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		h := m.Head
		h.Type, h.AnnotationsLen, h.DataLen = t, annotations, data
		_, _ = c.Write(wire.AppendHead(nil, h))
	}
}

// long answers with so many bytes of data, after annotations, and text at the
// start of the data.
func long(t wire.Type, text string, n int) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		m.Head.Type, m.Head.Flags = t, 0
		m.Chunks = []wire.Chunk{{ID: [4]byte{'U', 'S', 'E', 'R'}, Value: make([]byte, 10_000)}}
		m.Data = append([]byte(text), make([]byte, n-len(text))...)
		_ = c.Send(m)
	}
}

// TestFailures has daemons fail at CONNECT and at PING, in both dialects.
func TestFailures(t *testing.T) {
	accept := pyrotest.Script(pyrotest.AcceptConnect)
	deaf := func(c *pyrotest.DaemonConn, _ pyrotest.Message) { <-c.Closing() }
	tests := []struct {
		name     string
		connect  pyrotest.Script
		ping     pyrotest.Script // with accept for connect
		finding  Finding
		err      error // that Err is, where there is one to name
		answered bool  // there was an answer to CONNECT
	}{
		{"no free workers", pyrotest.RejectConnect(pyrotest.NoFreeWorkers), nil, Saturated, ErrSaturated, true},
		{"no free workers, among much else", long(wire.ConnectFail, pyrotest.NoFreeWorkers, 50_000), nil, Saturated, ErrSaturated, true},
		{"unknown object", pyrotest.RejectConnect("unknown object"), nil, Refused, ErrUnknownObject, true},
		{"an object among other words", pyrotest.RejectConnect("no, unknown object"), nil, Refused, ErrConnectFail, true},
		{"refused at length", long(wire.ConnectFail, "no", 50_000), nil, Refused, ErrConnectFail, true},
		{"the other dialect", pyrotest.OtherDialect(accept), nil, OtherDialect, nil, true},
		{"refused in the other dialect", pyrotest.OtherDialect(pyrotest.RejectConnect("version")), nil, OtherDialect, nil, true},

		{"silence", pyrotest.Silence, nil, Unanswered, os.ErrDeadlineExceeded, false},
		{"deaf", deaf, nil, Unanswered, os.ErrDeadlineExceeded, false},
		{"part of a header", pyrotest.Garbage([]byte("PYRO")), nil, Unanswered, os.ErrDeadlineExceeded, false},
		{"a header", announce(wire.ConnectOK, 5, 100), nil, Unanswered, os.ErrDeadlineExceeded, false},
		{"a dribble", dribble(wire.AppendConnectFail(nil, wire.Refusal{Dialect: wire.V48})), nil, Unanswered, os.ErrDeadlineExceeded, false},
		{"too late", pyrotest.After(timeout, accept), nil, Unanswered, os.ErrDeadlineExceeded, false},

		{"closed", pyrotest.Hangup, nil, Closed, io.EOF, false},
		{"reset", pyrotest.ResetConn, nil, Closed, nil, false},
		{"closed in the prefix", cut(3, wire.ConnectOK), nil, Closed, io.ErrUnexpectedEOF, false},
		{"closed in the header", cut(20, wire.ConnectOK), nil, Closed, io.ErrUnexpectedEOF, false},
		{"closed in the data", cut(41, wire.ConnectFail), nil, Closed, io.ErrUnexpectedEOF, false},

		{"not Pyro", pyrotest.Garbage([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), nil, Garbled, wire.ErrNotPyro, false},
		{"an old Pyro", pyrotest.Garbage([]byte("PYRO\x00\x2f")), nil, Garbled, wire.ErrVersion, false},
		{"a bad checksum", pyrotest.Garbage(append([]byte("PYRO\x00\x30"), make([]byte, 18)...)), nil, Garbled, wire.ErrCheck, false},
		{"no answer to CONNECT", pyrotest.WrongType(wire.Result), nil, Garbled, ErrAnswer, true},
		{"its own CONNECT", pyrotest.WrongType(wire.Connect), nil, Garbled, ErrAnswer, true},
		{"a RESULT in the other dialect", pyrotest.OtherDialect(pyrotest.Echo), nil, Garbled, ErrAnswer, true},
		{"a huge length", announce(wire.ConnectOK, 0, 1<<31-1), nil, Garbled, ErrTooLong, false},
		{"too long by a byte", announce(wire.ConnectOK, 1, maxBody), nil, Garbled, ErrTooLong, false},

		{"PING: silence", accept, pyrotest.Silence, Unanswered, os.ErrDeadlineExceeded, true},
		{"PING: a header", accept, announce(wire.Ping, 0, 4), Unanswered, os.ErrDeadlineExceeded, true},
		{"PING: closed", accept, pyrotest.Hangup, Closed, io.EOF, true},
		{"PING: closed before", pyrotest.Steps(accept, pyrotest.Hangup), nil, Closed, nil, true},
		{"PING: closed in the answer", accept, cut(22, wire.Ping), Closed, io.ErrUnexpectedEOF, true},
		{"PING: reset", accept, pyrotest.ResetConn, Closed, nil, true},
		{"PING: another type", accept, pyrotest.WrongType(wire.Result), Garbled, ErrAnswer, true},
		{"PING: another seq", accept, func(c *pyrotest.DaemonConn, m pyrotest.Message) { m.Head.Seq++; pyrotest.Pong(c, m) }, Garbled, ErrAnswer, true},
		{"PING: the other dialect", accept, pyrotest.OtherDialect(pyrotest.Pong), Garbled, ErrAnswer, true},
		{"PING: garbage", accept, pyrotest.Garbage([]byte("garbage")), Garbled, wire.ErrNotPyro, true},
		{"PING: a huge length", accept, announce(wire.Ping, 0, 1<<30), Garbled, ErrTooLong, true},
	}
	for _, test := range tests {
		for _, d := range dialects {
			t.Run(fmt.Sprintf("%s, %s", test.name, d), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					got := ask(t, &pyrotest.Daemon{OnConnect: test.connect, OnPing: test.ping}, Probe{Dialect: d})
					if got.Finding != test.finding {
						t.Errorf("found %s: %v", got.Finding, got.Err)
					}
					if got.Err == nil || test.err != nil && !errors.Is(got.Err, test.err) {
						t.Errorf("error %v, want %v", got.Err, test.err)
					}
					answeredIn := wire.Dialect(0)
					if test.answered {
						answeredIn = d
					}
					var other *DialectError
					if errors.As(got.Err, &other) || test.name == "a RESULT in the other dialect" {
						answeredIn = wire.V48 + wire.V502 - d
					}
					if got.Dialect != answeredIn {
						t.Errorf("answered in %s", got.Dialect)
					}
					if other != nil && *other != (DialectError{Asked: d, Answered: answeredIn}) {
						t.Errorf("error %v", other)
					}
					took := time.Duration(0)
					if test.finding == Unanswered {
						took = timeout
					}
					if since := time.Since(start); since != took {
						t.Errorf("took %v, want %v", since, took)
					}
				})
			})
		}
	}
}

// TestLongAnswer: an object of many methods is fine, and so is an answer that
// comes in small pieces, in time.
func TestLongAnswer(t *testing.T) {
	for name, connect := range map[string]pyrotest.Script{
		"as long as may be": long(wire.ConnectOK, "", maxBody-10_000-8), // and the chunk
		"in pieces": func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			b := reply(m, wire.ConnectOK, "hello")
			for i := range b {
				_, _ = c.Write(b[i : i+1])
				c.Pause(time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := ask(t, &pyrotest.Daemon{OnConnect: connect}, Probe{}); got.Finding != Alive {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestWriteFails: a connection that has ended before anything could be sent.
func TestWriteFails(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(net.Conn)
		finding Finding
		err     error
	}{
		{"closed by us", func(c net.Conn) { c.Close() }, Closed, net.ErrClosed},
		{"past the deadline", func(c net.Conn) { _ = c.SetDeadline(time.Now().Add(-1)) }, Unanswered, os.ErrDeadlineExceeded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			network := &pyrotest.Network{}
			l, err := network.Listen(addr)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn, err := network.DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			test.prepare(conn)
			got := Probe{}.Run(conn)
			if got.Finding != test.finding || !errors.Is(got.Err, test.err) {
				t.Errorf("%s: %v", got.Finding, got.Err)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	const up, down, neutral = Up, Down, Neutral
	tests := []struct {
		finding                              Finding
		otherwise, busy, asked, busyAndAsked Verdict
	}{
		{Alive, up, up, up, up},
		{Saturated, neutral, neutral, neutral, neutral},
		{Refused, up, up, down, down},
		{OtherDialect, neutral, neutral, neutral, neutral},
		{Unanswered, down, neutral, down, neutral},
		{Closed, down, down, down, down},
		{Garbled, down, down, down, down},
		{0, down, down, down, down},
	}
	for _, test := range tests {
		got := [4]Verdict{
			test.finding.Verdict(false, false), test.finding.Verdict(true, false),
			test.finding.Verdict(false, true), test.finding.Verdict(true, true),
		}
		if want := [4]Verdict{test.otherwise, test.busy, test.asked, test.busyAndAsked}; got != want {
			t.Errorf("%s: %v, want %v", test.finding, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	names := make(map[string]bool)
	for f := Alive; f <= Garbled; f++ {
		names[f.String()] = true
	}
	for v := Neutral; v <= Down; v++ {
		names[v.String()] = true
	}
	if len(names) != 7+3 {
		t.Errorf("names %v", names)
	}
	if got := Finding(99).String(); got != "finding 99" {
		t.Error(got)
	}
}
