package router_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Requests that are read into a file before they are delivered.

// newSpilling is newDispatch with files for requests of more than 1000 bytes, up to 8000.
func newSpilling(t *testing.T, d wire.Dialect) *dispatch {
	x := newDispatch(t, d, []backend.Member{at(1, "a")}, func(*router.Route) {})
	x.env.Limits.StoreAndForward, x.env.Limits.Spill, x.env.Limits.Spilled = 300, 1000, 8000
	x.env.Limits.Message = 10_000
	return x
}

// sized is a call with a blob and n bytes of data, and what its header and annotations are
// long.
func (x *dispatch) sized(n int, flags ...wire.Flag) (b []byte, cut int) {
	m := x.blob(about("topic"))
	m.Data = make([]byte, n)
	for _, f := range flags {
		m.Head.Flags |= x.d.Bit(f)
	}
	b = m.Bytes()
	return b, len(b) - n
}

// TestSpillTaken: what the driver is asked to do with requests of several sizes.
func TestSpillTaken(t *testing.T) {
	for _, d := range dialects {
		for _, tt := range []struct {
			data        int
			spill, need bool
		}{
			{100, false, true}, // it is stored and forwarded
			{500, true, true},  // if there is no memory
			{1000, true, false},
			{3000, true, false}, // more than may be in memory
			{7800, true, false},
			{8000, false, false}, // too large
		} {
			t.Run(fmt.Sprint(d, tt.data), func(t *testing.T) {
				x := newSpilling(t, d)
				b, cut := x.sized(tt.data)
				taken := x.session.Data(start, router.Client, b[:cut+1])
				if (taken.Spill > 0) != tt.spill || (taken.Need > 0) != tt.need || taken.Delivery != nil {
					t.Fatalf("taken %+v", taken)
				}
				if tt.spill && (taken.Spill != int64(len(b)) || taken.Cut != cut || taken.Consumed != 0) {
					t.Errorf("taken %+v of %d bytes, %d of them before the data", taken, len(b), cut)
				}
				if m := x.told(); tt.data == 8000 != strings.Contains(string(m.Data), "of 8000 that can be dispatched") {
					t.Errorf("told %q", m.Data)
				}
			})
		}
	}
}

