package router_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// crowd is some clients in mode call with the same handshake, on few connections.
// Every request of theirs has a sequence number of its own, by which it is known
// wherever it turns up.
type crowd struct {
	t       testing.TB
	w       *world
	m       messages
	clients []*harness
	said    map[*harness][]wire.Head
	seq     uint16
	spoiled bool // bytes were changed on their way
}

const crowdSize = 3

// newCrowd makes one. Its clients have said nothing yet.
func newCrowd(t testing.TB, w *world, d wire.Dialect, idempotent bool) *crowd {
	c := &crowd{t: t, w: w, m: messages{d}, said: map[*harness][]wire.Head{}}
	w.route.Idempotent = idempotent
	for range crowdSize {
		c.clients = append(c.clients, newHarness(t, w))
	}
	return c
}

// crowdConfig has calls wait: harnesses do so in the place of the queue.
func crowdConfig(c *backend.Config) {
	c.MaxConnections, c.MaxPinned, c.RetryBudget = 2, 1, 100
	c.NestedReserve = 0
}

// lines are the connections of the pool, the oldest first.
func (c *crowd) lines() []*line {
	var all []*line
	for _, l := range c.w.lines {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *line) int { return a.pooled.number - b.pooled.number })
	return all
}

// say has a client send the arg-th kind of request.
func (c *crowd) say(h *harness, arg int) {
	l := h.lines[router.Client]
	if l.over {
		return
	}
	if len(l.sent) == 0 {
		l.sent = append(l.sent, c.m.connect()...)
		return
	}
	bound := int(testLimits.StoreAndForward) - c.m.d.HeadLen()
	kinds := []struct {
		t     wire.Type
		size  int
		flags []wire.Flag
		id    bool
	}{
		{t: wire.Invoke, size: 25}, {t: wire.Invoke, size: 10, flags: []wire.Flag{wire.Oneway}}, {t: wire.Ping, size: 4},
		{t: wire.Invoke, size: 1000}, {t: wire.Invoke, size: 700, flags: []wire.Flag{wire.Oneway}},
		{t: wire.Invoke, id: true}, {t: wire.Invoke, size: bound}, {t: wire.Invoke, size: bound + 1},
		{t: wire.Invoke, size: bound, flags: []wire.Flag{wire.Oneway}},
	}
	kind := kinds[arg%len(kinds)]
	msg := c.m.message(kind.t, kind.size, kind.flags...)
	if kind.id {
		msg = msg.WithCorrelation(testID)
	}
	c.seq++
	msg.Head.Seq = c.seq
	c.said[h] = append(c.said[h], msg.Head)
	l.sent = append(l.sent, msg.Bytes()...)
}

// reply has a daemon answer the next of a connection's messages that wants it.
func (c *crowd) reply(l *line, arg int) bool {
	for l.replied < len(l.got.heads) && !l.over {
		head := &l.got.heads[l.replied]
		l.replied++
		if isOneway(head) {
			continue
		}
		answer := c.m.message(wire.Result, []int{50, 0, 3000, 60, 20}[arg%5])
		switch {
		case head.Type == wire.Ping:
			answer = c.m.message(wire.Ping, 4)
		case arg%5 == 3:
			answer.Head.Flags |= c.m.d.Bit(wire.Exception)
		case arg%5 == 4:
			answer.Head.Flags |= c.m.d.Bit(wire.ItemStream)
		}
		answer.Head.Seq = head.Seq
		l.sent = append(l.sent, answer.Bytes()...)
		return true
	}
	return false
}

// connect has the cluster answer h's Acquire, or h wait on, where it is patient.
func (c *crowd) connect(h *harness, arg int) {
	if h.wanted == nil {
		return
	}
	for i := range c.w.endpoints {
		c.w.dialer[endpoint(i+1).Addr] = nil
		if arg&(4<<i) != 0 {
			c.w.dialer[endpoint(i+1).Addr] = syscall.ECONNREFUSED
		}
	}
	a := h.wanted
	l, err := c.w.cluster.Acquire(context.Background(), a.Attempt)
	switch {
	case errors.Is(err, backend.ErrQueueFull) && arg%2 == 0:
		return
	case err != nil:
		h.lacks(a.Port, err)
		return
	}
	h.wanted = nil
	h.grant(a.Port, l)
}

