package router_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// The events of a script with deliveries. Each takes one more byte.
const (
	blAsk = iota
	blOneway
	blArrive
	blEnd
	blReply
	blSlow
	blRead
	blWait
	blQuiet
	blDrain
	blEOF
	blReset
	blUnwritable
	blDaemonGone
	blDown
	blAbort
	numBlobOps
)

var asks = []string{"one", "all", "quorum", "first", "", "nowait", "timed", "ping", "unheard", "nobody", "unknown"}

// play makes one event happen, where it can.
func (x *blobbing) play(op, arg int) {
	switch op {
	case blEnd:
		x.endSome(arg)
		return
	}
	if x.closed {
		return
	}
	switch op {
	case blAsk:
		if !x.over {
			x.ask(asks[arg%len(asks)], false)
		}
	case blOneway:
		if kind := asks[arg%len(asks)]; !x.over && kind != "ping" {
			x.ask(kind, true)
		}
	case blArrive:
		x.arrive(arg)
	case blReply:
		x.daemonReplies()
	case blSlow:
		x.slow = true
	case blRead:
		x.reads()
	case blWait:
		x.now += time.Duration(arg) * 100 * time.Millisecond
		x.session.Tick(x.now)
		x.ticked = true
		x.perform()
		x.ticked = false
	case blQuiet:
		if x.settle && x.arrived == 0 {
			x.settle = false
			x.session.Quiet(x.now)
			x.perform()
		}
	case blDrain:
		x.session.Drain(x.now)
		x.perform()
	case blEOF:
		x.arrive(255)
		if !x.paused && !x.over && !x.closed {
			x.over = true
			x.session.EOF(x.now, router.Client, x.arrived)
			x.perform()
		}
	case blReset:
		if !x.over {
			x.over = true
			x.session.Reset(x.now, router.Client, errReset)
			x.perform()
		}
	case blUnwritable:
		if x.unsent {
			x.unsent, x.slow, x.failed = false, false, true
			x.session.WriteFailed(x.now, router.Client, errPipe)
			x.perform()
		}
	case blDaemonGone:
		if x.lease == nil {
			return
		}
		waits := slices.ContainsFunc(x.deliveries, func(f *delivering) bool { return !f.decided && !f.asked.oneway && !f.detached })
		if arg%2 == 0 {
			x.session.Reset(x.now, x.port, errReset)
		} else {
			x.session.EOF(x.now, x.port, 0)
		}
		x.perform()
		if state := x.session.State(); waits && state != router.Waiting {
			x.Fatalf("%s, and the call that is being delivered has nothing to do with the daemon", state)
		}
	case blDown:
		x.session.EndpointDown(x.now)
		x.perform()
	case blAbort:
		if arg > 200 {
			x.session.Abort(x.now)
			x.perform()
		}
	}
}

// arrive lets some of what the client has sent arrive, all of it for the greatest arg.
func (x *blobbing) arrive(arg int) {
	if x.over {
		return
	}
	if arg == 255 {
		arg = len(x.sent)
	}
	x.arrived = min(x.arrived+arg+1, len(x.sent))
	x.show()
}

// reads: the client takes what it was told.
func (x *blobbing) reads() {
	x.slow = false
	if x.unsent {
		x.unsent = false
		x.session.Sent(x.now, router.Client)
		x.perform()
		x.show()
	}
}

// endSome ends a leg of those that run.
func (x *blobbing) endSome(arg int) bool {
	type place struct {
		f *delivering
		i int
	}
	var running []place
	for _, f := range x.deliveries {
		for i, r := range f.results {
			if r == "" {
				running = append(running, place{f, i})
			}
		}
	}
	if len(running) == 0 {
		return false
	}
	p := running[arg/4%len(running)]
	switch arg % 4 {
	case 0, 1:
		x.ends(p.f, p.i, router.LegResult{Outcome: metrics.Replied}, fmt.Sprint("good ", p.i))
	case 2:
		x.ends(p.f, p.i, router.LegResult{Outcome: metrics.Raised}, fmt.Sprint("raised ", p.i))
	case 3:
		x.ends(p.f, p.i, router.LegResult{Err: router.ErrLost, Outcome: metrics.BackendClosed}, router.ErrLost.Error())
	}
	return true
}

