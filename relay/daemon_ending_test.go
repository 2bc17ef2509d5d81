package relay_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// partOfConnectOK writes only the first n bytes of a CONNECTOK.
func partOfConnectOK(n int) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		reply := pyrotest.Message{Head: m.Head, Data: make([]byte, 100)}
		reply.Head.Type, reply.Head.Flags = wire.ConnectOK, 0
		_, _ = c.Write(reply.Bytes()[:n])
	}
}

// connectOKOf announces a CONNECTOK of that size.
func connectOKOf(size uint32) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		h := wire.Head{Dialect: m.Head.Dialect, Type: wire.ConnectOK, SerializerID: m.Head.SerializerID, DataLen: size}
		_, _ = c.Write(wire.AppendHead(nil, h))
	}
}

// A daemon that does not answer the CONNECT as it should is passed over for
// one that does; where there is none the client is told so.
func TestHandshakeFailsOver(t *testing.T) {
	scenarios := []struct {
		name   string
		reason string // in connect_failures_total; any where ""
		accept func(*pyrotest.DaemonConn)
		answer pyrotest.Script
	}{
		{"hangs up", "closed", nil, pyrotest.Hangup},
		{"resets", "closed", nil, pyrotest.ResetConn},
		{"hangs up at once", "closed", func(c *pyrotest.DaemonConn) { c.Close() }, nil},
		{"resets at once", "", func(c *pyrotest.DaemonConn) { c.Reset() }, nil},
		{"hangs up within the header", "closed", nil, pyrotest.Steps(partOfConnectOK(20), pyrotest.Hangup)},
		{"resets within the header", "closed", nil, pyrotest.Steps(partOfConnectOK(5), pyrotest.ResetConn)},
		{"speaks HTTP", "garbled", nil, pyrotest.Garbage([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))},
		{"sends a RESULT", "garbled", nil, pyrotest.WrongType(wire.Result)},
		{"sends a CONNECT", "garbled", nil, pyrotest.WrongType(wire.Connect)},
		{"announces too much", "garbled", nil, connectOKOf(1 << 30)},
		{"speaks the other dialect", "other_dialect", nil, pyrotest.OtherDialect(pyrotest.AcceptConnect)},
		{"says nothing", "unanswered", nil, pyrotest.Silence},
		{"is deaf", "unanswered", func(c *pyrotest.DaemonConn) { <-c.Closing() }, nil},
		{"begins to answer", "unanswered", nil, partOfConnectOK(20)},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				bad := func() *pyrotest.Daemon { return &pyrotest.Daemon{OnAccept: s.accept, OnConnect: s.answer} }
				good := &pyrotest.Daemon{Record: true}
				small := setup{Learn: true, Env: limitMessage(1 << 20)}
				_, real := tr.(*sockets)
				timed := real && s.reason == "unanswered"
				if timed {
					small.ConnectTimeout = 50 * time.Millisecond
				}

				alone := small
				alone.Daemons = []*pyrotest.Daemon{bad(), bad()}
				among := small
				among.Daemons = []*pyrotest.Daemon{bad(), good, bad()}
				for _, d := range dialects {
					r := start(t, tr, alone)
					c := r.dial(pyrotest.Client{Dialect: d})
					reply, err := c.Connect("some.object")
					wantError(t, "with bad daemons only", err, pyrotest.ErrConnectFail)
					if reply.Head.Serializer() != wire.Serpent || reply.Head.Dialect != d {
						t.Errorf("refused in %v, %v", reply.Head.Dialect, reply.Head.Serializer())
					}
					var reason []string
					if s.reason != "" && !timed { // else the dial may fail already
						reason = []string{s.reason}
					}
					if n := r.value("connect_failures_total", reason...); n != 2 {
						t.Errorf("%v failures by reason %q, want 2", n, s.reason)
					}
					c.Close()
					r.stop()

					if timed {
						continue // how long good daemons take is not known
					}
					r = start(t, tr, among)
					for i := range 3 {
						c := r.connect(pyrotest.Client{Dialect: d, Record: true})
						_, err := c.Call([]byte("after all"))
						noError(t, err)
						noError(t, c.Close())
						conn := good.Conns()[len(good.Conns())-1]
						wantError(t, fmt.Sprintf("the good daemon's connection %d", i), conn.Err(), io.EOF)
						checkBytes(t, c, conn)
					}
					r.stop()
				}
			})
		})
	}
}

