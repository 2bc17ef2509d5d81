package router_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// The events of a crowd's script. Each takes two more bytes: whose it is, and
// what.
const (
	crSay = iota
	crArrive
	crReply
	crArriveReply
	crConnect
	crLazy
	crCarryOut
	crMove
	crMoveReply
	crSlow
	crRead
	crDeaf
	crShip
	crWait
	crQuiet
	crEOF
	crReset
	crUnwritable
	crTear
	crUnwrite
	crEndpointEOF
	crDead
	crSpoil
	crLate
	crDrain
	crDown
	crAbort
	numCrowdOps
)

// play makes one event happen, where it can.
func (c *crowd) play(op, who, arg int) {
	h := c.clients[who%len(c.clients)]
	client := h.lines[router.Client]
	var l *line // of the pool
	if lines := c.lines(); len(lines) > 0 {
		l = lines[who%len(lines)]
	}
	switch op {
	case crConnect:
		c.connect(h, arg)
		return
	case crLate:
		h.grantsLate()
		return
	case crCarryOut:
		if len(h.todos) > 0 {
			h.carryOut(h.todos[arg%len(h.todos)].by)
			h.goesOn()
		}
		return
	case crReply, crArriveReply, crMoveReply, crEndpointEOF, crDead:
		if l != nil && !l.over {
			c.playLine(op, l, arg)
		}
		return
	}
	if h.closed {
		return
	}
	port, lease := h.session.Leg()
	kept := h.crowd.kept != nil && lease != nil && port == h.crowd.keptFor
	switch op {
	case crSay:
		c.say(h, arg)
	case crArrive:
		h.arriveSome(router.Client, arg)
	case crLazy:
		h.lazy = arg%2 == 0
	case crMove:
		if lease != nil && h.lines[port] != nil && client.body > 0 && !h.unshipped && !h.lines[port].failed &&
			h.session.State() == router.Sending {
			h.moves(router.Client, int64(arg)*4+1)
		}
	case crSlow:
		h.slow = true
	case crRead:
		h.reads()
	case crDeaf:
		h.deaf = true
	case crShip:
		h.ships()
	case crWait:
		wait := time.Duration(arg) * 100 * time.Millisecond
		if arg > 250 {
			wait = streamIdleTime
		}
		h.waits(wait)
	case crQuiet:
		if h.settling && !h.unshipped {
			h.settles()
		}
	case crEOF, crReset:
		if op == crEOF {
			h.arriveSome(router.Client, 255)
		}
		if client.paused && op == crEOF || h.unshipped || client.over || h.closed || client.again {
			return // a reset is found by looking, where nobody reads
		}
		if op == crEOF {
			h.hangsUp(router.Client)
		} else {
			h.resets(router.Client)
		}
	case crUnwritable:
		if client.got.n > 0 && !client.failed {
			h.failsToWrite(router.Client)
		}
	case crTear:
		if kept {
			h.failsToWrite(port)
		}
	case crUnwrite:
		if kept && h.crowd.keptFresh {
			h.unwrites()
		}
	case crSpoil:
		if rest := client.sent[client.arrived:]; len(rest) > 0 {
			rest[arg/2%len(rest)] ^= 1 << (arg % 8)
			c.spoiled = true
		}
	case crDrain:
		h.drains()
	case crDown:
		h.downs()
	case crAbort:
		if arg > 200 {
			h.aborts()
		}
	}
}

// playLine is play for what happens to a connection of the pool.
func (c *crowd) playLine(op int, l *line, arg int) {
	holder := l.pooled.holder
	switch op {
	case crReply:
		c.reply(l, arg)
	case crArriveReply:
		if arg == 255 {
			arg = len(l.sent)
		}
		l.arrived = min(l.arrived+arg+1, len(l.sent))
		l.shows()
	case crMoveReply:
		if holder != nil && holder.holds(l) && l.body > 0 && !holder.unsent && !holder.lines[router.Client].failed {
			holder.moves(l.pooled.port, int64(arg)*4+1)
		}
	case crEndpointEOF:
		if holder != nil && holder.unsent {
			return // its goroutine does not read
		}
		if arg%2 == 0 {
			l.ends(errReset)
		} else {
			l.ends(nil)
		}
	case crDead:
		l.failed = true // nobody has noticed yet
	}
}

// playCrowd plays a whole script.
func playCrowd(t *testing.T, w *world, b []byte) {
	s := &script{b}
	kind := s.next()
	c := newCrowd(t, w, dialects[kind%2], kind&2 != 0)
	for len(s.rest) > 8 {
		c.play(s.next()%numCrowdOps, s.next(), s.next())
	}
	c.settle()
	c.end(s)
}

// FuzzCrowd plays scripts in which some clients share connections, and each
// goroutine of their sessions does what it owes sooner or later. In the end each
// client must have what it asked for, unless it was told that it would not get it.
func FuzzCrowd(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(crowdScript(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) <= 4096 {
			playCrowd(t, newPool(2, crowdConfig), b)
		}
	})
}

// TestCrowds plays random scripts in which what usually happens is likely.
func TestCrowds(t *testing.T) {
	w := newPool(2, crowdConfig)
	var seed uint64
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < uint64(*scripts); seed++ {
		playCrowd(t, w.again(), crowdScript(seed))
	}
}

func crowdScript(seed uint64) []byte {
	likely := []byte{
		crSay, crSay, crSay, crArrive, crArrive, crArrive, crReply, crReply, crReply, crArriveReply, crArriveReply,
		crArriveReply, crConnect, crConnect, crMove, crMoveReply, crQuiet, crRead, crShip, crCarryOut, crLazy,
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	b := []byte{byte(seed)}
	for i := range byte(crowdSize) {
		b = append(b, crSay, i, 0, crArrive, i, 255, crConnect, i, 0)
	}
	trouble := rng.IntN(20)
	for range 5 + rng.IntN(150) {
		op, arg := likely[rng.IntN(len(likely))], byte(rng.Uint32())
		switch {
		case rng.IntN(100) < trouble:
			op = byte(rng.IntN(numCrowdOps))
		case op == crConnect:
			arg = 0
		case op != crSay && op != crReply && rng.IntN(2) == 0:
			arg = 255
		}
		b = append(b, op, byte(rng.Uint32()), arg)
	}
	return append(b, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()))
}
