package router_test

import (
	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// granted: what a session has asked for is on its way.
func (h *harness) granted() bool {
	_, lease := h.session.Leg()
	return lease != nil || h.asks(router.Acquire) || h.asks(router.Resume) || h.resumed
}

// checkPooled is checkBytes and checkState for mode call.
func (h *harness) checkPooled(sum *router.Summary, state router.State) {
	h.t.Helper()
	client := h.lines[router.Client]
	n := len(client.got.bytes) - h.own
	for _, t := range h.todos {
		for _, a := range t.actions {
			if a.Op == router.Send && a.Port == router.Client && h.countsAsReply(a.Bytes) {
				n += len(a.Bytes)
			}
		}
	}
	if int64(n) != sum.ReplyBytes {
		h.t.Fatalf("%d bytes of replies, counted %d", n, sum.ReplyBytes)
	}
	port, lease := h.session.Leg()
	c := &h.crowd
	requests := c.sentOn
	if c.kept != nil && c.keptFresh && lease != nil && port == c.keptFor {
		requests -= int64(len(c.kept)) // not known to be written
	}
	if requests != sum.RequestBytes {
		h.t.Fatalf("%d bytes of requests, counted %d", requests, sum.RequestBytes)
	}
	if int(sum.Calls) != h.begun+h.unsendable() {
		h.t.Fatalf("%d requests begun and %d not sent, counted %d", h.begun, h.unsendable(), sum.Calls)
	}
	if h.w.timed() || state != router.Idle || len(h.todos) > 0 || h.resumed || h.behind || h.unshipped || client.again {
		return
	}
	if lease == nil && !client.failed {
		late := client.need > 0 && !client.over
		if timed := h.session.Deadline() != 0; timed != late {
			h.t.Fatalf("deadline: %v, a request is to come: %v", timed, late)
		}
	}
	ready, bad := sendable(client.sent[client.consumed:client.arrived], h.session.Dialect(), &h.w.env.Limits)
	if ready > 0 || bad {
		h.t.Fatalf("idle, with %d bytes to be sent on; bad: %v", ready, bad)
	}
}

// checkParting looks at a pooled connection whose lease ends.
func (h *harness) checkParting(l *line, lease *backend.Lease, o backend.Outcome) {
	h.t.Helper()
	if l.over {
		return // whatever it was, nobody gets it
	}
	owed := 0
	for i := range l.got.heads {
		if !isOneway(&l.got.heads[i]) {
			owed++
		}
	}
	whole, left := replies(l.sent[:l.consumed])
	owed -= whole
	clean := l.got.left == 0 && left == 0 && !l.pooled.torn
	wrote := len(l.got.bytes) > l.pooled.began
	last := func() wire.Head { return l.got.heads[len(l.got.heads)-1] }
	good := true
	switch o {
	case backend.Served:
		good = clean && owed == 0 && wrote
	case backend.Spent:
		good = clean && wrote
	case backend.Cancelled:
		good = clean && !wrote
	case backend.Resting:
		good = clean && owed >= 0 && last().Type == wire.Ping && isOneway(&l.got.heads[len(l.got.heads)-2])
	case backend.Doubtful:
		good = clean && owed >= 0 && last().Type == wire.Ping
	case backend.Abandoned:
		good = l.got.left == 0 && !l.pooled.torn && wrote
	case backend.Torn:
		good = l.got.left > 0 || l.pooled.torn || l.failed || h.crowd.kept != nil
	}
	if !good {
		h.t.Fatalf("given back as %s: owes %d, left to write %d and to read %d, torn: %v, used: %v",
			outcomeNames[o], owed, l.got.left, left, l.pooled.torn, wrote)
	}
}
