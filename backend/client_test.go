package backend

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// reader is what the driver is to a pooled connection: it reads it from the
// beginning to the end, for whoever holds it.
type reader struct {
	conn *Conn

	mu      sync.Mutex
	lease   *Lease // of the holder
	replies chan pyrotest.Message
}

// adopt is for Config.Adopt.
func adopt(c *Conn) {
	r := &reader{conn: c}
	c.Reader = r
	go r.run()
}

func (r *reader) run() {
	for {
		m, err := pyrotest.ReadMessage(r.conn.Conn)
		if err != nil || !r.take(m) {
			r.end()
			return
		}
	}
}

// take deals with a message. It reports false where it is none that anybody can
// have asked for.
func (r *reader) take(m pyrotest.Message) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ping := m.Head.Type == wire.Ping
	switch {
	case r.lease != nil && ping && r.lease.Pings > 0:
		r.lease.Pings--
	case r.lease != nil:
		r.replies <- m
	case r.conn.Haunting():
	case ping:
		r.conn.Pong()
	default:
		return false
	}
	return true
}

func (r *reader) end() {
	r.conn.Ended()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lease != nil {
		close(r.replies)
		r.lease = nil
	}
}

func (r *reader) hold(l *Lease) <-chan pyrotest.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lease, r.replies = l, make(chan pyrotest.Message, 8)
	return r.replies
}

func (r *reader) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lease = nil
}

// client is a client in mode call, as the session machine would treat it.
type client struct {
	*rig
	a      *Attempt
	d      wire.Dialect
	answer []byte // to its CONNECT
	seq    uint16
}

// newClient makes a client whose CONNECT asks for the object. It has not shaken
// hands yet.
func (r *rig) newClient(d wire.Dialect, object string) *client {
	m := pyrotest.ConnectMessage(d, wire.Serpent, object, "hello").Bytes()
	h, err := wire.ParseHead(m)
	if err != nil {
		panic(err)
	}
	return &client{rig: r, d: d, a: &Attempt{Dialect: d, Handshake: r.Join(&h, m), Connect: m}}
}

// shake has the CONNECT answered, by a daemon or out of the cache.
func (c *client) shake(ctx context.Context) error {
	connect := c.a.Connect
	c.a.Connect = nil
	if c.answer = c.Greet(c.a); c.answer != nil {
		return nil
	}
	c.a.Connect = connect
	l, err := c.Acquire(ctx, c.a)
	c.a.Connect = nil
	if err != nil {
		return err
	}
	c.answer = l.Answer
	l.Done(Served)
	return nil
}

