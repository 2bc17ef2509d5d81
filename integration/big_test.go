package integration

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
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
