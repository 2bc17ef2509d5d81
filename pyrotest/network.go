package pyrotest

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Network is an in-memory network of TCP and Unix addresses. The zero value is
// ready; set its fields before first use. Addresses are "192.0.2.1:9999",
// "[2001:db8::1]:9999" or "unix:/path"; a name in place of the IP address
// gets one of 198.51.100.0/24, and none at all is 192.0.2.1. Nothing is
// compared with the machine's real addresses. As at dual-stack listeners, the
// IP of a *net.TCPAddr may be an IPv4 address in its 16-byte form.
type Network struct {
	// Buffer is how many bytes one direction of a connection holds before
	// Write blocks; 64 KiB where 0.
	Buffer int
	// Latency is how long a dial, and each byte, FIN and RST takes.
	Latency time.Duration
	// MaxRead is the most that a Read returns, however long its buffer; no
	// limit where 0.
	MaxRead int
	// Backlog is how many connections wait for Accept before a dial hangs, as
	// it does at a real listener whose queue is full; 128 where 0.
	Backlog int

	mu        sync.Mutex
	listeners map[string]*listener
	faults    map[string]fault
	names     map[string]net.IP
	lastPort  int
}

type fault int

const (
	refusing fault = iota + 1
	blackHole
)

// DefaultSource is the address that Dial connects from.
const DefaultSource = "192.0.2.200"

// Listen opens a listener. It fails with EADDRINUSE where there is one
// already; port 0 takes a free one.
func (n *Network) Listen(address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	addr, err := n.resolve(address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.Port == 0 {
		tcp.Port = n.freePort()
	}
	if n.listeners[addr.String()] != nil {
		return nil, &net.OpError{Op: "listen", Net: addr.Network(), Addr: addr, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	backlog := n.Backlog
	if backlog == 0 {
		backlog = 128
	}
	l := &listener{network: n, addr: addr, queue: make(chan *Conn, backlog), closed: make(chan struct{})}
	if n.listeners == nil {
		n.listeners = make(map[string]*listener)
	}
	n.listeners[addr.String()] = l
	return l, nil
}

// Refuse makes dials to the address fail with ECONNREFUSED, as they also do
// where nobody listens. Connections that exist stay, as with BlackHole.
func (n *Network) Refuse(address string) { n.setFault(address, refusing) }

// BlackHole makes dials to the address hang until their context ends.
func (n *Network) BlackHole(address string) { n.setFault(address, blackHole) }

// Restore undoes Refuse and BlackHole.
func (n *Network) Restore(address string) { n.setFault(address, 0) }

func (n *Network) setFault(address string, f fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	addr, err := n.resolve(address)
	if err != nil {
		panic(err)
	}
	if n.faults == nil {
		n.faults = make(map[string]fault)
	}
	n.faults[addr.String()] = f
}

// Dial connects from DefaultSource, without a limit in time.
func (n *Network) Dial(address string) (*Conn, error) {
	return n.DialFrom(context.Background(), DefaultSource, address)
}

// DialContext has the signature of net.Dialer's method, and connects from
// DefaultSource. The network is "tcp…" or "unix".
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "unix" {
		address = "unix:" + address
	}
	c, err := n.DialFrom(ctx, DefaultSource, address)
	if err != nil {
		return nil, err // not a nil *Conn in an interface
	}
	return c, nil
}

// DialFrom connects from the given IP address (which means nothing for a Unix
// socket), with a new port. Errors are *net.OpErrors that wrap ECONNREFUSED or
// the context's error.
func (n *Network) DialFrom(ctx context.Context, sourceIP, address string) (*Conn, error) {
	n.mu.Lock()
	addr, err := n.resolve(address)
	if err != nil {
		n.mu.Unlock()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	var source net.Addr = &net.UnixAddr{Net: "unix"}
	if addr.Network() == "tcp" {
		source = &net.TCPAddr{IP: n.ip(sourceIP), Port: n.freePort()}
	}
	n.mu.Unlock()

	c, err := n.dial(ctx, source, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: addr.Network(), Addr: addr, Err: err}
	}
	return c, nil
}

func (n *Network) dial(ctx context.Context, source, addr net.Addr) (*Conn, error) {
	if n.Latency > 0 {
		timer := time.NewTimer(n.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	l, f := n.listeners[addr.String()], n.faults[addr.String()]
	n.mu.Unlock()
	if f == blackHole {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	if l == nil || f == refusing {
		return nil, refused
	}
	near, far := n.pair(source, l.addr)
	select {
	case l.queue <- far:
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-l.closed:
		l.resetQueue() // Close may have emptied the queue before we put this one in
	default:
	}
	return near, nil
}

// Pipe returns the two ends of a connection, without a listener.
func (n *Network) Pipe() (client, server *Conn) {
	n.mu.Lock()
	source := &net.TCPAddr{IP: n.ip(DefaultSource), Port: n.freePort()}
	n.mu.Unlock()
	return n.pair(source, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9999})
}

// resolve is called with mu held.
func (n *Network) resolve(address string) (net.Addr, error) {
	if path, ok := cutUnix(address); ok {
		return &net.UnixAddr{Net: "unix", Name: path}, nil
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, &net.AddrError{Err: "not a port", Addr: address}
	}
	return &net.TCPAddr{IP: n.ip(host), Port: int(port)}, nil
}

func cutUnix(address string) (path string, ok bool) {
	const prefix = "unix:"
	if len(address) < len(prefix) || address[:len(prefix)] != prefix {
		return "", false
	}
	return address[len(prefix):], true
}

// ip is called with mu held.
func (n *Network) ip(host string) net.IP {
	if host == "" {
		return net.IPv4(192, 0, 2, 1)
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip
	}
	if n.names == nil {
		n.names = make(map[string]net.IP)
	}
	if n.names[host] == nil {
		if len(n.names) == 254 {
			panic(fmt.Sprintf("pyrotest: no address left for %q", host))
		}
		n.names[host] = net.IPv4(198, 51, 100, byte(len(n.names)+1))
	}
	return n.names[host]
}

// freePort is called with mu held. It never gives a port twice, so that a peer
// can be told by its address alone; a network has 25,000.
func (n *Network) freePort() int {
	const first, last = 40000, 65000
	n.lastPort = max(n.lastPort+1, first)
	if n.lastPort > last {
		panic("pyrotest: no port left")
	}
	return n.lastPort
}

// listener is a listening address of a Network.
type listener struct {
	network *Network
	addr    net.Addr
	queue   chan *Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed: // rather than a connection, if there are both
		return nil, l.errClosed("accept")
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, l.errClosed("accept")
	}
}

// Close frees the address and resets the connections that nobody accepted, as
// an operating system does.
func (l *listener) Close() error {
	err := l.errClosed("close")
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.addr.String())
		l.network.mu.Unlock()
		close(l.closed)
		l.resetQueue()
		err = nil
	})
	return err
}

func (l *listener) resetQueue() {
	for {
		select {
		case c := <-l.queue:
			c.Reset()
		default:
			return
		}
	}
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) errClosed(op string) error {
	return &net.OpError{Op: op, Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
}