// connected is a client that has shaken hands.
func (r *rig) connected(t *testing.T, object string) *client {
	t.Helper()
	c := r.newClient(v502, object)
	if err := c.shake(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// leave ends the client.
func (c *client) leave() { c.Leave(c.a.Handshake) }

// lease gets a lease for the next call.
func (c *client) lease(ctx context.Context) (*Lease, error) {
	c.a.Again()
	if l := c.TryLease(c.a); l != nil {
		return l, nil
	}
	return c.Acquire(ctx, c.a)
}

// must is lease where there has to be one.
func (c *client) must(t *testing.T) *Lease {
	t.Helper()
	l, err := c.lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// invoke is an INVOKE of the client.
func (c *client) invoke(flags ...wire.Flag) pyrotest.Message {
	c.seq++
	m := pyrotest.Message{
		Head: wire.Head{Dialect: c.d, Type: wire.Invoke, SerializerID: c.d.SerializerID(wire.Serpent), Seq: c.seq},
		Data: []byte("payload"),
	}
	for _, f := range flags {
		m.Head.Flags |= c.d.Bit(f)
	}
	return m
}

var errNoReply = errors.New("no reply")

// call makes a call, and returns the address of the endpoint that served it.
func (c *client) call(ctx context.Context) (string, error) {
	l, err := c.lease(ctx)
	if err != nil {
		return "", err
	}
	return c.on(l)
}

// on makes a call on a lease, and ends that.
func (c *client) on(l *Lease) (string, error) {
	r := l.Conn.Reader.(*reader)
	replies := r.hold(l)
	addr := l.Endpoint.Address.Addr
	m := c.invoke()
	if _, err := l.Conn.Write(m.Bytes()); err != nil {
		r.leave()
		l.Done(Broken)
		return addr, err
	}
	reply, ok := <-replies
	r.leave()
	switch {
	case !ok:
		l.Done(Broken)
		return addr, errNoReply
	case reply.Head.Type != wire.Result || reply.Head.Seq != m.Head.Seq:
		l.Done(Garbled)
		return addr, errNoReply
	}
	l.Done(Served)
	return addr, nil
}

// mustCall is call where it has to succeed.
func (c *client) mustCall(t *testing.T) string {
	t.Helper()
	addr, err := c.call(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// oneway makes a oneway call on a lease that it ends as Resting.
func (c *client) oneway(t *testing.T, l *Lease) {
	t.Helper()
	b := wire.AppendPing(c.invoke(wire.Oneway).Bytes(), c.d, wire.Serpent, 0x5049)
	if _, err := l.Conn.Write(b); err != nil {
		t.Fatal(err)
	}
	l.Done(Resting)
}

// daemon starts one at the address.
func (r *rig) daemon(t *testing.T, address string, d *pyrotest.Daemon) *pyrotest.Daemon {
	t.Helper()
	return pyrotest.StartDaemon(t, r.network, address, d)
}

// run runs the cluster until the test ends, or the returned function is called.
func (r *rig) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(ended)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

// of gives the member at the address, for a look under the lock.
func (r *rig) of(t *testing.T, address string, look func(e *Endpoint)) {
	t.Helper()
	r.lock()
	defer r.unlock()
	for _, e := range r.members {
		if e.Address.Addr == address {
			look(e)
			return
		}
	}
	t.Fatalf("there is no %s", address)
}

// wantIdle checks how many connections are idle at the address, and that they
// are all that there are.
func (r *rig) wantIdle(t *testing.T, address string, want int) {
	t.Helper()
	r.of(t, address, func(e *Endpoint) {
		if len(e.idle) != want || e.conns != want {
			t.Errorf("%s has %d connections, of which %d are idle; want %d", address, e.conns, len(e.idle), want)
		}
	})
}

// consistent checks what must be true whenever nobody holds the lock.
func (r *rig) consistent(t *testing.T) {
	t.Helper()
	r.lock()
	defer r.unlock()
	conns := make(map[*Handshake]int)
	check := func(e *Endpoint) {
		if e.conns != e.busy()+len(e.idle) {
			t.Errorf("%s: %d connections, but %d active, %d resting, %d ghosts, %d idle",
				e.Address, e.conns, e.active, e.resting, e.ghosts, len(e.idle))
		}
		if most := r.cfg.MaxConnections; most > 0 && e.conns > most && !r.lowered {
			t.Errorf("%s: %d connections of at most %d", e.Address, e.conns, most)
		}
		if min(e.active, e.resting, e.ghosts, e.pinned, int(e.calls.Load())) < 0 || e.pinned > e.active {
			t.Errorf("%s: %d active, %d resting, %d ghosts, %d pinned, %d calls",
				e.Address, e.active, e.resting, e.ghosts, e.pinned, e.calls.Load())
		}
		if e.opening < 0 || e.opening > e.active || e.growing && e.opening == 0 {
			t.Errorf("%s: %d being opened of %d active, growing: %v", e.Address, e.opening, e.active, e.growing)
		}
		for i, conn := range e.idle {
			if conn.state != idle || conn.dead || conn.pings != 0 || i > 0 && conn.since.Before(e.idle[i-1].since) {
				t.Errorf("%s: idle connection %d of %d: %+v", e.Address, i, len(e.idle), conn)
			}
			conns[conn.handshake]++
		}
	}
	for _, e := range r.members {
		if e.gone {
			t.Errorf("%s is gone, and a member", e.Address)
		}
		check(e)
	}
	for e := range r.leaving {
		if !e.gone || e.conns == 0 {
			t.Errorf("%s leaves with %d connections, gone: %v", e.Address, e.conns, e.gone)
		}
		check(e)
	}
	for h, n := range conns {
		if h.conns < n {
			t.Errorf("a handshake counts %d connections, and %d are idle", h.conns, n)
		}
	}
	if len(r.released) > 0 || len(r.notes) > 0 {
		t.Errorf("%d released, %d notes", len(r.released), len(r.notes))
	}
}

// clusterGauges are those that are 0 when nothing is going on.
var clusterGauges = []string{
	"endpoint_connections", "endpoint_leases", "endpoint_ghosts", "endpoint_pinned", "queue_length",
}

// wantQuiet stops a cluster's idle connections and checks that nothing is left.
// It needs all leases ended.
func (r *rig) wantQuiet(t *testing.T) {
	t.Helper()
	r.consistent(t)
	r.closeIdle(time.Now().Add(time.Hour))
	synctest.Wait()
	for _, gauge := range clusterGauges {
		if found := r.samples(t, gauge, "cluster"); len(found) > 0 {
			t.Errorf("%s is %v in the end", gauge, found)
		}
	}
	if n := r.Status().Waiting; n > 0 {
		t.Errorf("%d still wait", n)
	}
}
