package pyrotest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

const address = "192.0.2.10:9999"

var dialects = []wire.Dialect{wire.V48, wire.V502}

// start gives a connected client of d.
func start(t *testing.T, d *Daemon, c Client) (*Daemon, *Client) {
	t.Helper()
	n := &Network{}
	StartDaemon(t, n, address, d)
	client := DialClient(t, n, address, c)
	reply, err := client.Connect("some.object")
	noError(t, err)
	if reply.Head.Type != wire.ConnectOK {
		t.Fatalf("answer to CONNECT: %v", reply.Head.Type)
	}
	return d, client
}

func TestConversation(t *testing.T) {
	for _, d := range dialects {
		for s := wire.Serpent; s <= wire.Cloudpickle; s++ {
			if d.SerializerID(s) == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%v %v", d, s), func(t *testing.T) {
				daemon, c := start(t, &Daemon{Record: true}, Client{Dialect: d, Serializer: s, Record: true})
				for i := range 3 {
					data := CallData(fmt.Sprintf("call-%d", i), 1000*i)
					reply, err := c.Call(data)
					noError(t, err)
					if !bytes.Equal(reply.Data, data) {
						t.Errorf("reply %q", reply.Data)
					}
				}
				noError(t, c.Oneway(CallData("oneway", 100)))
				noError(t, c.Ping())

				id := [16]byte{1, 2, 3}
				m := c.InvokeMessage([]byte("no id in here"))
				m.Chunks = []wire.Chunk{{ID: [4]byte{'A', 'B', 'C', 'D'}, Value: []byte("value")}}
				reply, err := c.Do(m.WithCorrelation(id))
				noError(t, err)
				if got, ok := reply.Correlation(); got != id || !ok {
					t.Errorf("the reply's correlation id is %x, %v", got, ok)
				}

				want := map[string]int{
					"call-0": 1, "call-1": 1, "call-2": 1, "oneway": 1, "01020300000000000000000000000000": 1,
				}
				if diff := cmp.Diff(want, daemon.Ledger.All()); diff != "" {
					t.Errorf("ledger (-want +got):\n%s", diff)
				}
				conn := daemon.Conns()[0]
				if !bytes.Equal(conn.Received(), c.Sent()) || !bytes.Equal(conn.Sent(), c.Received()) {
					t.Error("the recordings of the two ends differ")
				}
				noError(t, c.Close())
				if err := conn.Err(); err != io.EOF {
					t.Errorf("the daemon saw %v", err)
				}
				if daemon.Open() != 0 || len(daemon.Conns()) != 1 {
					t.Errorf("%d of %d connections are open", daemon.Open(), len(daemon.Conns()))
				}
			})
		}
	}
}

// A message may come in two pieces, cut anywhere, or byte by byte.
func TestCutMessages(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.String(), func(t *testing.T) {
			daemon, c := start(t, &Daemon{}, Client{Dialect: d})
			for at := 0; ; at++ {
				m := c.InvokeMessage(CallData(fmt.Sprint(at), 20))
				b := m.Bytes()
				if at > len(b) {
					break
				}
				noError(t, c.WriteCut(b, at))
				if _, err := c.Await(m); err != nil {
					t.Fatalf("cut at %d: %v", at, err)
				}
				if daemon.Ledger.Times(fmt.Sprint(at)) != 1 {
					t.Fatalf("cut at %d: call not counted", at)
				}
			}
		})
	}
	t.Run("bytes", func(t *testing.T) {
		n := &Network{MaxRead: 1}
		StartDaemon(t, n, address, &Daemon{})
		c := DialClient(t, n, address, Client{})
		if _, err := c.Connect("some.object"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call([]byte("data")); err != nil {
			t.Fatal(err)
		}
	})
}

