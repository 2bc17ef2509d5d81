package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// conn is a connection that is being served, by one goroutine.
type conn struct {
	net.Conn
	daemon        *Daemon
	in            *bufio.Reader
	listener      string
	local, remote netip.AddrPort
	dialect       wire.Dialect // of the CONNECT, and so of all that follows

	mu      sync.Mutex
	waiting bool // for bytes of the client's, with nothing begun that ought to be finished
	ending  bool
}

// ServeConn serves one connection until it ends, or ctx does: then a call in flight
// gets DrainTimeout to be answered. It closes nc. The listener's name is for objects,
// logs and events.
func (d *Daemon) ServeConn(ctx context.Context, nc net.Conn, listener string) {
	defer nc.Close()
	c := &conn{
		Conn: nc, daemon: d, in: bufio.NewReaderSize(nc, 2<<10), listener: listener,
		local: addrPort(nc.LocalAddr()), remote: addrPort(nc.RemoteAddr()),
	}
	admission, release := d.admit(c.remote)
	defer release()
	if admission == dropped {
		return
	}

	// Calls outlive ctx by DrainTimeout.
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		c.end()
		timer := time.NewTimer(d.DrainTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
			_ = nc.Close()
		case <-calls.Done():
		}
	})
	defer stop()

	if !c.greet(admission == declined) {
		return
	}
	for c.await(d.IdleTimeout) && c.serve(calls) {
	}
}

// end makes await give up, now or when it is called next.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	if c.waiting {
		_ = c.SetReadDeadline(longAgo)
	}
}

// longAgo ends reads that are under way.
var longAgo = time.Unix(1, 0)

// await waits for the first byte of a message; then RequestTimeout runs.
func (c *conn) await(timeout time.Duration) bool {
	if !c.wait(timeout) {
		return false
	}
	_, err := c.in.Peek(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	if err != nil {
		return false
	}
	return c.SetReadDeadline(time.Now().Add(c.daemon.RequestTimeout)) == nil
}

// wait sets the time for reading, which end may cut short as long as c is waiting. It
// is false where it has ended already.
func (c *conn) wait(timeout time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return false
	}
	c.waiting = true
	return c.SetReadDeadline(time.Now().Add(timeout)) == nil
}

// send writes a whole message within RequestTimeout.
func (c *conn) send(b []byte) bool {
	if err := c.SetWriteDeadline(time.Now().Add(c.daemon.RequestTimeout)); err != nil {
		return false
	}
	_, err := c.Write(b)
	if err != nil {
		c.log("cannot write a reply", err)
	}
	return err == nil
}

// How long, in time and bytes, a connection is read from that was told its last.
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// linger ends the connection so that what was written last arrives: closing a socket
// with unread bytes makes the kernel send RST, which may overtake it.
func (c *conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if ok && half.CloseWrite() == nil && c.wait(lingerTime) {
		_, _ = io.CopyN(io.Discard, c.in, lingerBytes)
	}
}

// log writes down why a connection ends badly. That one simply ends is not bad.
func (c *conn) log(what string, err error, fields ...zap.Field) {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.mu.Lock()
		ending := c.ending
		c.mu.Unlock()
		if ending {
			return
		}
	}
	c.daemon.Log.Warn(what, append(fields,
		zap.String("listener", c.listener), zap.Stringer("peer", c.RemoteAddr()), zap.Error(err))...)
}

// clip bounds what a peer can put into a line of the log, or a text.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
