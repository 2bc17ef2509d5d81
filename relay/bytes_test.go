package relay_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Sizes around the borders at which the relay changes how it works: what one
// receive reads, what is stored before it is sent on, what is spliced.
var borderSizes = []int{
	0, 1, 100, 471, 472, 473,
	16<<10 - 41, 16<<10 - 40, 16<<10 - 39, 16 << 10,
	32<<10 - 40, 48 << 10,
	64<<10 - 41, 64<<10 - 40, 64<<10 - 39, 64<<10 - 24, 64<<10 - 23, 64 << 10, 64<<10 + 1,
	80<<10 - 40, 80 << 10, 80<<10 + 1, 300_001,
}

// conversation makes n requests of all kinds, with payloads up to most bytes.
// All have an id, which begins with prefix.
func conversation(rng *rand.Rand, c *pyrotest.Client, prefix string, n, most int) (requests []pyrotest.Message) {
	d := c.Dialect
	for i := range n {
		size := borderSizes[rng.IntN(len(borderSizes))]
		if size > most {
			size = rng.IntN(most + 1)
		}
		m := c.InvokeMessage(pyrotest.CallData(fmt.Sprintf("%s%d", prefix, i), size))
		if rng.IntN(10) == 0 {
			m.Data = nil // known by its correlation id
			m = m.WithCorrelation([16]byte{byte(i >> 8), byte(i), 1})
		}
		switch rng.IntN(8) {
		case 0, 1:
			m.Head.Flags |= d.Bit(wire.Oneway)
		case 2:
			m.Head.Type, m.Head.SerializerID = wire.Ping, 42
			m.Head.Flags |= d.Bit(wire.Oneway) // means nothing here
		case 3:
			m.Head.Flags |= d.Bit(wire.Batch) | d.Bit(wire.Compressed)
		case 4:
			m.Head.Flags |= d.Bit(wire.KeepSerialized) | 1<<15
			m.Chunks = append(m.Chunks, wire.Chunk{ID: [4]byte{'B', 'L', 'B', 'I'}, Value: rngBytes(rng, 50)})
		}
		for range rng.IntN(3) {
			m.Chunks = append(m.Chunks, wire.Chunk{ID: [4]byte{'X', 'Y', 'Z', byte('A' + rng.IntN(26))}, Value: rngBytes(rng, rng.IntN(2000))})
		}
		if rng.IntN(4) == 0 && m.Head.Type == wire.Invoke {
			m = m.WithCorrelation([16]byte{byte(i >> 8), byte(i), 2})
		}
		m.Head.Seq = uint16(rng.Uint32())
		m.Head.Reserved = uint16(rng.Uint32())
		requests = append(requests, m)
	}
	return requests
}

func rngBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// varied answers calls in all ways that a daemon may, with the call's payload.
func varied(c *pyrotest.DaemonConn, m pyrotest.Message) {
	if isOneway(m) {
		return
	}
	d := m.Head.Dialect
	switch m.Head.Seq % 5 {
	case 0:
		pyrotest.RaiseException("varied")(c, m)
	case 1:
		pyrotest.ReplyStream("stream-1")(c, m)
	case 2: // large annotations, such as Pyro5's filetransfer example sends
		reply := m
		reply.Head.Type, reply.Head.Flags = wire.Result, m.Head.Flags&d.Bit(wire.HasCorrelation)|1<<14
		reply.Chunks = append(reply.Chunks, wire.Chunk{ID: [4]byte{'F', 'I', 'L', 'E'}, Value: make([]byte, 60_000)})
		if d == wire.V48 { // where they cannot be larger
			reply.Chunks = reply.Chunks[len(reply.Chunks)-1:]
		}
		_ = c.Send(reply)
	default:
		pyrotest.Echo(c, m)
	}
}

// isOneway: nobody answers it.
func isOneway(m pyrotest.Message) bool { return m.Head.Type == wire.Invoke && m.Head.Has(wire.Oneway) }

// checkBytes holds what the two ends have recorded against each other, and the
// daemon's ledger against what was asked of it.
func checkBytes(tb testing.TB, c *pyrotest.Client, conn *pyrotest.DaemonConn) {
	tb.Helper()
	compare := func(what string, sent, received []byte) {
		if bytes.Equal(sent, received) {
			return
		}
		at := 0
		for at < min(len(sent), len(received)) && sent[at] == received[at] {
			at++
		}
		tb.Errorf("%s: %d bytes sent, %d received, the first difference at %d", what, len(sent), len(received), at)
	}
	compare("requests", c.Sent(), conn.Received())
	compare("replies", conn.Sent(), c.Received())
}

func checkLedger(tb testing.TB, ledger *pyrotest.Ledger, requests ...[]pyrotest.Message) {
	tb.Helper()
	want := make(map[string]int)
	for _, list := range requests {
		for _, m := range list {
			if id := pyrotest.CallID(m); m.Head.Type == wire.Invoke && id != "" {
				want[id]++
			}
		}
	}
	if diff := cmp.Diff(want, ledger.All()); diff != "" {
		tb.Errorf("calls (-asked +run):\n%s", diff)
	}
}

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