// What a script does on an INVOKE, and what the
// client makes of it.
func TestInvokeScripts(t *testing.T) {
	tests := []struct {
		name   string
		script Script
		want   error // nil: a reply
		check  func(t *testing.T, reply Message)
	}{
		{"data", ReplyData([]byte("other")), nil, func(t *testing.T, reply Message) {
			if string(reply.Data) != "other" {
				t.Errorf("reply %q", reply.Data)
			}
		}},
		{"exception", RaiseException("what went wrong"), nil, func(t *testing.T, reply Message) {
			if !reply.Head.Has(wire.Exception) || !bytes.Contains(reply.Data, []byte("what went wrong")) {
				t.Errorf("reply %+v", reply)
			}
		}},
		{"stream", ReplyStream("stream-7"), nil, func(t *testing.T, reply Message) {
			if !reply.Head.Has(wire.ItemStream) || len(reply.Chunks) != 1 || string(reply.Chunks[0].Value) != "stream-7" {
				t.Errorf("reply %+v", reply)
			}
		}},
		{"hangup", Hangup, io.EOF, nil},
		{"reset", ResetConn, syscall.ECONNRESET, nil},
		{"garbage", Garbage([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), wire.ErrNotPyro, nil},
		{"wrong type", WrongType(wire.Connect), ErrReply, nil},
		{"wrong seq", WrongSeq, ErrReply, nil},
		{"other dialect", OtherDialect(Echo), ErrReply, nil},
		{"half a reply", Steps(HalfReply, Hangup), io.ErrUnexpectedEOF, nil},
		{"half a reply, reset", Steps(HalfReply, ResetConn), syscall.ECONNRESET, nil},
		{"oversized", Steps(HeadOnly(0, 1<<31-1), Hangup), io.ErrUnexpectedEOF, nil},
	}
	for _, d := range dialects {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%v %s", d, test.name), func(t *testing.T) {
				_, c := start(t, &Daemon{OnInvoke: test.script}, Client{Dialect: d})
				reply, err := c.Call([]byte("some data"))
				if !errors.Is(err, test.want) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
				if test.check != nil {
					test.check(t, reply)
				}
			})
		}
	}
}

func TestConnectScripts(t *testing.T) {
	tests := []struct {
		name   string
		script Script
		want   error
	}{
		{"reject", RejectConnect(NoFreeWorkers), ErrConnectFail},
		{"hangup", Hangup, io.EOF},
		{"reset", ResetConn, syscall.ECONNRESET},
		{"garbage", Garbage([]byte("220 smtp ready\r\n")), wire.ErrNotPyro},
		{"other dialect", OtherDialect(AcceptConnect), ErrReply},
		{"wrong type", WrongType(wire.Result), ErrReply},
	}
	for _, d := range dialects {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%v %s", d, test.name), func(t *testing.T) {
				n := &Network{}
				StartDaemon(t, n, address, &Daemon{OnConnect: test.script})
				c := DialClient(t, n, address, Client{Dialect: d})
				reply, err := c.Connect("some.object")
				if !errors.Is(err, test.want) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
				if errors.Is(err, ErrConnectFail) && !strings.Contains(string(reply.Data), NoFreeWorkers) {
					t.Errorf("refused with %q", reply.Data)
				}
			})
		}
	}
}

// Without a handshake a daemon refuses in its own dialect; after it, it closes.
func TestBadBytes(t *testing.T) {
	ping := Message{Head: wire.Head{Dialect: wire.V502, Type: wire.Ping}}
	other := ConnectMessage(wire.V502, wire.Serpent, "some.object", "hello")
	for name, bytes := range map[string][]byte{
		"not Pyro":            []byte("GET / HTTP/1.1\r\n\r\n"),
		"out of turn":         ping.Bytes(),
		"CONNECT of Pyro5":    other.Bytes(),
		"protocol version 47": []byte("PYRO\x00\x2f"),
	} {
		t.Run(name, func(t *testing.T) {
			n := &Network{}
			StartDaemon(t, n, address, &Daemon{Dialect: wire.V48})
			c := DialClient(t, n, address, Client{})
			_, err := c.Write(bytes)
			noError(t, err)
			reply, err := c.Next()
			noError(t, err)
			if reply.Head.Dialect != wire.V48 || reply.Head.Type != wire.ConnectFail {
				t.Errorf("answer %+v", reply.Head)
			}
		})
	}
	t.Run("after the handshake", func(t *testing.T) {
		d, c := start(t, &Daemon{}, Client{})
		write(t, c, "GET / HTTP/1.1\r\n\r\n")
		if reply, err := c.Next(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("answer %+v, %v", reply.Head, err)
		}
		if err := d.Conns()[0].Err(); !errors.Is(err, wire.ErrNotPyro) {
			t.Errorf("the daemon saw %v", err)
		}
	})
}

