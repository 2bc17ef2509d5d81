package control

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// Daemon serves objects to proxies of both libraries, as their daemons do. It is safe
// for concurrent use.
type Daemon struct {
	Config
	read    values.Limits
	builtin daemonObject

	// Both of Limits.Memory. Who has of the second waits for nothing but an object, so
	// that waiting for it with some of the first is no deadlock.
	bodies, inflated *semaphore.Weighted

	mu        sync.Mutex
	serving   int                  // connections
	bySource  map[netip.Prefix]int // of these; no zeros
	declining int                  // connections that are being told that there are too many
}

// maxDeclining is how many connections too many are told so at once. More are closed.
const maxDeclining = 64

// New makes a daemon. It has no goroutines of its own.
func New(c Config) *Daemon {
	c = c.withDefaults()
	d := &Daemon{
		Config: c,
		read: values.Limits{
			Depth: c.Limits.Depth, Items: c.Limits.Items, Bytes: int(c.Limits.Message),
		},
		bodies:   semaphore.NewWeighted(c.Limits.Memory),
		inflated: semaphore.NewWeighted(c.Limits.Memory),
		bySource: map[netip.Prefix]int{},
	}
	d.builtin.daemon = d
	return d
}

// Serve accepts connections until ctx ends, and then closes l and gives calls in
// flight DrainTimeout before it ends them. It returns when all is over: nil after the
// end of ctx, otherwise why nothing can be accepted any more.
func (d *Daemon) Serve(ctx context.Context, l net.Listener, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	var connections sync.WaitGroup
	defer connections.Wait()
	defer cancel() // before the wait: who serves should end
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer func() {
		if stop() {
			_ = l.Close()
		}
	}()
	for pause := time.Duration(0); ; {
		conn, err := l.Accept()
		if err == nil {
			pause = 0
			connections.Go(func() { d.ServeConn(ctx, conn, name) })
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of descriptors, for example. It may pass.
		d.Log.Warn("cannot accept", zap.String("listener", name), zap.Error(err))
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// admission is what became of a new connection.
type admission uint8

const (
	served admission = iota
	declined
	dropped
)

// admit counts a new connection. release has to be called when it is over.
func (d *Daemon) admit(remote netip.AddrPort) (a admission, release func()) {
	source := sourceOf(remote)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.serving >= d.Limits.Connections || source.IsValid() && d.bySource[source] >= d.Limits.PerSource {
		if d.declining >= maxDeclining {
			return dropped, func() {}
		}
		d.declining++
		return declined, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.declining--
		}
	}
	d.serving++
	if source.IsValid() {
		d.bySource[source]++
	}
	return served, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.serving--
		if !source.IsValid() {
			return
		}
		if d.bySource[source]--; d.bySource[source] == 0 {
			delete(d.bySource, source)
		}
	}
}

// sourceOf is what connections are counted by: an IPv4 address, an IPv6 /64, nothing
// for a Unix socket.
func sourceOf(remote netip.AddrPort) netip.Prefix {
	addr := remote.Addr().Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, _ := addr.Prefix(bits) // the zero Prefix for the zero Addr
	return p
}

// addrPort is the zero AddrPort for what is not TCP's.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
