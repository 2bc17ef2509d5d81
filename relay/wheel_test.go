package relay

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// newTestWheel makes a wheel whose clock the test sets.
func newTestWheel() (w *wheel, clock *time.Duration) {
	clock = new(time.Duration)
	*clock = time.Second
	return newWheel(func() time.Duration { return *clock }), clock
}

// due sweeps, and gives the timers whose own deadlines have passed; the others
// are put back, as fire does.
func due(w *wheel, now time.Duration) (fired []*timer) {
	for _, t := range w.sweep() {
		at := t.due
		t.due, t.queued = 0, 0
		switch {
		case at > now:
			w.set(t, at)
		case at != 0:
			fired = append(fired, t)
		}
	}
	return fired
}

// checkWheel: nobody is early, nobody is later than a tick behind the first
// sweep after its deadline, and each timer is where it says it is.
func checkWheel(t *testing.T, w *wheel, all []*timer) {
	t.Helper()
	queued := 0
	for slot, list := range w.slots {
		queued += len(list)
		for i, q := range list {
			if q.slot != slot || q.index != i || q.at == 0 || int(q.at%wheelSlots) != slot {
				t.Fatalf("a timer in slot %d, index %d says %d, %d, tick %d", slot, i, q.slot, q.index, q.at)
			}
			if !slices.Contains(all, q) {
				t.Fatal("an unknown timer is queued")
			}
		}
	}
	for _, q := range all {
		if q.at != 0 {
			queued--
		}
		if q.due != 0 && (q.at == 0 || q.queued == 0 || q.at > int64(q.due/wheelTick)+1 && q.at > w.swept+1) {
			t.Fatalf("a timer due at %v is queued for tick %d", q.due, q.at)
		}
	}
	if queued != 0 {
		t.Fatalf("%d timers too many are queued", queued)
	}
}

func TestWheel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w, now := newTestWheel()
	all := make([]*timer, 200)
	for i := range all {
		all[i] = &timer{}
	}
	want := make(map[*timer]time.Duration)
	spans := []time.Duration{0, time.Millisecond, wheelTick, time.Second, wheelSlots * wheelTick, 3*wheelSlots*wheelTick + 1, time.Hour}
	for range 20_000 {
		q := all[rng.IntN(len(all))]
		switch rng.IntN(8) {
		case 0, 1, 2: // set, or moved either way
			at := *now + 1 + time.Duration(rng.Int64N(int64(spans[rng.IntN(len(spans))])+1))
			w.set(q, at)
			want[q] = at
		case 3: // no deadline any more
			w.set(q, 0)
			delete(want, q)
		case 4:
			w.drop(q) // for good
			delete(want, q)
			all[slices.Index(all, q)] = &timer{}
		default: // time goes on, now and then by more than a turn
			*now += time.Duration(rng.Int64N(int64(spans[rng.IntN(len(spans)-1)]) + 1))
			for _, q := range due(w, *now) {
				if want[q] == 0 || want[q] > *now {
					t.Fatalf("at %v a timer fired that is due at %v", *now, want[q])
				}
				delete(want, q)
			}
			for _, at := range want {
				if at <= *now-wheelTick {
					t.Fatalf("at %v the timer due at %v has not fired", *now, at)
				}
			}
		}
		checkWheel(t, w, all)
	}
}

// Timers fire in the order of their ticks, also beyond a turn of the wheel.
func TestWheelOrder(t *testing.T) {
	w, now := newTestWheel()
	var all []*timer
	for _, after := range []time.Duration{50, 10, 200, 30, 52, 1} {
		q := &timer{}
		w.set(q, *now+after*time.Second)
		all = append(all, q)
	}
	want := []int{5, 1, 3, 0, 4, 2}
	var got []int
	for range 2100 {
		*now += wheelTick
		for _, q := range due(w, *now) {
			got = append(got, slices.Index(all, q))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("fired in the order %v, want %v", got, want)
	}
}

// Moving a deadline back, as every call does, does not move the timer.
func TestWheelMovesLazily(t *testing.T) {
	w, now := newTestWheel()
	q := &timer{}
	w.set(q, *now+time.Second)
	at := q.at
	for range 100 {
		*now += time.Millisecond
		w.set(q, *now+time.Second)
	}
	if q.at != at {
		t.Errorf("moved from tick %d to %d", at, q.at)
	}
	w.set(q, *now+200*time.Millisecond)
	if q.at >= at {
		t.Errorf("an earlier deadline has left it at tick %d", q.at)
	}
	if n := testing.AllocsPerRun(100, func() {
		*now += time.Microsecond
		w.set(q, *now+time.Second)
		w.set(q, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A sweep that comes late, as after the machine was asleep, misses none.
func TestWheelSleeps(t *testing.T) {
	w, now := newTestWheel()
	for i := range 1000 {
		w.set(&timer{}, *now+time.Duration(i)*wheelTick)
	}
	*now += time.Hour
	if n := len(due(w, *now)); n != 1000 {
		t.Errorf("%d timers fired", n)
	}
	if n := len(due(w, *now)); n != 0 {
		t.Errorf("%d timers fired twice", n)
	}
}

// Of those that are due in one tick the earliest fires first, also where its deadline
// was moved after it was queued, and however late the sweep comes.
func TestWheelOrderInATick(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second} {
		w, now := newTestWheel()
		var all []*timer
		for _, after := range []time.Duration{70, 10, 90, 20, 250, 50} {
			q := &timer{driver: &driver{}}
			w.set(q, *now+after*time.Millisecond)
			all = append(all, q)
		}
		w.set(all[1], *now+80*time.Millisecond)
		want := []int{3, 5, 0, 1, 2}
		if late > 0 {
			want = append(want, 4)
		}
		*now += wheelTick + late
		var got []int
		for _, q := range inOrder(w.sweep()) {
			got = append(got, slices.Index(all, q))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v late: fired in the order %v, want %v", late, got, want)
		}
	}
}
