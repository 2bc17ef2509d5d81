//go:build unix

package backend

import "golang.org/x/sys/unix"

// look is the body of alive. The descriptor cannot be read through RawConn.Read
// here: the Reader waits in it.
func (c *Conn) look(fd uintptr) {
	n, err := poll(&unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	c.peeked = err == nil && n == 0
}

// alive reports whether an idle connection can be used: nothing is to be read
// from it, neither its end nor bytes that nobody asked for.
func (c *Conn) alive() bool {
	if c.raw == nil {
		return !c.dead
	}
	c.peeked = false
	if err := c.raw.Control(c.peek); err != nil {
		return false // closed
	}
	return c.peeked
}
