package router_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestLate: events of legs that were given up, and events after the end, do no
// harm.
func TestLate(t *testing.T) {
	late := func(h *harness, p router.Port) {
		result := messages{wire.V502}.result()
		if taken := h.session.Data(h.now, p, result); !reflect.DeepEqual(taken, router.Taken{Consumed: len(result)}) {
			h.t.Fatalf("took %+v", taken)
		}
		h.session.EOF(h.now, p, 0)
		h.session.Reset(h.now, p, errReset)
		h.session.WriteFailed(h.now, p, errPipe)
		h.session.Moved(h.now, p, 1)
		h.perform()
	}
	expect := func(h *harness, asks string, state router.State) {
		h.t.Helper()
		if got := h.taken(); got != asks || h.session.State() != state {
			h.t.Fatalf("asks %q while %s, want %q while %s", got, h.session.State(), asks, state)
		}
	}

	t.Run("a leg that was given up", func(t *testing.T) {
		m := messages{wire.V502}
		h := newHarness(t, newWorld(2))
		h.says(m.connect())
		h.connects()
		h.hangsUp(1)
		h.taken()
		late(h, 1)
		h.session.Unreachable(h.now, 1, errReset)
		expect(h, "", router.Acquiring)
		h.connects()
		late(h, 1)
		expect(h, "to leg 2: CONNECT", router.Greeting)
		h.answers(m.ok())
		late(h, 1)
		expect(h, "to client: CONNECTOK", router.Idle)
		h.says(m.invoke())
		late(h, 1)
		expect(h, "to leg 2: INVOKE", router.Waiting)
		h.finish()
	})
	t.Run("a lease that comes after all", func(t *testing.T) {
		h := newHarness(t, newWorld(1))
		h.says(messages{wire.V502}.connect())
		h.drains()
		h.taken()
		h.grantsLate()
		expect(h, "release leg 1 as cancelled", router.Lingering)
		h.finish()
	})
	t.Run("after the end", func(t *testing.T) {
		h := newHarness(t, newWorld(1))
		h.says(messages{wire.V502}.connect())
		h.aborts()
		h.taken()
		h.grantsLate()
		expect(h, "release leg 1 as cancelled", router.Closed)
		late(h, 1)
		late(h, router.Client)
		h.session.Unreachable(h.now, 1, errReset)
		h.session.Drain(h.now)
		h.session.Quiet(h.now)
		h.session.Abort(h.now)
		h.session.Tick(h.now + time.Hour)
		h.perform()
		expect(h, "", router.Closed)
		if sum := h.session.Summary(); sum.Reason != router.ReasonAborted || sum.Err != nil {
			t.Errorf("reason %s (%v)", sum.Reason, sum.Err)
		}
		h.finish()
	})
	t.Run("a leg that is not there yet", func(t *testing.T) {
		h := newHarness(t, newWorld(1))
		h.says(messages{wire.V502}.connect())
		h.taken()
		late(h, 1)
		expect(h, "", router.Acquiring)
		h.finish()
	})
}
