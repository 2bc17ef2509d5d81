package relay

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// link is a connection as the driver uses it. One goroutine reads it and one
// writes it at a time.
type link struct {
	conn   net.Conn
	pooled bool            // the connection outlives the session
	raw    syscall.RawConn // nil where only plain reads and writes are possible
	// hints: receiving says how many bytes, or the end, are still to be read.
	hints bool

	// The writer's: what the raw write callback works on.
	out     []byte
	sent    int
	outErr  error
	onWrite func(fd uintptr) bool
}

// halfCloser is what TCP, Unix and TLS connections have in common.
type halfCloser interface{ CloseWrite() error }

func newLink(c net.Conn) *link {
	l := &link{conn: c}
	l.open()
	if l.raw != nil {
		l.onWrite = l.writable
	}
	return l
}

// trySend writes what the connection takes without waiting, and returns how
// much that was. Without raw access it writes nothing.
func (l *link) trySend(b []byte) (int, error) {
	if l.raw == nil || len(b) == 0 {
		return 0, nil
	}
	l.out, l.sent, l.outErr = b, 0, nil
	err := l.raw.Write(l.onWrite)
	l.out = nil
	if l.outErr != nil {
		err = l.outErr
	}
	return l.sent, err
}

// push writes b, waiting. Within limit, if that is not 0, the peer must take some of
// it; otherwise the error is os.ErrDeadlineExceeded.
func (l *link) push(b []byte, limit time.Duration) (n int, err error) {
	for {
		l.within(limit)
		m, err := l.conn.Write(b[n:])
		n += m
		if m > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err == nil {
			l.anyTime(limit)
		}
		return n, err
	}
}

// within bounds the time that writes may take from now on; 0 is no bound.
func (l *link) within(limit time.Duration) {
	if limit > 0 {
		l.conn.SetWriteDeadline(time.Now().Add(limit))
	}
}

// anyTime ends that.
func (l *link) anyTime(limit time.Duration) {
	if limit > 0 {
		l.conn.SetWriteDeadline(time.Time{})
	}
}

// closeWrite sends the end of the stream, where the connection can.
func (l *link) closeWrite() {
	if h, ok := l.conn.(halfCloser); ok {
		h.CloseWrite() // fails only where the connection is gone anyway
		return
	}
	l.conn.Close()
}
