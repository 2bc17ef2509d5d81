package router_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/router"
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