// settle lets everything happen that still can, with nobody in the way, and then
// looks whether every client has what it should.
func (c *crowd) settle() {
	c.t.Helper()
	for range 100 {
		before := c.progress()
		for _, h := range c.clients {
			h.lazy = false
			for len(h.todos) > 0 {
				h.carryOut(h.todos[0].by)
			}
			h.goesOn()
			h.ships()
			h.reads()
			if !h.closed {
				h.arriveSome(router.Client, 255)
			}
			c.connect(h, 0)
			h.grantsLate()
			if h.lines[router.Client].failed && !h.closed {
				h.waits(lingerTime)
			}
		}
		for _, l := range c.lines() {
			switch {
			case l.over:
			case l.failed:
				l.ends(errReset) // sooner or later its reader comes upon it
			case l.pooled.conn.Haunting():
				l.ends(nil) // the daemon is done with it
			}
			for c.reply(l, 0) {
			}
			if !l.over {
				l.arrived = len(l.sent)
				l.shows()
			}
		}
		if c.progress() == before {
			if !c.spoiled { // else nobody knows who asked what
				c.checkClients()
				c.checkRequests()
			}
			c.checkPool()
			return
		}
	}
	c.t.Fatal("goes on for ever")
}

// progress is some number that changes as long as anything does.
func (c *crowd) progress() (n int) {
	for _, h := range c.clients {
		client := h.lines[router.Client]
		n += client.consumed + client.arrived + len(client.got.bytes) + len(h.todos) + len(h.released)
		if h.wanted != nil {
			n++
		}
	}
	for _, l := range c.w.lines {
		n += l.consumed + len(l.got.bytes) + len(l.sent)
		if l.over {
			n++
		}
	}
	return n
}

// checkClients: what each client got are answers to what it said, in that order,
// and all of them if it is still there.
func (c *crowd) checkClients() {
	c.t.Helper()
	for i, h := range c.clients {
		client := h.lines[router.Client]
		var asked, got []uint16
		for _, head := range c.said[h] {
			if !isOneway(&head) {
				asked = append(asked, head.Seq)
			}
		}
		for _, head := range client.got.heads {
			if head.Type != wire.ConnectOK && head.Type != wire.ConnectFail {
				got = append(got, head.Seq)
			}
		}
		if len(got) > len(asked) || !slices.Equal(got, asked[:len(got)]) {
			c.t.Fatalf("client %d asked %v, was answered %v", i, asked, got)
		}
		switch state := h.session.State(); state {
		case router.Handshake, router.Lingering, router.Closed:
		case router.Idle:
			if !client.failed && (len(got) < len(asked) || client.got.left > 0) {
				c.t.Fatalf("client %d asked %v, was answered %v only", i, asked, got)
			}
			if client.consumed < len(client.sent) {
				c.t.Fatalf("client %d: %d of %d bytes were taken", i, client.consumed, len(client.sent))
			}
		default:
			c.t.Fatalf("client %d: %s, and nothing will change that", i, state)
		}
	}
}

// checkRequests: no request was written twice, except where it may have been.
func (c *crowd) checkRequests() {
	c.t.Helper()
	times := map[uint16]int{}
	for _, l := range c.w.lines {
		for _, head := range l.got.heads {
			if head.Seq != ownSeq {
				times[head.Seq]++
			}
		}
		if l.got.left > 0 {
			times[l.got.last.Seq]++
		}
	}
	twice, resent := 0, 0
	for seq, n := range times {
		if n > 1 && !c.w.route.Idempotent {
			c.t.Fatalf("request %d was written %d times", seq, n)
		}
		twice += n - 1
	}
	for _, h := range c.clients {
		resent += h.crowd.resent
	}
	if twice > resent {
		c.t.Fatalf("%d requests were written once more, %d on purpose", twice, resent)
	}
}

// checkPool: nothing is under way, so only clients with streams have connections.
func (c *crowd) checkPool() {
	c.t.Helper()
	held, leased, resting := 0, 0, 0
	for _, h := range c.clients {
		if _, lease := h.session.Leg(); lease != nil {
			held++
		}
	}
	for _, e := range c.w.cluster.Status().Endpoints {
		leased += e.InFlight
		resting += e.Resting
	}
	if leased != held || resting != 0 {
		c.t.Fatalf("%d connections are held, %d are leased, %d rest", held, leased, resting)
	}
}

// end ends every session.
func (c *crowd) end(s *script) {
	for _, h := range c.clients {
		client := h.lines[router.Client]
		switch ending := s.next() % 3; {
		case h.closed, ending == 0:
		case client.over:
			h.waits(lingerTime + time.Hour)
		case ending == 1:
			h.hangsUp(router.Client)
			if state := h.session.State(); state != router.Closed {
				c.t.Fatalf("%s after the client's end", state)
			}
		default:
			h.resets(router.Client)
		}
		h.end()
	}
	c.w.account(c.t)
}
