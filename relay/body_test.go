package relay_test

import (
	"fmt"
	"hash/crc32"
	"net"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// filler is the checksum of n bytes of pyrotest.WriteFiller.
func filler(tb testing.TB, n int64) uint32 {
	tb.Helper()
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	noError(tb, pyrotest.WriteFiller(sum, n))
	return sum.Sum32()
}

// largeCall makes a call with a body of size bytes, and a reply as large, and
// checks both. The daemon's script must be sumAndReply's.
func largeCall(t *testing.T, c *pyrotest.Client, sums <-chan uint32, size int64) {
	t.Helper()
	m := c.InvokeMessage(nil)
	noError(t, pyrotest.WriteSized(c, m, size))
	reply, err := c.Await(m)
	noError(t, err)
	want := filler(t, size)
	if got := <-sums; got != want {
		t.Errorf("%d bytes: the daemon's checksum is %x, want %x", size, got, want)
	}
	if reply.CRC != want || int64(reply.Head.DataLen) != size {
		t.Errorf("%d bytes: the reply's checksum is %x, want %x", size, reply.CRC, want)
	}
}

// sumAndReply is a script that passes on checksums and replies in kind.
func sumAndReply() (pyrotest.Script, <-chan uint32) {
	sums := make(chan uint32, 1)
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		sums <- m.CRC
		pyrotest.ReplySize(int64(m.Head.DataLen))(c, m)
	}, sums
}

func TestLargeBodies(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		script, sums := sumAndReply()
		r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnInvoke: script, Discard: true}}})
		for _, d := range dialects {
			c := r.connect(pyrotest.Client{Dialect: d, Discard: true})
			largeCall(t, c, sums, 64<<20)
			largeCall(t, c, sums, 1000)
			noError(t, c.Close())
		}
	})
}

// The same with readers that take little at a time: in memory through short
// buffers, on sockets with small buffers.
func TestNarrowReaders(t *testing.T) {
	narrow := func(t *testing.T, tr transport, sizes ...int64) {
		t.Helper()
		script, sums := sumAndReply()
		squeeze := func(c net.Conn) net.Conn {
			if b, ok := c.(interface{ SetReadBuffer(int) error }); ok {
				noError(t, b.SetReadBuffer(32<<10))
			}
			return c
		}
		r := start(t, tr, setup{
			Daemons:     []*pyrotest.Daemon{{OnInvoke: script, Discard: true}},
			ShapeDaemon: squeeze,
		})
		c := r.dial(pyrotest.Client{Discard: true})
		squeeze(c.Conn)
		_, err := c.Connect("some.object")
		noError(t, err)
		for _, size := range sizes {
			largeCall(t, c, sums, size)
		}
	}
	overSockets(t, func(t *testing.T, tr transport) { narrow(t, tr, 1000, 60_000, 100_000, 8<<20) })
	t.Run("memory", func(t *testing.T) {
		inBubble(t, &pyrotest.Network{Buffer: 100, MaxRead: 33}, func(t *testing.T, tr transport) {
			narrow(t, tr, 1000, 60_000, 100_000)
		})
	})
	t.Run("memory, bytes", func(t *testing.T) {
		inBubble(t, &pyrotest.Network{Buffer: 1}, func(t *testing.T, tr transport) { narrow(t, tr, 1000, 10_000) })
	})
}

// Many at once, beyond the number of pipes that are kept.
func TestManyLargeBodies(t *testing.T) {
	overSockets(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.ReplySize(2 << 20), Discard: true}}})
		want := filler(t, 2<<20)
		const clients = 3 * idlePipes
		all := make(chan error)
		for i := range clients {
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2], Discard: true})
			go func() {
				m := c.InvokeMessage(nil)
				err := pyrotest.WriteSized(c, m, 2<<20)
				var reply pyrotest.Message
				if err == nil {
					reply, err = c.Await(m)
				}
				if err == nil && reply.CRC != want {
					err = fmt.Errorf("checksum %x, want %x", reply.CRC, want)
				}
				all <- err
			}()
		}
		for range clients {
			if err := <-all; err != nil {
				t.Error(err)
			}
		}
	})
}
