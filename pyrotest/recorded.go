package pyrotest

import (
	"bytes"
	"errors"
	"net"
	"sync"
)

// RecordedConn is a net.Conn that can remember the bytes that passed. (What a
// Write that failed left over is taken back, which is exact as long as nobody
// else writes at the same time.)
type RecordedConn struct {
	net.Conn
	record bool

	mu             sync.Mutex
	received, sent []byte
}

func (c *RecordedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.record {
		c.mu.Lock()
		c.received = append(c.received, b[:n]...)
		c.mu.Unlock()
	}
	return n, err
}

func (c *RecordedConn) Write(b []byte) (int, error) {
	if c.record { // before the peer can act on it
		c.mu.Lock()
		c.sent = append(c.sent, b...)
		c.mu.Unlock()
	}
	n, err := c.Conn.Write(b)
	if c.record && n < len(b) {
		c.mu.Lock()
		c.sent = c.sent[:len(c.sent)-(len(b)-n)]
		c.mu.Unlock()
	}
	return n, err
}

// Received is a copy of all bytes read, nil where they are not recorded.
func (c *RecordedConn) Received() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.received)
}

// Sent is a copy of all bytes written, nil where they are not recorded.
func (c *RecordedConn) Sent() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.sent)
}

// Send writes the message, in one Write.
func (c *RecordedConn) Send(m Message) error {
	_, err := c.Write(m.Bytes())
	return err
}

// WriteCut writes b cut at the given ascending offsets, one Write a piece.
func (c *RecordedConn) WriteCut(b []byte, at ...int) error {
	from := 0
	for _, to := range append(at[:len(at):len(at)], len(b)) {
		if _, err := c.Write(b[from:to]); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// CloseWrite half-closes a connection that can do so.
func (c *RecordedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Reset closes abruptly, so that the peer gets ECONNRESET, on a Conn of a
// Network and on a *net.TCPConn; others are closed.
func (c *RecordedConn) Reset() error {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		if err := l.SetLinger(0); err != nil {
			return err
		}
	}
	return c.Close()
}
