package router_test

import (
	"flag"
	"math/rand/v2"
	"syscall"
	"testing"
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
	numOps
)

// FuzzSession plays scripts: a client and endpoints that say what they like,
// cut where they like, and everything else that can happen to a session. The
// harness checks it after every event; in the end it must close, and every
// lease and call be accounted for.
func FuzzSession(f *testing.F) {
	for _, seed := range sessionSeeds() {
		f.Add(seed)
	}
	w := newWorld(3)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) <= 4096 {
			playScript(t, w.again(), b)
		}
	})
}

func playScript(t *testing.T, w *world, b []byte) router.Reason {
	s := &script{b}
	d := dialects[s.next()%2]
	h := newHarness(t, w)
	for len(s.rest) > 0 && !h.closed {
		h.play(s.next()%numOps, s.next(), d)
	}
	h.wind(s)
	h.finish()
	return h.session.Summary().Reason
}

// TestScripts plays random scripts in which what usually happens is likely, so
// that they get further than a fuzzer's.
func TestScripts(t *testing.T) {
	likely := []byte{
		opSay, opSay, opSay, opArrive, opArrive, opArrive, opReply, opReply, opReply, opArriveAnswer, opArriveAnswer,
		opArriveAnswer, opConnect, opConnect, opMove, opMoveAnswer, opQuiet,
	}
	w := newWorld(3)
	ends := map[router.Reason]int{}
	for seed := range uint64(*scripts) {
		rng := rand.New(rand.NewPCG(seed, 0))
		b := append([]byte{byte(seed)}, opSay, 0, opArrive, 255, opConnect, 0, opReply, 0, opArriveAnswer, 255)
		if rng.IntN(4) == 0 {
			b = b[:1+2*rng.IntN(5)] // no ordinary handshake
		}
		trouble := rng.IntN(20) // how often in a hundred events
		for range 5 + rng.IntN(60) {
			op, arg := likely[rng.IntN(len(likely))], byte(rng.Uint32())
			switch {
			case rng.IntN(100) < trouble:
				op = byte(rng.IntN(numOps))
			case op == opSay:
				arg = byte(1 + rng.IntN(8))
			case rng.IntN(2) == 0:
				arg = 255
			}
			b = append(b, op, arg)
		}
		ends[playScript(t, w.again(), b)]++
		if t.Failed() {
			t.Fatalf("seed %d: %v", seed, b)
		}
	}
	t.Log(ends)
}

var scripts = flag.Int("scripts", 3000, "how many random scripts TestScripts plays")

// sessionSeeds are scripts of ordinary sessions, to begin with.
func sessionSeeds() (seeds [][]byte) {
	const all = 255
	handshake := []byte{opSay, 0, opArrive, all, opConnect, 0, opAnswer, 0, opArriveAnswer, all}
	for d := range byte(2) {
		for _, then := range [][]byte{
			{opSay, 1, opArrive, all, opAnswer, 1, opArriveAnswer, all},                              // a call
			{opSay, 2, opSay, 1, opArrive, 30, opArrive, all, opAnswer, 1, opArriveAnswer, 45},       // in pieces
			{opSay, 4, opArrive, 50, opMove, all, opMove, all, opMove, all, opMove, all, opMove, 99}, // a large one
			{opSay, 1, opArrive, all, opAnswer, 5, opArriveAnswer, 50, opMoveAnswer, all, opWait, 9}, // its reply
			{opSay, 1, opSay, 1, opSay, 1, opSay, 1, opSay, 1, opArrive, all, opAnswer, 1, opArriveAnswer, all},
			{opSay, 1, opSay, 17, opArrive, all, opAnswer, 1, opArriveAnswer, all}, // bad input behind it
			{opSay, 1, opArrive, all, opEOF, 0, opAnswer, 2, opArriveAnswer, all},
			{opSay, 1, opArrive, all, opUnwritable, 0, opAnswer, 2, opArriveAnswer, 20, opWait, 20},
			{opSay, 4, opArrive, 60, opUnwritable, 1, opAnswer, 2, opArriveAnswer, all, opEndpointEOF, 1},
			{opSay, 1, opArrive, 9, opWait, 200, opArrive, all, opEndpointEOF, 0},
			{opDrain, 0, opSay, 1, opArrive, all, opQuiet, 0, opAnswer, 1, opArriveAnswer, all, opQuiet, 0},
			{opAnswer, 12, opArriveAnswer, all, opWait, 30},
			{opSay, 3, opSpoil, 22, opArrive, all, opReset, 0},
		} {
			seeds = append(seeds, append(append([]byte{d}, handshake...), then...))
		}
		seeds = append(seeds,
			[]byte{d, opSay, 0, opSay, 1, opArrive, all, opConnect, 0, opEndpointEOF, 0, opConnect, 0, opAnswer, 7, opArriveAnswer, all, opLate, 1, opConnect, 0},
			[]byte{d, opSay, 0, opArrive, all, opDrain, 0, opLate, 2, opWait, 99},
			[]byte{d, opSay, 0, opArrive, all, opConnect, 0, opAnswer, 0, opArriveAnswer, 45, opUnwritable, 0, opWait, 20, opWait, 200},
			[]byte{d, opSay, 0, opArrive, 20, opWait, 250},
			[]byte{d, opSay, 0, opArrive, all, opConnect, 7},
		)
	}
	return seeds
}

// play makes one event happen, where it can.
func (h *harness) play(op, arg int, d wire.Dialect) {
	client, leg := h.lines[router.Client], h.lines[h.leg]
	_, released := h.released[h.leg]
	granted := h.leg != 0 && leg != nil && !released
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
		if granted && client.body > 0 && !leg.failed && h.session.State() == router.Sending {
			h.moves(router.Client, int64(arg)+1)
		}
	case opMoveAnswer:
		if granted && leg.body > 0 && !client.failed {
			h.moves(h.leg, int64(arg)+1)
		}
	case opWait:
		h.waits(time.Duration(arg) * 100 * time.Millisecond)
	case opQuiet:
		if h.settling {
			h.settles()
		}
	case opEOF, opReset:
		// What was sent before has been shown, or is lost with the connection.
		if op == opEOF {
			h.arriveSome(router.Client, 255)
		}
		if client.paused || client.over && op == opEOF || h.closed {
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
		if p >= h.leg && granted {
			return
		}
		h.session.Data(h.now, p, []byte("late"))
		h.session.EOF(h.now, p, 4)
		h.session.Reset(h.now, p, errReset)
		h.session.WriteFailed(h.now, p, errPipe)
		h.session.Moved(h.now, p, 4)
		h.perform()
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
