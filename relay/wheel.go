package relay

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// The wheel's resolution and size. A deadline further away than one turn is
// looked at once a turn.
const (
	wheelTick  = 100 * time.Millisecond
	wheelSlots = 512
)

// wheel calls sessions back when their deadlines have passed, up to one tick
// late. One ticker serves all of them, and moving a deadline back, which is
// what every call does, costs no more than noting it: a timer that fires early
// is put where it belongs by then.
type wheel struct {
	now func() time.Duration

	mu    sync.Mutex
	slots [wheelSlots][]*timer
	swept int64 // the last tick whose slot was swept
}

// timer is one driver's place in the wheel.
type timer struct {
	driver *driver

	// Under the driver's lock.
	due    time.Duration // 0: none
	queued int64         // the tick at which fire will come; 0: none

	// Under the wheel's lock.
	slot, index int
	at          int64 // the tick of its slot; 0: in none

	swept time.Duration // due when it was swept, for the sweep
}

func newWheel(now func() time.Duration) *wheel { return &wheel{now: now} }

// set moves t's deadline to due, 0 for none. The driver's lock is held.
func (w *wheel) set(t *timer, due time.Duration) {
	t.due = due
	if due == 0 {
		return
	}
	tick := int64(due/wheelTick) + 1
	if t.queued != 0 && t.queued <= tick {
		return
	}
	t.queued = tick
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(t)
	w.insert(t, tick)
}

// drop takes t out of the wheel for good.
func (w *wheel) drop(t *timer) {
	w.mu.Lock()
	w.remove(t)
	w.mu.Unlock()
}

func (w *wheel) insert(t *timer, tick int64) {
	t.at = max(tick, w.swept+1)
	t.slot = int(t.at % wheelSlots)
	t.index = len(w.slots[t.slot])
	w.slots[t.slot] = append(w.slots[t.slot], t)
}

func (w *wheel) remove(t *timer) {
	if t.at == 0 {
		return
	}
	s := w.slots[t.slot]
	last := len(s) - 1
	s[t.index] = s[last]
	s[t.index].index = t.index
	s[last] = nil
	w.slots[t.slot] = s[:last]
	t.at = 0
}

// run sweeps until ctx ends.
func (w *wheel) run(ctx context.Context) {
	ticker := time.NewTicker(wheelTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, t := range inOrder(w.sweep()) {
			t.fire()
		}
	}
}

// sweep takes out the timers queued for ticks that have passed.
func (w *wheel) sweep() (due []*timer) {
	until := int64(w.now() / wheelTick)
	w.mu.Lock()
	defer w.mu.Unlock()
	for from := max(w.swept+1, until-wheelSlots+1); from <= until; from++ {
		slot := w.slots[from%wheelSlots]
		for i := len(slot) - 1; i >= 0; i-- {
			if t := slot[i]; t.at <= until {
				w.remove(t)
				due = append(due, t)
			}
		}
	}
	w.swept = max(w.swept, until)
	return due
}

// inOrder sorts timers by their deadlines: of a nested call and the one that it is made
// for the nested one is to fail first, even where both do in one tick.
func inOrder(due []*timer) []*timer {
	for _, t := range due {
		t.driver.mu.Lock()
		t.swept = t.due
		t.driver.mu.Unlock()
	}
	slices.SortFunc(due, func(a, b *timer) int { return cmp.Compare(a.swept, b.swept) })
	return due
}

// fire tells the driver, if its deadline still stands, or queues it again.
func (t *timer) fire() {
	d := t.driver
	w := d.listener.server.wheel
	d.mu.Lock()
	due := t.due
	t.due, t.queued = 0, 0
	if due > w.now() {
		w.set(t, due)
		due = 0
	}
	d.mu.Unlock()
	if due != 0 {
		d.tick()
	}
}