// How daemons die or misbehave in the middle of a call, and what becomes of the
// client: the reply where there is one, then an orderly end.
func TestDaemonFails(t *testing.T) {
	scenarios := []struct {
		name    string
		script  pyrotest.Script
		read    error  // the client's first read
		reason  string // of the session's end
		outcome string // of the call
	}{
		{"hangs up", pyrotest.Hangup, io.EOF, "backend_closed", "backend_closed"},
		{"resets", pyrotest.ResetConn, io.EOF, "backend_reset", "backend_closed"},
		{"garbage", pyrotest.Garbage([]byte("Segmentation fault")), io.EOF, "backend_protocol_error", "backend_protocol_error"},
		{"CONNECTOK", pyrotest.WrongType(wire.ConnectOK), io.EOF, "backend_protocol_error", "backend_protocol_error"},
		{"PING", pyrotest.WrongType(wire.Ping), io.EOF, "backend_protocol_error", "backend_protocol_error"},
		{"INVOKE", pyrotest.WrongType(wire.Invoke), io.EOF, "backend_protocol_error", "backend_protocol_error"},
		{"other dialect", pyrotest.OtherDialect(pyrotest.Echo), io.EOF, "backend_protocol_error", "backend_protocol_error"},
		{"announces too much", pyrotest.HeadOnly(0, 1<<30), io.EOF, "backend_protocol_error", "backend_protocol_error"},
		{"hangs up mid-reply", pyrotest.Steps(pyrotest.HalfReply, pyrotest.Hangup), io.ErrUnexpectedEOF, "backend_closed", "backend_closed"},
		{"resets mid-reply", pyrotest.Steps(pyrotest.HalfReply, pyrotest.ResetConn), io.ErrUnexpectedEOF, "backend_reset", "backend_closed"},
		{"hangs up after the reply", pyrotest.Steps(pyrotest.Echo, pyrotest.Hangup), nil, "backend_closed", "ok"},
		{"resets after the reply", pyrotest.Steps(pyrotest.Echo, pyrotest.ResetConn), nil, "backend_reset", "ok"},
		{"answers twice", pyrotest.Steps(pyrotest.Echo, pyrotest.Echo), nil, "backend_protocol_error", "ok"},
		{"garbage after the reply", pyrotest.Steps(pyrotest.Echo, pyrotest.Garbage([]byte("Segmentation fault"))), nil, "backend_protocol_error", "ok"},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				for _, d := range dialects {
					for _, size := range []int{100, 300_000} {
						if size > 100 && s.read == nil && s.reason == "backend_reset" {
							continue // a RST may overtake much of the reply
						}
						r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnInvoke: s.script}}, Env: limitMessage(1 << 20)})
						c := r.connect(pyrotest.Client{Dialect: d})
						_, err := c.Call(pyrotest.CallData("call", size))
						if !errors.Is(err, s.read) {
							t.Errorf("%v, %d: the call ended with %v, want %v", d, size, err, s.read)
						}
						if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
							t.Errorf("%v, %d: at the end %d bytes, %v", d, size, n, err)
						}
						noError(t, c.Close())
						r.stop()
						wantReason := s.reason
						if _, real := tr.(*sockets); real && r.reasons()[wantReason] == 0 && (wantReason == "backend_reset" || wantReason == "backend_closed") {
							// Unix sockets cannot be reset; and a daemon that closes
							// with bytes unread resets.
							wantReason = map[string]string{"backend_reset": "backend_closed", "backend_closed": "backend_reset"}[wantReason]
						}
						if r.reasons()[wantReason] != 1 {
							t.Errorf("%v, %d: sessions ended by %v, want %s", d, size, r.reasons(), wantReason)
						}
						if n := r.value("calls_total", s.outcome); n != 1 {
							t.Errorf("%v, %d: %v calls with outcome %s", d, size, n, s.outcome)
						}
						failed := 1
						if s.outcome == "ok" {
							failed = 0
						}
						if n := r.logs.FilterMessage("call failed").Len(); n != failed {
							t.Errorf("%v, %d: %d calls failed by the log", d, size, n)
						}
					}
				}
			})
		})
	}
}

