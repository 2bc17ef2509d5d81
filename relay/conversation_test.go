package relay_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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
