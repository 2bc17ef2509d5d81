package router_test

import (
	"context"
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// todo is what an event has brought about, and who carries it out: whoever
// delivered the event, before it does anything else. Others may be quicker.
type todo struct {
	by      any // a line for its reader, or one of the goroutines below
	actions []router.Action
}

// goroutine is one that reads no connection.
type goroutine string

const (
	wheel   goroutine = "wheel"
	control goroutine = "control"
	dialing goroutine = "dialing"
)

// after comes behind every event that by has delivered.
func (h *harness) after(by any) {
	h.t.Helper()
	h.settle()
	if actions := h.session.Actions(); len(actions) > 0 {
		h.todos = append(h.todos, todo{by, actions})
		h.late = h.late || h.lazy
	}
	if !h.lazy {
		h.carryOut(by)
	}
	h.check()
	h.goesOn()
}

// perform is after for events that a test delivers by itself.
func (h *harness) perform() { h.after(control) }

// carryOut has by do what it owes to this session.
func (h *harness) carryOut(by any) {
	h.t.Helper()
	for {
		i := slices.IndexFunc(h.todos, func(t todo) bool { return t.by == by })
		if i < 0 {
			return
		}
		actions := h.todos[i].actions
		h.todos = slices.Delete(h.todos, i, i+1)
		for _, a := range actions {
			h.do(a)
		}
	}
}

// carryOut has by do what it owes to any session.
func (w *world) carryOut(by any) {
	for _, h := range w.all {
		h.carryOut(by)
		h.goesOn()
	}
}

// asks reports whether an action is still to be carried out.
func (h *harness) asks(op router.Op) bool {
	return slices.ContainsFunc(h.todos, func(t todo) bool {
		return slices.ContainsFunc(t.actions, func(a router.Action) bool { return a.Op == op })
	})
}

// goesOn shows the client's bytes again where that was asked for, and its
// goroutine has nothing else to do.
func (h *harness) goesOn() {
	client := h.lines[router.Client]
	owes := slices.ContainsFunc(h.todos, func(t todo) bool { return t.by == client })
	if !h.resumed || owes || h.unshipped {
		return
	}
	h.resumed = false
	if !client.paused {
		h.t.Fatal("Resume without a pause")
	}
	client.paused = false
	if client.arrived > client.consumed && !h.closed {
		h.show(router.Client)
	}
}

func (h *harness) do(a router.Action) {
	h.t.Helper()
	if h.closed && a.Op != router.Release {
		if !h.late {
			h.t.Fatalf("operation %d after Close", a.Op)
		}
		switch {
		case a.Op == router.Send && a.Port != router.Client:
			h.send(a)
		case a.Op == router.Send && h.countsAsReply(a.Bytes):
			h.own -= len(a.Bytes) // counted, and in vain
		}
		return
	}
	switch a.Op {
	case router.Acquire:
		if h.wanted != nil || a.Port <= h.leg || a.Attempt == nil {
			h.t.Fatalf("acquires %+v after port %d", a, h.leg)
		}
		if h.cancelled != nil && h.cancelled.Attempt == a.Attempt {
			h.t.Fatalf("acquires %s with the attempt of a search that may be under way", name(a.Port))
		}
		h.leg, h.wanted = a.Port, &a
		h.note("acquire %s", name(a.Port))
	case router.Cancel:
		switch {
		case h.wanted != nil && h.wanted.Port == a.Port:
			h.wanted, h.cancelled = nil, h.wanted
		case !h.late:
			h.t.Fatalf("cancels %s, which is not being acquired", name(a.Port))
		}
		h.note("cancel %s", name(a.Port))
	case router.Send:
		h.send(a)
	case router.Resume:
		h.resumed = true
		h.note("resume")
	case router.Settle:
		h.settling = true
		h.note("settle")
	case router.CloseWrite:
		h.note("end %s", name(a.Port))
	case router.Release:
		if h.leases[a.Port] != a.Lease {
			h.t.Fatalf("releases another lease than that of %s", name(a.Port))
		}
		h.release(a.Port, a.Outcome)
		h.note("release %s as %s", name(a.Port), outcomeNames[a.Outcome])
	case router.Close:
		h.closed = true
		h.note("close")
	}
}

// send writes a message of the session's own.
func (h *harness) send(a router.Action) {
	h.t.Helper()
	if a.Port != router.Client && h.sendsToPool(a) {
		return
	}
	h.write(a.Port, a.Bytes)
	if a.Port != router.Client {
		return
	}
	if !h.countsAsReply(a.Bytes) {
		h.own += len(a.Bytes)
	}
	if h.slow {
		h.unsent = h.w.lines != nil // otherwise it is the session's last word
		return
	}
	h.session.Sent(h.now, router.Client)
	h.nested()
}

// countsAsReply: the session sends the client what a daemon has said.
func (h *harness) countsAsReply(b []byte) bool {
	head, _ := wire.ParseHead(b)
	return head.Type == wire.ConnectOK || h.session.Summary().Reason == router.ReasonRefused
}

// nested carries out what an event has brought about that came of an action.
func (h *harness) nested() {
	h.settle()
	for _, a := range h.session.Actions() {
		h.do(a)
	}
}

func (h *harness) release(p router.Port, o backend.Outcome) {
	h.t.Helper()
	l := h.leases[p]
	h.unbind(p, o)
	l.Done(o) // panics where it was done before
	h.released[p] = o
}

var outcomeNames = map[backend.Outcome]string{
	backend.Served: "served", backend.Cancelled: "cancelled", backend.Refused: "refused",
	backend.Saturated: "saturated", backend.OtherDialect: "other dialect", backend.Unanswered: "unanswered",
	backend.Broken: "broken", backend.Garbled: "garbled", backend.Resting: "resting", backend.Doubtful: "doubtful", backend.Spent: "spent",
	backend.Torn: "torn", backend.Abandoned: "abandoned", backend.TimedOut: "timed out",
}

// connects: the cluster answers the Acquire, with a lease if it has any.
func (h *harness) connects() {
	a := h.wanted
	h.wanted = nil
	l, err := h.w.cluster.Acquire(context.Background(), a.Attempt)
	if err != nil {
		h.lacks(a.Port, err)
		return
	}
	h.grant(a.Port, l)
}

// lacks: there is no endpoint for port p.
func (h *harness) lacks(p router.Port, err error) {
	h.wanted = nil
	h.carryOut(dialing)
	h.session.Unreachable(h.now, p, err)
	h.after(dialing)
}

// grantsLate brings the lease of an Acquire that was cancelled.
func (h *harness) grantsLate() {
	a := h.cancelled
	if a == nil {
		return
	}
	h.cancelled = nil
	if l, err := h.w.cluster.Acquire(context.Background(), a.Attempt); err == nil {
		h.grant(a.Port, l)
	}
}

func (h *harness) grant(p router.Port, l *backend.Lease) {
	h.leases[p] = l
	if !l.Conn.Pooled() {
		h.lines[p] = &line{}
	}
	h.carryOut(dialing)
	h.session.Granted(h.now, p, l, answerTime)
	h.after(dialing)
}
