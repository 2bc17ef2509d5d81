//go:build linux

package main

import (
	"io"
	"net"
	"os"
	"syscall"
)

// smallMessage is the largest message, header included, that is sent and received
// whole in one buffer. Anything larger goes through bulk.
const smallMessage = 16 << 10

// zeros is the data of every large message, sent as often as needed. It is short
// enough to stay in a core's cache: the harness should cost little itself.
var zeros [256 << 10]byte

// bulk sends and discards messages of any size with flat memory, and without
// allocating once it is warm.
type bulk struct {
	conn    *net.TCPConn
	scratch []byte
	vec     [][]byte
}

// send writes prefix and then n zero bytes, with as few system calls as the socket allows.
func (b *bulk) send(prefix []byte, n int) error {
	vec := append(b.vec[:0], prefix)
	for ; n > len(zeros); n -= len(zeros) {
		vec = append(vec, zeros[:])
	}
	vec = append(vec, zeros[:n])
	b.vec = vec // WriteTo advances the slice it is called on: keep the beginning
	bufs := net.Buffers(vec)
	_, err := bufs.WriteTo(b.conn)
	return err
}

// discard reads n bytes and forgets them. An end in between is io.ErrUnexpectedEOF.
func (b *bulk) discard(n int) error {
	if b.scratch == nil {
		b.scratch = make([]byte, len(zeros))
	}
	for n > 0 {
		k, err := b.conn.Read(b.scratch[:min(n, len(b.scratch))])
		n -= k
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readNow reads what a socket has, for use inside RawConn.Read: 0 and no error
// mean that it has nothing yet, and the end of the stream is io.EOF.
func readNow(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}