// TestSpillScripts plays what can happen to a request on its way to a file, in random order.
// Afterwards the session is as if the request had come in one piece, has been failed, or has
// ended.
func TestSpillScripts(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		x := newSpilling(t, dialects[seed%2])
		var flags []wire.Flag
		if rng.IntN(4) == 0 {
			flags = append(flags, wire.Oneway)
		}
		b, cut := x.sized(1000+rng.IntN(6000), flags...)
		now, here := start, cut+rng.IntN(len(b)-cut)
		if taken := x.session.Data(now, router.Client, b[:here]); taken.Spill != int64(len(b)) {
			t.Fatalf("%d: taken %+v", seed, taken)
		}
		if !x.session.Spill(now, b[:here]) {
			t.Fatalf("%d: not wanted", seed)
		}
		left, trouble := len(b)-here, rng.IntN(10)
		ended := func() bool { s := x.session.State(); return s == router.Lingering || s == router.Closed }
		failed := false
		for left > 0 && !failed && !ended() {
			if s := x.session.State(); s != router.Sending {
				t.Fatalf("%d: %s", seed, s)
			}
			switch op := rng.IntN(100); {
			case op >= trouble:
				x.session.Reading(now)
				if x.session.Deadline() == 0 {
					t.Fatalf("%d: waits for ever", seed)
				}
				n := 1 + rng.IntN(left)
				if !x.session.SpillRead(now, int64(n)) {
					t.Fatalf("%d: not wanted any more", seed)
				}
				if x.session.Deadline() != 0 {
					t.Fatalf("%d: the disk is given no time", seed)
				}
				left -= n
			case op == 0:
				x.session.EOF(now, router.Client, 0)
			case op == 1:
				x.session.Reset(now, router.Client, errReset)
			case op == 2:
				x.session.Reading(now)
				now = x.session.Deadline()
				x.session.Tick(now)
			case op == 3:
				x.session.Abort(now)
			case op == 4:
				x.session.Drain(now)
				x.session.Quiet(now)
				if ended() {
					t.Fatalf("%d: a drain does not wait", seed)
				}
			default:
				x.session.SpillFailed(now, fmt.Errorf("%w: full", router.ErrSpill))
				failed = true
			}
		}
		switch {
		case ended():
			if x.session.SpillRead(now, 1) || x.session.Spilled(now, b[:cut]) != nil {
				t.Fatalf("%d: goes on after the end", seed)
			}
			x.session.SpillFailed(now, router.ErrSpill)
		case failed:
			m := x.told()
			if oneway := len(flags) > 0; oneway == bytes.Contains(m.Data, []byte("kept on disk: full")) {
				t.Fatalf("%d: told %q", seed, m.Data)
			}
			if left > 0 { // the rest is passed over
				if taken := x.session.Data(now, router.Client, b[len(b)-left:]); taken.Consumed != left || taken.Forward != 0 {
					t.Fatalf("%d: taken %+v", seed, taken)
				}
			}
			if s := x.session.State(); s != router.Idle {
				t.Fatalf("%d: %s", seed, s)
			}
		default:
			rd := x.session.Spilled(now, b[:cut])
			if rd == nil || rd.Oneway() != (len(flags) > 0) {
				t.Fatalf("%d: delivers %v", seed, rd)
			}
			if n := x.session.Summary().RequestBytes; n != int64(len(b)) {
				t.Fatalf("%d: counted %d bytes of %d", seed, n, len(b))
			}
			x.session.Handed(now, rd)
			if rd.Legs[0].End(now, router.LegResult{Err: errors.New("x"), Outcome: metrics.NoEndpoint}) {
				x.session.Delivered(now, rd)
				if m := x.told(); !m.Head.Has(wire.Exception) {
					t.Fatalf("%d: told %q", seed, m.Data)
				}
			}
			if s := x.session.State(); s != router.Idle {
				t.Fatalf("%d: %s", seed, s)
			}
		}
		x.session.Abort(now)
		x.session.Gone()
	}
}

// TestSpillTime: a client has its time for each part of the request that is as long as the
// threshold.
func TestSpillTime(t *testing.T) {
	x := newSpilling(t, wire.V502)
	b, cut := x.sized(5000)
	x.session.Data(start, router.Client, b[:cut])
	x.session.Spill(start, b[:cut])
	now := start
	for range 4 {
		x.session.Reading(now)
		if got := x.session.Deadline(); got != now+x.env.RequestTime {
			t.Fatalf("due %v after the beginning", got-now)
		}
		now += x.env.RequestTime - time.Millisecond
		x.session.SpillRead(now, 1000)
	}
	x.session.Reading(now)
	now += x.env.RequestTime - time.Millisecond
	x.session.SpillRead(now, 999)
	x.session.Reading(now)
	if got := x.session.Deadline(); got != now+time.Millisecond {
		t.Errorf("due %v after", got-now)
	}
}

// TestSpillUnwanted: a session that has ended meanwhile has no file made.
func TestSpillUnwanted(t *testing.T) {
	for _, end := range []func(s *router.Session){
		func(s *router.Session) { s.Abort(start) },
		func(s *router.Session) { s.EOF(start, router.Client, 100) },
		func(s *router.Session) { s.Drain(start); s.Quiet(start) },
	} {
		x := newSpilling(t, wire.V48)
		b, cut := x.sized(5000)
		x.session.Data(start, router.Client, b[:cut])
		end(x.session)
		if x.session.Spill(start, b[:cut]) {
			t.Errorf("wanted while %s", x.session.State())
		}
		x.session.Gone()
	}
}