// A daemon that goes while it is idle, or while a request comes in, or once it
// has begun to accept its client.
func TestDaemonGoes(t *testing.T) {
	ways := map[string]func(c *pyrotest.DaemonConn){
		"FIN": func(c *pyrotest.DaemonConn) { c.Close() },
		"RST": func(c *pyrotest.DaemonConn) { c.Reset() },
	}
	for name, leave := range ways {
		t.Run(name, func(t *testing.T) {
			t.Run("idle", func(t *testing.T) {
				overAll(t, func(t *testing.T, tr transport) {
					r := start(t, tr, setup{})
					c := r.connect(pyrotest.Client{})
					_, err := c.Call([]byte("data"))
					noError(t, err)
					leave(r.daemon().Conns()[0])
					_, err = c.Next()
					wantError(t, "after the daemon's end", err, io.EOF)
				})
			})
			t.Run("mid-request", func(t *testing.T) {
				overAll(t, func(t *testing.T, tr transport) {
					for _, size := range []int64{50_000, 4 << 20} {
						r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnAccept: func(c *pyrotest.DaemonConn) {
							m, _ := pyrotest.ReadMessage(c)
							pyrotest.AcceptConnect(c, m)
							_, _ = io.ReadFull(c, make([]byte, 10_000))
							leave(c)
						}}}})
						c := r.connect(pyrotest.Client{})
						if err := pyrotest.WriteSized(c, c.InvokeMessage(nil), size); err != nil {
							t.Errorf("while sending: %v", err) // what was sent is taken, though to no end
						}
						_, err := c.Next()
						wantError(t, "after the daemon's end", err, io.EOF)
						c.Close()
						r.waitIdle()
					}
				})
			})
			t.Run("mid-CONNECTOK", func(t *testing.T) {
				overAll(t, func(t *testing.T, tr transport) {
					r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnConnect: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
						partOfConnectOK(90)(c, m)
						leave(c)
					}}}})
					c := r.dial(pyrotest.Client{})
					_, err := c.Connect("some.object")
					wantError(t, "half a CONNECTOK", err, io.ErrUnexpectedEOF)
				})
			})
			t.Run("unsolicited", func(t *testing.T) {
				overAll(t, func(t *testing.T, tr transport) {
					for _, d := range dialects {
						r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{
							OnConnect: pyrotest.Steps(pyrotest.AcceptConnect, pyrotest.WrongType(wire.Result)),
						}}})
						c := r.connect(pyrotest.Client{Dialect: d})
						_, err := c.Next()
						wantError(t, "after bytes that nobody asked for", err, io.EOF)
						c.Close()
						r.stop()
						if n := r.reasons()["backend_protocol_error"]; n != 1 {
							t.Errorf("sessions ended by %v", r.reasons())
						}
					}
				})
			})
		})
	}
}

// A daemon's own refusal is an answer: it is passed on as it is, and no other
// daemon is asked.
func TestRefusalByDaemon(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			full := &pyrotest.Daemon{Record: true, OnConnect: pyrotest.RejectConnect("unknown object")}
			other := &pyrotest.Daemon{}
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{full, other}})
			c := r.dial(pyrotest.Client{Dialect: d, Record: true})
			_, err := c.Connect("some.object")
			wantError(t, "refused by the daemon", err, pyrotest.ErrConnectFail)
			_, err = c.Next()
			wantError(t, "after the refusal", err, io.EOF)
			checkBytes(t, c, full.Conns()[0])
			if n := len(other.Conns()); n != 0 {
				t.Errorf("%d connections to the other daemon", n)
			}
			c.Close()
			r.stop()
			if n := r.value("connects_refused_total"); n != 1 {
				t.Errorf("%v refusals counted", n)
			}
		}
	})
}

// A daemon whose threads are all taken is well, but of no use to this client.
func TestFullDaemonIsPassedOver(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			full := &pyrotest.Daemon{OnConnect: pyrotest.RejectConnect(pyrotest.NoFreeWorkers)}
			other := &pyrotest.Daemon{}
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{full, other}})
			for range 3 {
				_, err := r.connect(pyrotest.Client{Dialect: d}).Call([]byte("data"))
				noError(t, err)
			}
			if len(full.Conns()) == 0 {
				t.Error("the full daemon was never asked")
			}
			if n := r.value("connects_refused_total"); n != 0 {
				t.Errorf("%v refusals counted", n)
			}
		}
	})
}

// An endpoint that cannot be reached at all is passed over, too.
func TestUnreachableEndpoints(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		var gone []net.Addr
		for range 2 {
			l := tr.listen(t)
			gone = append(gone, l.Addr())
			noError(t, l.Close())
		}

		r := start(t, tr, setup{Endpoints: gone})
		c := r.dial(pyrotest.Client{})
		reply, err := c.Connect("some.object")
		wantError(t, "nobody listens", err, pyrotest.ErrConnectFail)
		if want := "pyro-dispatch: no endpoint reachable (route route, cluster cluster)"; !strings.Contains(string(reply.Data), want) {
			t.Errorf("refused with %q", reply.Data)
		}
		if n := r.value("connect_failures_total", "refused"); n != 2 {
			t.Errorf("%v dials refused", n)
		}

		r = start(t, tr, setup{Daemons: []*pyrotest.Daemon{{}}, Endpoints: gone})
		for range 4 {
			_, err := r.connect(pyrotest.Client{}).Call([]byte("data"))
			noError(t, err)
		}
	})
}
