package relay_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var dialects = []wire.Dialect{wire.V48, wire.V502}

// transport is what a test's connections are made of. Each one takes another
// way through the relay: TCP sockets are read raw, with the kernel's hints on
// what is left to read; Unix sockets raw without hints; others plainly.
type transport interface {
	backend.Dialer
	listen(tb testing.TB) net.Listener
	// settle waits until everything that was caused has happened, where the
	// transport can tell.
	settle()
	// patience bounds each read of a test's client.
	patience() time.Duration
	// pace is how long a bystander waits between its calls.
	pace() time.Duration
}

// sockets are real ones, of network "tcp" (on loopback) or "unix".
type sockets struct {
	net.Dialer
	network string
}

func (s *sockets) listen(tb testing.TB) net.Listener {
	tb.Helper()
	address := "127.0.0.1:0"
	if s.network == "unix" {
		// Not tb.TempDir: a socket's path must be short.
		dir, err := os.MkdirTemp("", "relay")
		noError(tb, err)
		tb.Cleanup(func() { noError(tb, os.RemoveAll(dir)) })
		address = filepath.Join(dir, "s")
	}
	l, err := net.Listen(s.network, address)
	noError(tb, err)
	return l
}

func (*sockets) settle()                 {}
func (*sockets) patience() time.Duration { return 20 * time.Second }
func (*sockets) pace() time.Duration     { return time.Millisecond }

// memory is an in-memory network within a synctest bubble. Time is virtual
// there: it passes only when there is nothing else to do.
type memory struct{ *pyrotest.Network }

func (m memory) listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := m.Listen("192.0.2.1:0")
	noError(tb, err)
	return l
}

func (memory) settle()                 { synctest.Wait() }
func (memory) patience() time.Duration { return time.Hour }
func (memory) pace() time.Duration     { return 100 * time.Millisecond }

// overAll runs a test over every transport.
func overAll(t *testing.T, run func(t *testing.T, tr transport)) {
	t.Helper()
	overSockets(t, run)
	t.Run("memory", func(t *testing.T) { inBubble(t, &pyrotest.Network{}, run) })
}

// overSockets is for tests that need a kernel, or take it on in numbers.
func overSockets(t *testing.T, run func(t *testing.T, tr transport)) {
	t.Helper()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			noLeaks(t)
			run(t, &sockets{network: network})
		})
	}
}

// inBubble runs a test over that network in virtual time. The bubble sees to it
// that no goroutine is left.
func inBubble(t *testing.T, n *pyrotest.Network, run func(t *testing.T, tr transport)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { run(t, memory{n}) })
}

// noLeaks fails the test at its end where it has left a goroutine or a
// descriptor behind.
func noLeaks(t *testing.T) {
	t.Helper()
	before := descriptors(t)
	running := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, running)
		var after map[string]int
		pyrotest.WaitFor(t, "descriptors are closed", func() bool {
			after = descriptors(t)
			return after["socket"] <= before["socket"] && after["anon_inode"] <= before["anon_inode"]
		})
		if n := after["pipe"]; n > 2*idlePipes+before["pipe"] {
			t.Errorf("%d pipes are open", n)
		}
	})
}

// idlePipes is how many pipes the relay keeps for large bodies to come.
const idlePipes = 16

// descriptors counts the process's open files by kind.
func descriptors(tb testing.TB) map[string]int {
	tb.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		return nil // not Linux
	}
	noError(tb, err)
	counts := make(map[string]int)
	for _, f := range open {
		name, err := os.Readlink("/proc/self/fd/" + f.Name())
		if err != nil {
			continue // the one that read the directory
		}
		kind, _, _ := strings.Cut(name, ":")
		counts[kind]++
	}
	return counts
}

// shaped is a connection whose writes are cut into pieces: the next one has
// at most next() bytes. Between them the transport settles, so that in-memory
// readers see every cut; others may see some.
type shaped struct {
	net.Conn
	next   func() int
	settle func()
}

func (c *shaped) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		piece := b[written:min(len(b), written+max(1, c.next()))]
		n, err := c.Conn.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		if written < len(b) {
			c.settle()
		}
	}
	return written, nil
}

func (c *shaped) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// shapingListener applies shape to what it accepts.
type shapingListener struct {
	net.Listener
	shape func(net.Conn) net.Conn
}

func (l *shapingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.shape(c), nil
}

func dialContext(tr transport, a net.Addr) (net.Conn, error) {
	return tr.DialContext(context.Background(), a.Network(), a.String())
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// wantError fails the test unless err is one of those.
func wantError(tb testing.TB, what string, err error, want ...error) {
	tb.Helper()
	if !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
		tb.Errorf("%s: %v, want one of %v", what, err, want)
	}
}
