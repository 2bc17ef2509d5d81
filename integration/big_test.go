package integration

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

const (
	mib = 1 << 20
	// almostGiB is what Pyro5's limit of 1 GiB, overhead included, has room for.
	almostGiB = 1<<30 - 64<<10
	// memoryLimit is how much more memory the dispatcher may use for a message of any size.
	memoryLimit = 16 * mib
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pattern is a body of n bytes that repeats a random block, and is made as it is read.
type pattern struct {
	block []byte
	left  int
}

func newPattern(n int) *pattern {
	block := make([]byte, mib+13) // so that blocks and buffers do not line up
	random := rand.New(rand.NewPCG(1, 2))
	for i := range block {
		block[i] = byte(random.Uint32())
	}
	return &pattern{block: block, left: n}
}

// next returns the next piece, nil at the end.
func (p *pattern) next() []byte {
	piece := p.block[:min(len(p.block), p.left)]
	p.left -= len(piece)
	return piece
}

// sumOf returns the checksum of a whole body.
func sumOf(n int) uint32 {
	sum := uint32(0)
	for p := newPattern(n); p.left > 0; {
		sum = crc32.Update(sum, castagnoli, p.next())
	}
	return sum
}

// writeBody sends n bytes of the pattern.
func writeBody(w io.Writer, n int) error {
	for p := newPattern(n); p.left > 0; {
		if _, err := w.Write(p.next()); err != nil {
			return err
		}
	}
	return nil
}

// readBody reads n bytes and returns their checksum.
func readBody(r io.Reader, n int64) (uint32, error) {
	h := crc32.New(castagnoli)
	_, err := io.CopyBuffer(struct{ io.Writer }{h}, io.LimitReader(r, n), make([]byte, mib))
	return h.Sum32(), err
}

// sinkDaemon is a Pyro5 daemon for one connection at a time, in Go: CPython would need
// gigabytes. It reads a call, and answers with a body of as many bytes.
type sinkDaemon struct {
	net.Listener
	sums    chan uint32   // of each call's body
	resume  chan struct{} // one receive before each body is read
	replied atomic.Int64  // bytes of the present reply's body that were written
}

func startSink(t *testing.T) *sinkDaemon {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sinkDaemon{Listener: l, sums: make(chan uint32, 1), resume: make(chan struct{}, 100)}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := s.serve(conn); err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("the daemon: %v", err)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-finished
	})
	return s
}

func (s *sinkDaemon) serve(conn net.Conn) error {
	if err := conn.SetDeadline(deadline()); err != nil {
		return err
	}
	if h, err := readMessage5(conn); err != nil || h.Type != msgConnect {
		return fmt.Errorf("no CONNECT: %+v, %w", h, err)
	}
	hello := `{"handshake": "hello", "meta": {"methods": ["echo"], "oneway": [], "attrs": []}}`
	if _, err := conn.Write(append(header5(msgConnectOK, json5, 0, 0, uint32(len(hello)), 0), hello...)); err != nil {
		return err
	}
	for {
		h, err := readHead5(conn)
		if err != nil {
			return err // EOF: the client is done
		}
		<-s.resume
		sum, err := readBody(conn, int64(h.Data))
		if err != nil {
			return err
		}
		s.sums <- sum
		if _, err := conn.Write(header5(msgResult, json5, 0, uint16(h.Seq), h.Data, 0)); err != nil {
			return err
		}
		s.replied.Store(0)
		if err := writeBody(&countingWriter{conn, &s.replied}, int(h.Data)); err != nil {
			return fmt.Errorf("replying: %w", err)
		}
	}
}

