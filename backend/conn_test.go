package backend

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// slowConn is a connection whose Close waits for the Read under way, as the driver's
// may.
type slowConn struct {
	net.Conn
	reading chan struct{} // closed when nobody reads any more
}

func (c *slowConn) Close() error {
	<-c.reading
	return c.Conn.Close()
}

// CloseWrite says nothing to the peer, and does not wait.
func (c *slowConn) CloseWrite() error { return nil }

// TestEndedByReader: whoever reads a ghost may say that it has ended from within the
// read that its Close waits for.
func TestEndedByReader(t *testing.T) {
	for _, pooled := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			cfg := waiting(addrA)
			cfg.GhostTimeout = time.Minute
			r := newRigWith(cfg)
			r.open(t, addrA)
			a := &Attempt{Dialect: v502}
			if pooled {
				c := r.newClient(v502, "x")
				defer c.leave()
				a = c.a
			}
			conn := newConn(r.Cluster, r.members[0], &slowConn{near, make(chan struct{})}, a.Handshake)
			conn.Reader = conn
			r.lock()
			conn.Endpoint.conns++
			if pooled {
				conn.handshake.conns++
			}
			conn.Endpoint.metrics.Connections.Inc()
			r.haunt(conn)
			r.unlock()
			read := make(chan struct{})
			go func() {
				conn.Ended()
				close(conn.Conn.(*slowConn).reading)
				close(read)
			}()
			<-read
			<-conn.ended
			r.wantQuiet(t)
		})
	}
}