// settled lets everything happen that still can. Then the client has all its answers, if
// it is still there.
func (x *blobbing) settled() {
	for range 1000 {
		before := [...]int{len(x.sent), x.arrived, x.begun, x.heard, len(x.daemon)}
		x.reads()
		x.arrive(255)
		ended := x.endSome(0)
		x.daemonReplies()
		if !ended && before == [...]int{len(x.sent), x.arrived, x.begun, x.heard, len(x.daemon)} {
			break
		}
	}
	switch state := x.session.State(); state {
	case router.Lingering, router.Closed:
	case router.Idle:
		for i, q := range x.asked {
			if !x.over && !x.failed && i >= x.heard && !q.oneway {
				x.Fatalf("question %d about %q is never answered", q.seq, q.kind)
			}
		}
	default:
		if x.session.Deadline() == 0 { // else its client has gone, and it waits for the end of that
			x.Fatalf("%s, and nothing will change that", state)
		}
	}
}

// finish ends the session and looks at the accounts.
func (x *blobbing) finish(arg int) {
	x.Helper()
	switch {
	case x.closed:
	case arg%3 == 0 && !x.paused && !x.over:
		x.play(blEOF, 0)
	case arg%3 == 1:
		x.play(blReset, 0)
	default:
		x.play(blAbort, 255)
	}
	for range 5 {
		if !x.closed && x.session.Deadline() != 0 {
			x.now = max(x.now, x.session.Deadline())
			x.session.Tick(x.now)
			x.perform()
		}
	}
	if !x.closed {
		x.Fatalf("%s after the client's end", x.session.State())
	}
	for x.endSome(0) {
	}
	for _, f := range x.deliveries {
		open := !f.decided // its client was never told
		if open && !f.detached && !f.asked.oneway {
			x.Fatalf("question %d: the session has gone, and nobody was told so", f.asked.seq)
		}
	}
	x.session.Gone()
	now := x.w.snapshot(x)
	for metric, label := range map[string]string{"calls_in_flight": "route", "endpoint_connections": "endpoint", "endpoint_leases": "endpoint"} {
		if got := now.counts(x, metric, label); len(got) != 0 {
			x.Errorf("%s: %v", metric, got)
		}
	}
	sum := x.session.Summary()
	bytes := now.counts(x, "relayed_bytes_total", "direction")
	got := counted{request: bytes["request"], reply: bytes["reply"]}
	for _, n := range now.counts(x, "calls_total", "outcome") {
		got.calls += n
	}
	before := *x.w.counted
	*x.w.counted = got
	want := counted{before.calls + float64(sum.Calls), before.request + float64(sum.RequestBytes), before.reply + float64(sum.ReplyBytes)}
	if got != want {
		x.Errorf("metrics have %+v, want %+v", got, want)
	}
}

func playBlobs(tb testing.TB, w *world, b []byte) {
	s := &script{b}
	x := newBlobbing(tb, w, dialects[s.next()%2])
	for len(s.rest) > 1 {
		x.play(s.next()%numBlobOps, s.next())
	}
	if !x.closed {
		x.settled()
	}
	x.finish(s.next())
}

// TestBlobScripts plays random scripts in which what usually happens is likely: one client
// with calls of all kinds, to its daemon and to listeners, some on the way to the next.
func TestBlobScripts(t *testing.T) {
	w := newWorld(1)
	var seed uint64
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < uint64(*scripts)/2 && !t.Failed(); seed++ {
		playBlobs(t, w.again(), blobScript(seed))
	}
}

func blobScript(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 2))
	likely := slices.Concat(
		slices.Repeat([]byte{blAsk, blArrive, blEnd}, 4), slices.Repeat([]byte{blReply, blRead, blOneway}, 2), []byte{blWait, blSlow, blQuiet},
	)
	b, trouble := []byte{byte(seed)}, rng.IntN(15)
	for range 5 + rng.IntN(80) {
		op, arg := likely[rng.IntN(len(likely))], byte(rng.Uint32())
		switch {
		case rng.IntN(100) < trouble:
			op = byte(rng.IntN(numBlobOps))
		case op == blArrive && rng.IntN(2) == 0:
			arg = 255
		case op == blWait:
			arg %= 8
		}
		b = append(b, op, arg)
	}
	return append(b, byte(rng.Uint32()))
}

// FuzzBlobs plays the scripts of a fuzzer.
func FuzzBlobs(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(blobScript(seed))
	}
	w := newWorld(1)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) <= 2048 {
			playBlobs(t, w.again(), b)
		}
	})
}
