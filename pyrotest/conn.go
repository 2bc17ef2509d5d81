package pyrotest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is one end of a connection of a Network. Its errors are those of a TCP
// connection on Linux:
//
//   - after our Close: net.ErrClosed; past a deadline: os.ErrDeadlineExceeded;
//     both, and those below, inside a *net.OpError;
//   - the peer closed or half-closed: Read gives the bytes still there, then
//     io.EOF;
//   - the peer reset: Read gives the bytes still there, then
//     ECONNRESET; the first Write gets ECONNRESET unless a Read did, later
//     ones EPIPE;
//   - the peer closed: one Write succeeds and its bytes are lost, later ones
//     get EPIPE; a Write after our own CloseWrite gets EPIPE too;
//   - closing with unread bytes resets.
//
// One Read never returns bytes of two Writes, so whoever cuts a message into
// Writes decides how the peer reads it.
type Conn struct {
	*link
	peer          *Conn
	local, remote net.Addr

	// Guarded by link.mu.
	in            queue
	closed        bool
	writeClosed   bool
	abort         bool // Close resets
	broken        bool // our next Write gets EPIPE
	readDeadline  deadline
	writeDeadline deadline
}

// link is what both ends share: every change at either end wakes all who wait.
type link struct {
	mu      sync.Mutex
	changed sync.Cond
	limit   int
	maxRead int
	latency time.Duration
}

// queue is what was sent to one end: segments of bytes in order, then perhaps
// a FIN, a RST, or both.
type queue struct {
	segments []segment
	size     int       // bytes in all segments
	fin, rst time.Time // when they arrive; zero where not sent
}

type segment struct {
	data    []byte
	arrival time.Time
}

func (n *Network) pair(clientAddr, serverAddr net.Addr) (client, server *Conn) {
	l := &link{limit: n.Buffer, maxRead: n.MaxRead, latency: n.Latency}
	l.changed.L = &l.mu
	if l.limit == 0 {
		l.limit = 64 << 10
	}
	client = &Conn{link: l, local: clientAddr, remote: serverAddr}
	server = &Conn{link: l, local: serverAddr, remote: clientAddr, peer: client}
	client.peer = server
	return client, server
}

func (c *Conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case c.readDeadline.expired():
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		case len(c.in.segments) > 0 && c.arrived(c.in.segments[0].arrival):
			return c.take(b), nil
		case len(c.in.segments) > 0:
			// Not here yet, and neither is what was sent after it.
		case c.arrived(c.in.fin):
			return 0, io.EOF
		case c.arrived(c.in.rst):
			c.broken = true
			return 0, c.opError("read", os.NewSyscallError("read", syscall.ECONNRESET))
		}
		c.changed.Wait()
	}
}

// take moves bytes of the first segment to b.
func (c *Conn) take(b []byte) int {
	if c.maxRead > 0 && len(b) > c.maxRead {
		b = b[:c.maxRead]
	}
	first := &c.in.segments[0]
	n := copy(b, first.data)
	first.data = first.data[n:]
	if len(first.data) == 0 {
		c.in.segments[0] = segment{}
		c.in.segments = c.in.segments[1:]
	}
	c.in.size -= n
	c.changed.Broadcast() // there is room for a Write
	return n
}

// Write copies b; it blocks while the buffer towards the peer is full.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for written := 0; ; {
		switch {
		case c.closed:
			return written, c.opError("write", net.ErrClosed)
		case c.writeDeadline.expired():
			return written, c.opError("write", os.ErrDeadlineExceeded)
		case c.writeClosed, c.broken, c.arrived(c.in.rst) && c.arrived(c.in.fin):
			return written, c.opError("write", os.NewSyscallError("write", syscall.EPIPE))
		case c.arrived(c.in.rst):
			c.broken = true
			return written, c.opError("write", os.NewSyscallError("write", syscall.ECONNRESET))
		case c.peer.closed && c.in.rst.IsZero():
			c.broken = true // by the RST that answers these bytes
			return len(b), nil
		}
		if room := min(len(b)-written, c.limit-c.peer.in.size); room > 0 {
			c.push(b[written : written+room])
			written += room
		}
		if written == len(b) {
			return written, nil
		}
		c.changed.Wait()
	}
}

func (c *Conn) push(b []byte) {
	in := &c.peer.in
	in.segments = append(in.segments, segment{append([]byte(nil), b...), time.Now().Add(c.latency)})
	in.size += len(b)
	c.announce()
}

// announce wakes all who wait, now and when what was just sent arrives.
func (c *Conn) announce() {
	c.changed.Broadcast()
	if c.latency > 0 {
		time.AfterFunc(c.latency, c.wake)
	}
}

func (l *link) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed.Broadcast()
}

// arrived reports whether what arrives at t is here.
func (l *link) arrived(t time.Time) bool {
	return !t.IsZero() && (l.latency == 0 || !time.Now().Before(t))
}

// CloseWrite sends a FIN after the bytes written; reading goes on.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	if !c.writeClosed {
		c.writeClosed = true
		c.peer.in.fin = time.Now().Add(c.latency)
		c.announce()
	}
	return nil
}

// Close sends a FIN after the bytes written, or resets: see Conn.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	c.readDeadline.stop()
	c.writeDeadline.stop()
	if c.abort || c.in.size > 0 {
		c.peer.in.rst = time.Now().Add(c.latency)
	} else if !c.writeClosed {
		c.peer.in.fin = time.Now().Add(c.latency)
	}
	c.in = queue{}
	c.announce()
	return nil
}

// Reset closes abruptly: the peer gets ECONNRESET once it has read what was
// sent before.
func (c *Conn) Reset() error {
	c.mu.Lock()
	c.abort = true
	c.mu.Unlock()
	return c.Close()
}

// SetLinger is net.TCPConn's: after SetLinger(0), Close resets.
func (c *Conn) SetLinger(seconds int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.abort = seconds == 0
	return nil
}

// Buffered is how many bytes the peer has written and we have not read.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in.size
}

// LocalAddr is a *net.TCPAddr or a *net.UnixAddr.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the peer's LocalAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines. As on sockets they also end calls that are
// under way, and the zero time means none.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline, &c.writeDeadline)
}

// SetReadDeadline is SetDeadline for Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.readDeadline) }

// SetWriteDeadline is SetDeadline for Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeDeadline) }

func (c *Conn) setDeadlines(t time.Time, deadlines ...*deadline) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range deadlines {
		d.stop()
		d.at = t
		if wait := time.Until(t); !t.IsZero() && wait > 0 {
			d.timer = time.AfterFunc(wait, c.wake)
		}
	}
	c.changed.Broadcast()
	return nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// deadline is a time, and the timer that wakes who waits for it.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) expired() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