// countingWriter writes in small pieces and counts, so that progress shows.
type countingWriter struct {
	w io.Writer
	n *atomic.Int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	for written := 0; ; {
		n, err := c.w.Write(p[written:min(len(p), written+64<<10)])
		c.n.Add(int64(n))
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// startPlain starts a dispatcher without the race detector in front of a sink.
func startPlain(t *testing.T, s *sinkDaemon) *running {
	t.Helper()
	binary, err := plainDispatcher()
	if err != nil {
		t.Fatal(err)
	}
	return runDispatcher(t, binary, "--listen", "127.0.0.1:0", "--backend", s.Addr().String(), "--admin=")
}

// memory reads a line such as VmRSS of the dispatcher's status, in bytes.
func (d *running) memory(t *testing.T, key string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(key + `:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no %s in\n%s", key, status)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// watchMemory returns a function that tells by how much the dispatcher's memory ever exceeded
// what it is now.
func (d *running) watchMemory(t *testing.T) func() int {
	t.Helper()
	// 5 sets the peak back to the present: see proc_pid_clear_refs(5).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	before := d.memory(t, "VmRSS")
	return func() int { return d.memory(t, "VmHWM") - before }
}

// TestBigMessagesFlatMemory passes a call and a reply of almost 1 GiB.
func TestBigMessagesFlatMemory(t *testing.T) {
	sink := startSink(t)
	d := startPlain(t, sink)
	conn := handshake5(t, d.location)
	roundTrip(t, conn, sink, 8*mib, 1) // for what is made once

	growth := d.watchMemory(t)
	roundTrip(t, conn, sink, almostGiB, 2)
	if g := growth(); g > memoryLimit {
		t.Errorf("memory grew by %d KiB, want at most %d", g>>10, memoryLimit>>10)
	} else {
		t.Logf("memory grew by %d KiB", g>>10)
	}
}

// roundTrip makes a call of n bytes and reads the reply, which must be the same.
func roundTrip(t *testing.T, conn net.Conn, sink *sinkDaemon, n int, seq uint16) {
	t.Helper()
	sink.resume <- struct{}{}
	if _, err := conn.Write(header5(msgInvoke, json5, 0, seq, uint32(n), 0)); err != nil {
		t.Fatal(err)
	}
	if err := writeBody(conn, n); err != nil {
		t.Fatalf("sending: %v", err)
	}
	readReply(t, conn, sink, n, seq)
}

func readReply(t *testing.T, conn net.Conn, sink *sinkDaemon, n int, seq uint16) {
	t.Helper()
	h, err := readHead5(conn)
	if err != nil {
		t.Fatal(err)
	}
	if h.Type != msgResult || h.Seq != int(seq) || h.Data != uint32(n) {
		t.Fatalf("the reply's header is %+v", h)
	}
	got, err := readBody(conn, int64(n))
	if err != nil {
		t.Fatalf("receiving: %v", err)
	}
	if want := sumOf(n); got != want || <-sink.sums != want {
		t.Errorf("a body of %d bytes was changed on its way", n)
	}
}

// TestBackPressure has a daemon that does not read for a while, then a client that does not:
// the sender has to stop, the dispatcher does not buffer, and then everything arrives.
func TestBackPressure(t *testing.T) {
	const size = 256 * mib
	// What the kernel keeps in the four socket buffers is far below this.
	const inBuffers = 64 * mib

	sink := startSink(t)
	d := startPlain(t, sink)
	conn := handshake5(t, d.location)
	roundTrip(t, conn, sink, 8*mib, 1)
	growth := d.watchMemory(t)

	if _, err := conn.Write(header5(msgInvoke, json5, 0, 2, size, 0)); err != nil {
		t.Fatal(err)
	}
	body, piece, sent := newPattern(size), []byte(nil), 0
	// Until a write makes no progress for a second. A dispatcher that buffers never gets there.
	for sent < size {
		if len(piece) == 0 {
			piece = body.next()
		}
		if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Write(piece)
		sent, piece = sent+n, piece[n:]
		if errors.Is(err, os.ErrDeadlineExceeded) && n == 0 {
			break
		} else if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if sent > inBuffers {
		t.Errorf("%d MiB went out while the daemon read nothing", sent/mib)
	}
	if err := conn.SetWriteDeadline(deadline()); err != nil {
		t.Fatal(err)
	}
	sink.resume <- struct{}{}
	for ; len(piece) > 0; piece = body.next() {
		if _, err := conn.Write(piece); err != nil {
			t.Fatal(err)
		}
	}

	// Now the client reads nothing, until the daemon gets no further.
	last, since := int64(-1), time.Now()
	eventually(t, "the daemon stops sending", func() bool {
		if now := sink.replied.Load(); now != last || now == 0 {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
	if last > inBuffers {
		t.Errorf("%d MiB came back while the client read nothing", last/mib)
	}
	readReply(t, conn, sink, size, 2)
	if g := growth(); g > memoryLimit {
		t.Errorf("memory grew by %d KiB, want at most %d", g>>10, memoryLimit>>10)
	}
}
