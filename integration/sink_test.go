package integration

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
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
	var running sync.WaitGroup
	ended := make(chan struct{})
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				if err := s.serve(conn, ended); err != nil && !errors.Is(err, io.EOF) {
					t.Errorf("the daemon: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(ended)
		running.Wait()
	})
	return s
}

func (s *sinkDaemon) serve(conn net.Conn, ended <-chan struct{}) error {
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
		if h.Type == msgPing { // of a health check
			if _, err := io.CopyN(io.Discard, conn, int64(h.Data)); err != nil {
				return err
			}
			if _, err := conn.Write(header5(msgPing, json5, 0, uint16(h.Seq), 0, 0)); err != nil {
				return err
			}
			continue
		}
		if h.Seq == 0x5050 { // the dispatcher asks what kind of server this is
			if _, err := io.CopyN(io.Discard, conn, int64(h.Data)); err != nil {
				return err
			}
			if _, err := conn.Write(header5(msgResult, json5, 0, uint16(h.Seq), 0, 0)); err != nil {
				return err
			}
			continue
		}
		select {
		case <-s.resume:
		case <-ended:
			return nil
		}
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
