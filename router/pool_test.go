package router_test

import (
	"errors"
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// What is special about mode call: connections are shared by sessions, and read
// by a goroutine of their own.

// crowded is what a harness has besides.
type crowded struct {
	sentOn    int64  // bytes of requests that were forwarded
	kept      []byte // those that may not have been written, the daemon being deaf
	keptFor   router.Port
	keptFresh bool // with a request's first byte
	resent    int  // requests that were written once more
}

// shared is a pooled connection as package relay's reader has it.
type shared struct {
	w      *world
	conn   *backend.Conn
	holder *harness // nil: nobody
	port   router.Port
	began  int  // how much was written to it before the lease
	torn   bool // a part of a message was
	number int  // in the order in which they were opened
}

// line gives the line of a pooled connection.
func (w *world) line(c *backend.Conn) *line {
	l := w.lines[c]
	if l == nil {
		l = &line{pooled: &shared{w: w, conn: c, number: len(w.lines)}}
		w.lines[c] = l
	}
	return l
}

// bind makes the connection of the lease the one behind p.
func (h *harness) bind(p router.Port, lease *backend.Lease) {
	if h.lines[p] != nil {
		return
	}
	l := h.w.line(lease.Conn)
	h.lines[p], h.leases[p], h.leg = l, lease, p
	l.pooled.began = len(l.got.bytes)
	if !l.over {
		l.pooled.holder, l.pooled.port = h, p
	}
}

// unbind comes before the end of a lease.
func (h *harness) unbind(p router.Port, o backend.Outcome) {
	h.t.Helper()
	lease := h.leases[p]
	if !lease.Conn.Pooled() {
		return
	}
	l := h.w.line(lease.Conn)
	if l.pooled.holder == h {
		l.pooled.holder = nil
	}
	if h.lines[p] != nil {
		h.checkParting(l, lease, o)
	}
}

// settle ends a lease that the session is done with.
func (h *harness) settle() {
	h.t.Helper()
	lease, o := h.session.Freed()
	if lease == nil {
		return
	}
	for p, l := range h.leases {
		if l == lease {
			h.release(p, o)
			h.note("free %s as %s", name(p), outcomeNames[o])
			return
		}
	}
	h.t.Fatal("a lease is freed that nobody knows")
}

// shows shows what has arrived to the session that holds the connection.
func (l *line) shows() {
	for l.arrived > l.consumed && !l.over {
		l.pooled.w.carryOut(l)
		before := l.consumed
		switch h := l.pooled.holder; {
		case h == nil || !h.holds(l):
			l.unheld()
		case h.unsent:
			return // its goroutine waits for the client to read
		default:
			h.show(l.pooled.port)
		}
		if l.consumed == before {
			return
		}
	}
}

// holds: the session has not given up the connection, though we may not have been
// told yet.
func (h *harness) holds(l *line) bool {
	port, lease := h.session.Leg()
	return lease != nil && lease.Conn == l.pooled.conn && port == l.pooled.port
}

// unheld is package relay's reader.unheld.
func (l *line) unheld() {
	conn, b := l.pooled.conn, l.sent[l.consumed:l.arrived]
	h, err := wire.ParseHead(b)
	l.need = 0
	switch {
	case conn.Haunting():
		l.consumed = l.arrived
	case errors.Is(err, wire.ErrShort):
	case err != nil, h.Type != wire.Ping, h.Len() > router.MaxPong:
		l.ends(errReset)
	case int64(len(b)) < h.Len():
	default:
		l.consumed += int(h.Len())
		conn.Pong()
	}
}

// ends: the connection has ended, with an error or without.
func (l *line) ends(err error) {
	s := l.pooled
	s.w.carryOut(l)
	l.over = true
	s.conn.Ended() // before a session knows
	h := s.holder
	switch {
	case h == nil:
		return
	case err == nil:
		h.session.EOF(h.now, s.port, 0)
	default:
		h.session.Reset(h.now, s.port, err)
	}
	h.after(l)
}

// keep is write to a daemon that does not read.
func (h *harness) keep(p router.Port, b []byte) (begun int) {
	c := &h.crowd
	c.kept, c.keptFor, c.keptFresh = slices.Clone(b), p, h.lines[p].got.left == 0
	if c.keptFresh {
		begun = 1
	}
	h.note("to %s, perhaps", name(p))
	return begun
}

// writeKept: it reads.
func (h *harness) writeKept() {
	c := &h.crowd
	if port, lease := h.session.Leg(); lease == nil || port != c.keptFor {
		h.tears() // it was given up meanwhile
		return
	}
	b := c.kept
	c.kept = nil
	h.write(c.keptFor, b)
}

// tears: it has read a part.
func (h *harness) tears() {
	if c := &h.crowd; c.kept != nil {
		h.lines[c.keptFor].pooled.torn = true
		c.kept = nil
	}
}

// unwrites: it is gone, and has read nothing.
func (h *harness) unwrites() {
	c, client := &h.crowd, h.lines[router.Client]
	l, n := h.lines[c.keptFor], len(c.kept)
	l.failed, h.unshipped = true, false
	h.carryOut(client)
	if !h.session.Unwritten(c.keptFor) {
		h.session.WriteFailed(h.now, c.keptFor, errPipe)
		h.tears()
		h.after(client)
		return
	}
	if !c.keptFresh {
		h.t.Fatal("takes back the half of a request")
	}
	c.kept = nil
	c.sentOn -= int64(n)
	h.begun--
	client.consumed -= n
	client.paused, client.body = true, 0
	h.note("unwritten")
	h.after(client)
}

// sendsToPool writes a message of the session's own to a pooled connection. It
// reports false where the port is of another kind.
func (h *harness) sendsToPool(a router.Action) bool {
	if port, lease := h.session.Leg(); lease != nil && port == a.Port && lease.Conn.Pooled() {
		h.bind(port, lease)
	}
	l := h.lines[a.Port]
	switch {
	case l == nil:
		return true // gone
	case l.pooled == nil:
		return false
	case l.over || l.failed:
		l.over = true // by ourselves, so its reader says nothing
		l.pooled.conn.Ended()
		h.session.WriteFailed(h.now, a.Port, errPipe)
		h.nested()
		return true
	}
	h.write(a.Port, a.Bytes)
	if head, _ := wire.ParseHead(a.Bytes); head.Type != wire.Ping {
		h.crowd.resent++
	}
	return true
}

// unsendable counts the requests that the session has dealt with by itself.
func (h *harness) unsendable() (n int) {
	for _, f := range h.failed {
		switch f.Outcome {
		case metrics.NoEndpoint, metrics.QueueFull, metrics.QueueTimeout, metrics.HandshakeRefused, metrics.TooLarge,
			metrics.NoBudget, metrics.TooDeep:
			n++
		case metrics.TimedOut, metrics.Circular: // the last may be of a call that is sent again
			if f.Elapsed == 0 {
				n++
			}
		}
	}
	return n
}

// poolDies: every daemon closes the connections that nobody has.
func poolDies(h *harness) {
	for _, l := range h.w.lines {
		if l.pooled.holder == nil && !l.over {
			l.ends(nil)
		}
	}
}

// closePool ends all connections that no session has.
func (w *world) closePool() {
	for c, l := range w.lines {
		l.over = true
		c.Ended()
	}
	clear(w.lines)
}

// welcomes accepts every client.
func welcomes(_ string, connect pyrotest.Message) []byte {
	ok := messages{connect.Head.Dialect}.message(wire.ConnectOK, 30)
	ok.Head.Seq = connect.Head.Seq
	if id, found := connect.Correlation(); found {
		ok = ok.WithCorrelation(id)
	}
	return ok.Bytes()
}

// rejects refuses every client.
func rejects(_ string, connect pyrotest.Message) []byte {
	return messages{connect.Head.Dialect}.fail()
}

// noPins lets no client keep a connection.
func noPins(c *backend.Config) { c.MaxPinned = 0 }