// What a daemon says without having been asked, from OnAccept, from a script
// or from the test.
func TestUnsolicited(t *testing.T) {
	hello := Message{Head: wire.Head{Dialect: wire.V502, Type: wire.Result}, Data: []byte("unsolicited")}
	d := &Daemon{
		OnAccept: func(c *DaemonConn) { _ = c.Send(hello) },
		OnInvoke: Steps(Echo, Echo),
	}
	n := &Network{}
	StartDaemon(t, n, address, d)
	c := DialClient(t, n, address, Client{})
	want := func(data string) {
		t.Helper()
		m, err := c.Next()
		noError(t, err)
		if string(m.Data) != data {
			t.Errorf("got %q, want %q", m.Data, data)
		}
	}
	want("unsolicited")
	if _, err := c.Connect("some.object"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call([]byte("twice")); err != nil {
		t.Fatal(err)
	}
	want("twice")
	noError(t, d.Conns()[0].Send(hello))
	want("unsolicited")
	noError(t, d.Conns()[0].Close())
	if _, err := c.Next(); err != io.EOF {
		t.Error(err)
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := start(t, &Daemon{OnInvoke: Silence}, Client{Timeout: time.Minute})
		_, err := c.Call([]byte("data"))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got %v", err)
		}
	})
}

func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signal := make(chan struct{})
		_, c := start(t, &Daemon{OnInvoke: InTurn(After(time.Hour, Echo), AfterSignal(signal, Echo))}, Client{})
		start := time.Now()
		_, err := c.Call([]byte("data"))
		noError(t, err)
		wantElapsed(t, "the call", start, time.Hour)
		done := make(chan error, 1)
		go func() {
			_, err := c.Call([]byte("data"))
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatal("a reply before the signal", err)
		default:
		}
		close(signal)
		noError(t, <-done)
	})
}

// Close ends scripts that wait, and calls in flight.
func TestCloseWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := start(t, &Daemon{OnInvoke: After(time.Hour, Echo)}, Client{})
		m := c.InvokeMessage([]byte("data"))
		noError(t, c.Send(m))
		synctest.Wait()
		begin := time.Now()
		d.Close()
		wantElapsed(t, "Close", begin, 0)
		if _, err := c.Await(m); err != io.EOF {
			t.Error(err)
		}
		d.Close() // harmless
	})
}

// Large bodies pass without either end keeping them.
func TestSized(t *testing.T) {
	const size = 3<<20 + 5
	sum := crc32.New(crcTable)
	noError(t, WriteFiller(sum, size))
	d, c := start(t, &Daemon{OnInvoke: func(c *DaemonConn, m Message) {
		if m.Data != nil || m.CRC != sum.Sum32() {
			t.Errorf("the daemon got %d bytes, CRC %x", len(m.Data), m.CRC)
		}
		ReplySize(size)(c, m)
	}, Discard: true}, Client{Discard: true})
	m := c.InvokeMessage(nil).WithCorrelation([16]byte{9})
	noError(t, WriteSized(c, m, size))
	reply, err := c.Await(m)
	noError(t, err)
	if reply.Data != nil || reply.Head.DataLen != size || reply.CRC != sum.Sum32() {
		t.Errorf("the client got %d bytes, CRC %x", len(reply.Data), reply.CRC)
	}
	if len(d.Ledger.All()) != 1 {
		t.Errorf("ledger %v", d.Ledger.All())
	}
}

// Daemon and Client also speak over real sockets.
func TestSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	d := &Daemon{OnInvoke: InTurn(Echo, ResetConn)}
	d.Start(l)
	defer d.Close()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", l.Addr().String())
	noError(t, err)
	c := NewClient(conn, Client{Timeout: patience})
	defer func() { _ = c.Close() }()
	if _, err := c.Connect("some.object"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call([]byte("data")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call([]byte("data")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
	WaitZero(t, "open connections", func() float64 { return float64(d.Open()) })
}
