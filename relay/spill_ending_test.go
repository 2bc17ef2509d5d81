package relay_test

import (
	"crypto/sha256"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// How requests end that are kept on disk.

// TestSpillClientGoes: what came of its request is forgotten.
func TestSpillClientGoes(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		ledger := &pyrotest.Ledger{}
		r := start(t, tr, onDisk(t, setup{
			Daemons: []*pyrotest.Daemon{{Ledger: ledger}},
			Calls:   blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
		}))
		for _, leave := range []func(*pyrotest.Client) error{(*pyrotest.Client).Close, (*pyrotest.Client).Reset} {
			c := r.connect(pyrotest.Client{})
			b := blobCall(c, "topic", make([]byte, spillSize)).Bytes()
			_, err := c.Write(b[:spillSize/2])
			noError(t, err)
			r.waitValue(1, "spill_files")
			noError(t, leave(c))
			r.waitValue(0, "spill_files")
			r.waitValue(0, "sessions")
		}
		if len(ledger.All()) > 0 {
			t.Error("it was sent nevertheless")
		}
	})
}

// TestSpillAborts: neither a drain nor its end leaves a file behind.
func TestSpillAborts(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, onDisk(t, setup{
			DrainTimeout: 100 * time.Millisecond, Serve: relay.ErrDrainTimeout,
			Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
		}))
		c := r.connect(pyrotest.Client{})
		b := blobCall(c, "topic", make([]byte, spillSize)).Bytes()
		_, err := c.Write(b[:spillSize/2])
		noError(t, err)
		r.waitValue(1, "spill_files")
		r.stop()
	})
}

// TestSpillDrains: what is half here when the drain begins is still dispatched.
func TestSpillDrains(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		var sum atomic.Value
		r := start(t, tr, onDisk(t, setup{
			Daemons: []*pyrotest.Daemon{{OnInvoke: hearing(&sum)}},
			Calls:   blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
		}))
		c := r.connect(pyrotest.Client{})
		data := noise(spillSize)
		b := blobCall(c, "topic", data).Bytes()
		_, err := c.Write(b[:spillSize/2])
		noError(t, err)
		r.waitValue(1, "spill_files")
		r.cancel()
		pyrotest.WaitFor(t, "the drain has begun", func() bool { return r.logs.FilterMessage("draining").Len() == 1 })
		_, err = c.Write(b[spillSize/2:])
		noError(t, err)
		if m, err := c.Next(); err != nil || m.Head.Has(wire.Exception) {
			t.Errorf("%+v, %v", m.Head, err)
		}
		if sum.Load() != sha256.Sum256(data) {
			t.Error("the listener got something else")
		}
	})
}

// TestSpillDeadlines: a listener that reads nothing costs its client the call's time, or
// the time to take some bytes.
func TestSpillDeadlines(t *testing.T) {
	for _, send := range []bool{false, true} {
		overAll(t, func(t *testing.T, tr transport) {
			var heard atomic.Value
			r := start(t, tr, onDisk(t, setup{
				Daemons: []*pyrotest.Daemon{{OnConnect: readsAfter(nil)}, {OnInvoke: hearing(&heard)}},
				Calls: blobRoute(func(r *router.Route) {
					r.Deliver.To, r.Policy.TimeoutError = router.ToAll, router.BuiltinTimeout
					if r.Timeouts.Call = 6 * time.Second; send { // the other one has to make it in that time too
						r.Timeouts.Call, r.Timeouts.Send = 0, 3*time.Second
					}
				}),
			}))
			c := r.connect(pyrotest.Client{})
			want := "no reply in time"
			if send {
				want = "no bytes taken in time"
			}
			m, err := c.Do(blobCall(c, "topic", noise(spillSize)))
			if err != nil || !strings.Contains(string(m.Data), want) {
				t.Errorf("%+v %q, %v", m.Head, m.Data, err)
			}
			r.waitValue(0, "spill_files")
			if heard.Load() == nil {
				t.Error("the other one heard nothing")
			}
		})
	}
}

// TestSpillRequestTime: a client has its time for each part of a request, not for all.
func TestSpillRequestTime(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, onDisk(t, setup{Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll })}))
		c := r.connect(pyrotest.Client{})
		b := blobCall(c, "topic", make([]byte, 8<<20)).Bytes()
		for len(b) > 0 { // each MiB takes 20 s of 30
			n := min(len(b), 1<<20)
			time.Sleep(20 * time.Second)
			_, err := c.Write(b[:n])
			noError(t, err)
			b = b[n:]
		}
		if m, err := c.Next(); err != nil || m.Head.Has(wire.Exception) {
			t.Errorf("%+v, %v", m.Head, err)
		}
		b = blobCall(c, "topic", make([]byte, 8<<20)).Bytes()
		_, err := c.Write(b[:3<<20])
		noError(t, err)
		since := time.Now()
		if m, err := c.Next(); err == nil {
			t.Errorf("%+v", m.Head)
		}
		wantAfter(t, "end of a client that sends no more", since, 30*time.Second)
		r.waitValue(0, "spill_files")
		if n := r.reasons()["request_timeout"]; n != 1 {
			t.Errorf("ended: %v", r.reasons())
		}
	})
}
