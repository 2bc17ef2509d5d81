package pyrotest

import (
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Script is what a daemon does on a message: it may reply through c, close c,
// or wait. Afterwards the daemon reads c's next message, unless c is closed.
// Scripts of different connections run at the same time.
type Script func(c *DaemonConn, m Message)

// Daemon is a Pyro daemon for tests. Its zero value accepts every CONNECT,
// echoes the payload of every INVOKE and answers PINGs; like a real one it
// serves each connection in its own goroutine, one message at a time, refuses
// bad bytes before the handshake with a CONNECTFAIL and afterwards closes.
// Set the fields before Start.
type Daemon struct {
	// Dialect is the only one it speaks; 0 means each client's own.
	Dialect wire.Dialect
	// OnAccept, if set, comes before anything is read.
	OnAccept func(c *DaemonConn)
	// The scripts; nil means AcceptConnect, Echo and Pong.
	OnConnect, OnInvoke, OnPing Script
	// Ledger counts the INVOKEs that came whole, before OnInvoke. Start makes
	// one where it is nil.
	Ledger *Ledger
	// Record makes connections remember the bytes they read and write.
	Record bool
	// Discard keeps no payloads: Message.Data is nil, so that Echo is empty and
	// the Ledger knows calls by their correlation ids. CONNECTs are kept.
	Discard bool
	// Key signs what Reply says in V48. With it, the daemon hangs up on whoever does not
	// sign, or otherwise, as Pyro4's do, unless it is Trusting.
	Key      wire.Key
	Trusting bool

	mu        sync.Mutex
	listeners []net.Listener
	conns     []*DaemonConn
	closing   chan struct{}
	running   sync.WaitGroup
}

// Start serves the listener until Close. A daemon may have several.
func (d *Daemon) Start(l net.Listener) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing == nil {
		d.closing = make(chan struct{})
	}
	if d.Ledger == nil {
		d.Ledger = &Ledger{}
	}
	d.listeners = append(d.listeners, l)
	d.running.Go(func() { d.accept(l) })
}

// StartDaemon listens on the network's address and starts d there until the
// test ends. It returns d.
func StartDaemon(tb testing.TB, n *Network, address string, d *Daemon) *Daemon {
	tb.Helper()
	l, err := n.Listen(address)
	if err != nil {
		tb.Fatal(err)
	}
	d.Start(l)
	tb.Cleanup(d.Close)
	return d
}

// Close closes the listeners and all connections, and waits for their
// goroutines: a script that waits must heed DaemonConn.Closing.
func (d *Daemon) Close() {
	d.mu.Lock()
	if d.closing != nil {
		select {
		case <-d.closing:
		default:
			close(d.closing)
		}
	}
	for _, l := range d.listeners {
		_ = l.Close()
	}
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.running.Wait()
}

// Conns are all connections ever accepted, in that order.
func (d *Daemon) Conns() []*DaemonConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.conns)
}

// Open is how many connections have not ended.
func (d *Daemon) Open() int {
	open := 0
	for _, c := range d.Conns() {
		select {
		case <-c.ended:
		default:
			open++
		}
	}
	return open
}

func (d *Daemon) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		c := &DaemonConn{
			RecordedConn: &RecordedConn{Conn: conn, record: d.Record},
			daemon:       d,
			ended:        make(chan struct{}),
		}
		d.mu.Lock()
		select {
		case <-d.closing:
			_ = conn.Close()
		default:
			d.conns = append(d.conns, c)
			d.running.Go(c.serve)
		}
		d.mu.Unlock()
	}
}

// DaemonConn is a daemon's connection to one client.
type DaemonConn struct {
	*RecordedConn
	// Connect is the CONNECT: for scripts, and for others after Ended.
	Connect Message

	daemon *Daemon
	ended  chan struct{}
	err    error // why reading ended; read it after ended
}

// serve lasts as long as the connection.
func (c *DaemonConn) serve() {
	defer close(c.ended)
	defer func() { _ = c.Close() }()
	d := c.daemon
	if d.OnAccept != nil {
		d.OnAccept(c)
	}
	if c.Connect, c.err = readMessage(c, false); c.err != nil || !d.speaks(c.Connect, wire.Connect) {
		c.refuse()
		return
	}
	if c.Connect.Head.Serializer() == wire.UnknownSerializer {
		return // as Pyro5
	}
	orElse(d.OnConnect, AcceptConnect)(c, c.Connect)
	for {
		var m Message
		if m, c.err = readMessage(c, d.Discard); c.err != nil {
			return
		}
		switch {
		case d.speaks(m, wire.Invoke):
			d.Ledger.Add(CallID(m))
			orElse(d.OnInvoke, Echo)(c, m)
		case d.speaks(m, wire.Ping):
			orElse(d.OnPing, Pong)(c, m)
		default:
			return
		}
	}
}

func (d *Daemon) speaks(m Message, t wire.Type) bool {
	return m.Head.Type == t && (d.Dialect == 0 || d.Dialect == m.Head.Dialect) &&
		(len(d.Key) == 0 || d.Trusting || m.Head.Dialect != wire.V48 || m.SignedWith(d.Key))
}

func orElse(s, other Script) Script {
	if s != nil {
		return s
	}
	return other
}

// refuse answers what is not a CONNECT of ours, as real daemons do: nothing to
// a client that has gone, in the daemon's own dialect to bad bytes.
func (c *DaemonConn) refuse() {
	if bad := (*wire.HeadError)(nil); c.err != nil && !errors.As(c.err, &bad) {
		return
	}
	dialect := c.daemon.Dialect
	if dialect == 0 {
		dialect = wire.V502
	}
	_, _ = c.Write(wire.AppendConnectFail(nil, wire.Refusal{Dialect: dialect, Text: "invalid message"}))
}

// Reply answers the request: its dialect, serializer, seq and correlation id,
// with the type, flags and data given. A oneway call gets nothing. Errors are
// those of Write, and mostly for no one to care about.
func (c *DaemonConn) Reply(to Message, t wire.Type, flags uint16, data []byte) error {
	if isOneway(to) {
		return nil
	}
	m := replyTo(to, t, flags)
	m.Data = data
	return c.Send(m.Signed(c.daemon.Key))
}

func isOneway(m Message) bool { return m.Head.Type == wire.Invoke && m.Head.Has(wire.Oneway) }

// replyTo is a reply without its data.
func replyTo(to Message, t wire.Type, flags uint16) Message {
	m := Message{Head: wire.Head{
		Dialect: to.Head.Dialect, Type: t, SerializerID: to.Head.SerializerID, Seq: to.Head.Seq, Flags: flags,
	}}
	if id, ok := to.Correlation(); ok {
		m = m.WithCorrelation(id)
	}
	return m
}

// Pause waits, and returns false where the daemon is closed meanwhile.
func (c *DaemonConn) Pause(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.Closing():
		return false
	}
}

// Closing is closed when the daemon is.
func (c *DaemonConn) Closing() <-chan struct{} { return c.daemon.closing }

// Ended is closed once nothing will be read or written any more.
func (c *DaemonConn) Ended() <-chan struct{} { return c.ended }

// Err is why reading ended: io.EOF where the client closed between messages,
// net.ErrClosed where a script, the test or Daemon.Close closed, nil where a
// message came that was out of turn, or an error of ReadMessage or Read. It
// waits for Ended.
func (c *DaemonConn) Err() error {
	<-c.ended
	return c.err
}
