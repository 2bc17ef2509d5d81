package router_test

import (
	"syscall"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// script reads a fuzzer's bytes as a sequence of choices. At its end every
// choice is 0.
type script struct{ rest []byte }

func (s *script) next() int {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return int(b)
}

// The events of a script. Each takes one more byte.
const (
	opSay = iota
	opArrive
	opAnswer
	opArriveAnswer
	opReply
	opConnect
	opMove
	opMoveAnswer
	opWait
	opQuiet
	opEOF
	opEndpointEOF
	opReset
	opUnwritable
	opDrain
	opSpoil
	opLate
	opAbort
	opSlow
	opRead
	numOps
)

// play makes one event happen, where it can.
func (h *harness) play(op, arg int, d wire.Dialect) {
	client, leg := h.lines[router.Client], h.lines[h.leg]
	_, released := h.released[h.leg]
	live := h.leg != 0 && leg != nil && !released
	granted := live && !h.unsent // else its goroutine does not read
	switch op {
	case opSay:
		if !client.over {
			client.sent = append(client.sent, requests(d)[arg%len(requests(d))]...)
		}
	case opArrive:
		h.arriveSome(router.Client, arg)
	case opAnswer:
		if granted && !leg.over {
			leg.sent = append(leg.sent, responses(d)[arg%len(responses(d))]...)
		}
	case opArriveAnswer:
		if granted {
			h.arriveSome(h.leg, arg)
		}
	case opReply:
		if granted && !leg.over {
			leg.sent = append(leg.sent, leg.reply(arg, d)...)
		}
	case opConnect:
		if h.wanted == nil {
			return
		}
		for i := range 3 {
			h.w.dialer[endpoint(i+1).Addr] = nil
			if arg&(1<<i) != 0 {
				h.w.dialer[endpoint(i+1).Addr] = syscall.ECONNREFUSED
			}
		}
		h.connects()
	case opMove:
		if granted && client.body > 0 && !leg.failed && !h.unshipped && h.session.State() == router.Sending {
			h.moves(router.Client, int64(arg)+1)
		}
	case opMoveAnswer:
		if granted && leg.body > 0 && !client.failed {
			h.moves(h.leg, int64(arg)+1)
		}
	case opWait:
		h.waits(time.Duration(arg) * 100 * time.Millisecond)
	case opQuiet:
		if h.settling && !h.unshipped {
			h.settles()
		}
	case opEOF, opReset:
		// What was sent before has been shown, or is lost with the connection.
		if op == opEOF {
			h.arriveSome(router.Client, 255)
		}
		if client.paused || h.unshipped || client.over && op == opEOF || h.closed {
			return
		}
		if op == opEOF {
			h.hangsUp(router.Client)
		} else {
			h.resets(router.Client)
		}
	case opEndpointEOF:
		if !granted || leg.over {
			return
		}
		if arg%2 == 0 {
			h.resets(h.leg)
		} else {
			h.hangsUp(h.leg)
		}
	case opUnwritable:
		switch {
		case arg%2 == 0 && client.got.n > 0 && !client.failed:
			h.failsToWrite(router.Client)
		case arg%2 == 1 && granted && !leg.failed:
			h.failsToWrite(h.leg)
		}
	case opDrain:
		h.drains()
	case opSpoil:
		l := client
		if arg%2 == 1 && granted {
			l = leg
		}
		if rest := l.sent[l.arrived:]; len(rest) > 0 {
			rest[arg/2%len(rest)] ^= 1 << (arg % 8)
		}
	case opLate:
		h.grantsLate()
		p := router.Port(1 + arg%4)
		if p >= h.leg && live {
			return
		}
		h.session.Data(h.now, p, []byte("late"))
		h.session.EOF(h.now, p, 4)
		h.session.Reset(h.now, p, errReset)
		h.session.WriteFailed(h.now, p, errPipe)
		h.session.Moved(h.now, p, 4)
		h.perform()
	case opSlow:
		h.slow, h.deaf = h.slow || arg%2 == 0, h.deaf || arg%2 == 1
	case opRead:
		if arg%2 == 0 {
			h.reads()
		} else {
			h.ships()
		}
	case opAbort:
		if arg > 200 { // rarely: there is not much to see after it
			h.aborts()
		}
	}
}

// reply is what the next of a leg's messages deserves, nil where it has none.
func (l *line) reply(arg int, d wire.Dialect) []byte {
	m := messages{d}
	for l.replied < len(l.got.heads) {
		head := &l.got.heads[l.replied]
		l.replied++
		switch {
		case head.Type == wire.Connect:
			return m.ok()
		case head.Type == wire.Ping:
			return m.ping()
		case !isOneway(head):
			return [][]byte{m.result(), m.raised(), m.message(wire.Result, 3000).Bytes(), m.message(wire.Result, 0).Bytes()}[arg%4]
		}
	}
	return nil
}

// arriveSome lets some of what p's peer has sent arrive, all of it for the
// greatest arg.
func (h *harness) arriveSome(p router.Port, arg int) {
	if l := h.lines[p]; !l.over {
		if arg == 255 {
			arg = len(l.sent)
		}
		h.arrives(p, arg+1)
	}
}

// wind ends the session, which must not need more than its own deadlines and
// an end of each connection.
func (h *harness) wind(s *script) {
	h.ships()
	h.reads()
	switch client := h.lines[router.Client]; {
	case h.closed:
	case s.next()%3 == 1:
		h.aborts()
	case s.next()%2 == 1 && !client.paused:
		h.resets(router.Client)
	}
	for range 10 {
		switch h.session.State() {
		case router.Closed:
			h.grantsLate()
			return
		case router.Acquiring:
			p := h.wanted.Port
			h.wanted = nil
			h.session.Unreachable(h.now, p, syscall.ECONNREFUSED)
			h.perform()
		case router.Handshake, router.Greeting, router.Lingering:
			h.waits(h.session.Deadline() - h.now)
		default:
			h.hangsUp(h.leg)
		}
	}
	h.t.Fatalf("%s, and does not end", h.session.State())
}

// requests are what a client may say, in turn and out of it.
func requests(d wire.Dialect) [][]byte {
	m := messages{d}
	return [][]byte{
		m.connect(), m.invoke(), m.oneway(), m.ping(), m.big(),
		m.message(wire.Invoke, 700, wire.Oneway).Bytes(),
		m.message(wire.Invoke, 0).WithCorrelation(testID).Bytes(),
		m.message(wire.Invoke, int(testLimits.StoreAndForward)-d.HeadLen()).Bytes(),
		m.message(wire.Invoke, int(testLimits.StoreAndForward)-d.HeadLen()+1).Bytes(),
		m.overrun(wire.Invoke), m.overrun(wire.Connect), m.result(), messages{other(d)}.invoke(), messages{other(d)}.connect(),
		m.head(wire.Invoke, 200, 1000), m.head(wire.Invoke, 257, 0), m.head(wire.Invoke, 0, 4097), m.garbage(),
	}
}

// responses are what an endpoint may.
func responses(d wire.Dialect) [][]byte {
	m := messages{d}
	return [][]byte{
		m.ok(), m.result(), m.raised(), m.ping(), m.fail(), m.message(wire.Result, 3000).Bytes(),
		m.message(wire.Result, 0).Bytes(), messages{other(d)}.ok(), messages{other(d)}.result(),
		m.head(wire.Result, 4000, 0), m.head(wire.Result, 4000, 1000), m.head(wire.ConnectOK, 0, 500), m.garbage(),
	}
}
