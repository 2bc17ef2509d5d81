package main

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// inside dials a daemon in this process, which serves our own objects: to the rest of
// the dispatcher it is an endpoint like others.
type inside struct {
	ctx    context.Context // of the daemon's connections
	daemon *control.Daemon
	name   string // of the listener, for the daemon's objects and logs

	mu      sync.Mutex
	closed  bool
	serving sync.WaitGroup
}

// insideMembers are where the dispatcher's own daemon seems to be: it speaks both
// dialects, and an endpoint one.
var insideMembers = []backend.Member{
	{Address: backend.Address{Network: "inside", Addr: "pyro4"}, Dialect: wire.V48},
	{Address: backend.Address{Network: "inside", Addr: "pyro5"}, Dialect: wire.V502},
}

// DialContext is backend.Dialer's. The daemon is told the address of the client that
// the connection is for.
func (d *inside) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs, err := connectedPair()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		ours.Close()
		theirs.Close()
		return nil, net.ErrClosed
	}
	d.serving.Go(func() { d.daemon.ServeConn(d.ctx, fromClient{theirs, backend.ClientOf(ctx)}, d.name) })
	return ours, nil
}

// close ends the daemon's connections, when ctx has ended, and waits for them.
func (d *inside) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.serving.Wait()
}

// fromClient is a connection that says it comes from a client.
type fromClient struct {
	net.Conn
	client netip.Addr
}

func (c fromClient) RemoteAddr() net.Addr {
	if !c.client.IsValid() {
		return c.Conn.RemoteAddr()
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.client, 0))
}
