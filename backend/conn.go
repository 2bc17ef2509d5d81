package backend

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Conn is a connection to an endpoint. While it is leased, it is the holder's
// to write; a pooled one is read by its Reader from the beginning to the end,
// whoever holds it, so that its end is noticed while it is idle.
type Conn struct {
	net.Conn
	Endpoint *Endpoint
	// Reader is the driver's, and reads the connection whoever holds it. It is set by
	// Config.Adopt, once, for pooled connections; for others when a lease ends that the
	// daemon is still at work for, if somebody reads on.
	Reader any

	cluster   *Cluster
	host      netip.Addr
	handshake *Handshake // that it was made with; nil: not pooled
	answer    answerID   // what the daemon said to it
	raw       syscall.RawConn
	peek      func(fd uintptr)
	peeked    bool

	closing sync.Once
	ended   chan struct{} // closed when the daemon has closed, or we have

	// The cluster's lock is for all that follows.

	state    connState
	dead     bool      // ended while leased
	since    time.Time // in this state
	retire   time.Time // when it is too old to be used again; zero: never
	pings    int       // of ours, which the daemon has not answered; below 0: of the lease's, which it has
	restsFor *Attempt  // whose oneway call may still run on it
	limit    *time.Timer
	onGone   func() // of a ghost
}

type connState uint8

const (
	leased connState = iota
	idle
	resting
	ghost
	closed
)

func newConn(c *Cluster, e *Endpoint, nc net.Conn, h *Handshake) *Conn {
	conn := &Conn{Conn: nc, Endpoint: e, cluster: c, handshake: h, ended: make(chan struct{})}
	if t, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		conn.host = t.AddrPort().Addr().Unmap()
	}
	if sc, ok := nc.(syscall.Conn); ok && h != nil {
		if raw, err := sc.SyscallConn(); err == nil {
			conn.raw = raw
			conn.peek = conn.look // made once: a pooled connection is looked at before each use
		}
	}
	return conn
}

// Host is the IP address that the daemon is at, the zero Addr for a Unix socket.
func (c *Conn) Host() netip.Addr { return c.host }

// Pooled reports whether the connection outlives its lease.
func (c *Conn) Pooled() bool { return c.handshake != nil }

// Close closes the connection. More than once does no harm.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.closing.Do(func() { close(c.ended) })
	return err
}

// dispose closes a connection that nobody uses any more. One with a Reader is closed
// by a goroutine of its own: the Reader may be the caller, from within the very read
// that Close waits for.
func (c *Conn) dispose() {
	if c.Reader != nil {
		go c.Close()
		return
	}
	c.Close()
}

// Ended is called by the Reader when it has come upon the end of the connection,
// or what no daemon sends unasked. It reports whether the connection is leased:
// then the holder must hear of it too.
func (c *Conn) Ended() (isLeased bool) {
	cl := c.cluster
	cl.lock()
	defer cl.unlock()
	if c.state == leased {
		c.dead = true
		return true
	}
	cl.discard(c)
	return false
}

// Pong is called by the Reader when a daemon has answered a PING of ours, and no
// holder has seen that: nobody held the connection yet, or no longer.
func (c *Conn) Pong() {
	cl := c.cluster
	cl.lock()
	defer cl.unlock()
	c.pings--
	if c.state == resting && c.pings <= 0 {
		c.Endpoint.resting--
		c.Endpoint.worked(time.Now())
		cl.rest(c)
	}
}

// closeWrite tells the daemon that nothing more will come.
func (c *Conn) closeWrite() {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		h.CloseWrite() // fails only where the connection is gone anyway
		return
	}
	c.Close()
}
