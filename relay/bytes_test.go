package relay_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Two writes, cut at every boundary of a short conversation, in both
// directions at once.
func TestCutEverywhere(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			daemon := &pyrotest.Daemon{Record: true}
			cut := 0
			at := func() func() int { // one cut, then no more
				left := cut
				return func() int {
					if left > 0 {
						n := left
						left = 0
						return n
					}
					return 1 << 30
				}
			}
			// What is cut is the whole stream, so it is written as one.
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{daemon}})
			var all []pyrotest.Message
			for length := 1; cut < length; cut++ {
				c := r.dial(pyrotest.Client{Dialect: d, Record: true})
				m := c.ConnectMessage("some.object")
				stream := m.Bytes()
				call := c.InvokeMessage(pyrotest.CallData(fmt.Sprintf("call-%d", cut), 30)).WithCorrelation([16]byte{1})
				oneway := c.InvokeMessage(pyrotest.CallData(fmt.Sprintf("oneway-%d", cut), 20))
				oneway.Head.Flags |= d.Bit(wire.Oneway)
				ping := pyrotest.Message{Head: wire.Head{Dialect: d, Type: wire.Ping, SerializerID: 42}, Data: []byte("ping")}
				for _, request := range []pyrotest.Message{call, oneway, ping} {
					stream = append(stream, request.Bytes()...)
				}
				all = append(all, call, oneway)
				length = len(stream)
				cutting := &shaped{Conn: c.Conn, next: at(), settle: tr.settle}
				c.Conn = cutting
				if _, err := c.Write(stream); err != nil {
					t.Fatal(err)
				}
				for _, want := range []wire.Type{wire.ConnectOK, wire.Result, wire.Ping} {
					reply, err := c.Next()
					noError(t, err)
					if reply.Head.Type != want {
						t.Fatalf("cut at %d: got %v, not %v", cut, reply.Head.Type, want)
					}
				}
				noError(t, c.CloseWrite())
				if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
					t.Fatalf("cut at %d: %d bytes after the last reply, %v", cut, n, err)
				}
				conn := daemon.Conns()[cut]
				wantError(t, "the daemon's end", conn.Err(), io.EOF)
				checkBytes(t, c, conn)
				noError(t, c.Close())
			}
			checkLedger(t, daemon.Ledger, all)
			r.waitIdle()
		}
	})
}

// The daemon's replies, cut at every boundary.
func TestCutReplies(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			daemon := &pyrotest.Daemon{Record: true}
			accepted := 0
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{daemon}, ShapeDaemon: func(c net.Conn) net.Conn {
				left := accepted
				accepted++
				return &shaped{Conn: c, settle: func() {}, next: func() int {
					n := left
					if left -= n; n == 0 {
						n = 1 << 30
					}
					return n
				}}
			}})
			for cut, length := 0, 1; cut < length; cut++ {
				c := r.connect(pyrotest.Client{Dialect: d, Record: true})
				_, err := c.Call([]byte("data"))
				noError(t, err)
				noError(t, c.Ping())
				length = len(c.Received())
				noError(t, c.Close())
				conn := daemon.Conns()[cut]
				<-conn.Ended()
				checkBytes(t, c, conn)
			}
			r.waitIdle()
		}
	})
}

// Generated conversations, cut at random in both directions, call by call.
func TestConversations(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for i, d := range dialects {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			var mu sync.Mutex
			pieces := func() int { // mostly large, or it would take for ever
				mu.Lock()
				defer mu.Unlock()
				return 1 + rng.IntN(1<<rng.IntN(18))
			}
			daemon := &pyrotest.Daemon{Record: true, OnInvoke: varied}
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{daemon}, ShapeDaemon: func(c net.Conn) net.Conn {
				return &shaped{Conn: c, next: pieces, settle: func() {}}
			}})
			c := r.dial(pyrotest.Client{Dialect: d, Record: true})
			c.Conn = &shaped{Conn: c.Conn, next: pieces, settle: tr.settle}
			_, err := c.Connect("some.object")
			noError(t, err)
			requests := conversation(rng, c, "call-", 60, 300_001)
			for i, m := range requests {
				_, err := c.Do(m)
				if err != nil {
					t.Fatalf("request %d (%+v): %v", i, m.Head, err)
				}
			}
			noError(t, c.Close())
			conn := daemon.Conns()[0]
			wantError(t, "the daemon's end", conn.Err(), io.EOF)
			checkBytes(t, c, conn)
			checkLedger(t, daemon.Ledger, requests)
		}
	})
}

// The same without waiting for any answer, not even the handshake's.
func TestPipelinedConversations(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for i, d := range dialects {
			rng := rand.New(rand.NewPCG(uint64(i), 2))
			daemon := &pyrotest.Daemon{Record: true, OnInvoke: varied}
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{daemon}})
			c := r.dial(pyrotest.Client{Dialect: d, Record: true})
			requests := conversation(rng, c, "call-", 60, 300_001)
			stream := c.ConnectMessage("some.object").Bytes()
			replies := 1
			for _, m := range requests {
				stream = append(stream, m.Bytes()...)
				if !isOneway(m) {
					replies++
				}
			}
			written := make(chan error, 1)
			go func() {
				_, err := (&shaped{Conn: c, settle: func() {}, next: func() int { return 1 + rng.IntN(1<<rng.IntN(18)) }}).Write(stream)
				if err == nil {
					err = c.CloseWrite()
				}
				written <- err
			}()
			for i := range replies {
				if _, err := c.Next(); err != nil {
					t.Fatalf("reply %d: %v", i, err)
				}
			}
			noError(t, <-written)
			if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
				t.Errorf("%d bytes after the last reply, %v", n, err)
			}
			conn := daemon.Conns()[0]
			wantError(t, "the daemon's end", conn.Err(), io.EOF)
			checkBytes(t, c, conn)
			checkLedger(t, daemon.Ledger, requests)
			r.waitIdle()
		}
	})
}
