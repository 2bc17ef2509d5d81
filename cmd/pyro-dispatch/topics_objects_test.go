package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/handshake"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// host is a daemon with objects that come and go, in the in-memory network.
type host struct {
	mu    sync.Mutex
	lacks map[string]pyrotest.Script // what it says instead of CONNECTOK, by object
	asked map[string]int             // CONNECTs of one tick, by object
}

func (h *host) say(object string, s pyrotest.Script) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lacks[object] = s
}

func (h *host) connect(c *pyrotest.DaemonConn, m pyrotest.Message) {
	object, err := handshake.Object(m.Head.Serializer(), false, m.Data, handshake.DefaultLimits())
	if err != nil {
		panic(err)
	}
	h.mu.Lock()
	h.asked[object]++
	script := h.lacks[object]
	h.mu.Unlock()
	switch {
	case object != "Pyro.Daemon" && !bytes.Contains(m.Data, []byte("let me in")):
		script = pyrotest.RejectConnect("not you")
	case script == nil:
		script = pyrotest.AcceptConnect
	}
	script(c, m)
}

// newHost makes topics whose listeners are at one daemon, and runs them until the test ends.
func newHost(t *testing.T, forget string) (*fleet, *host) {
	f := newTestBoard(t, "topics: {object: lab.topics, max_listeners: 1000, handshake: let me in, forget_after: "+forget+"}\n")
	b := f.board
	h := &host{lacks: make(map[string]pyrotest.Script), asked: make(map[string]int)}
	network := &pyrotest.Network{}
	pyrotest.StartDaemon(t, network, "10.0.0.7:1", &pyrotest.Daemon{OnConnect: h.connect})
	b.listeners = backend.NewCluster(backend.Config{
		Name: topicsCluster, Dialer: network, Metrics: metrics.New(metrics.Build{}),
		Health: backend.HealthConfig{Interval: 10 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Serializer: wire.Serpent},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); b.run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	synctest.Wait()
	return f, h
}

// TestTopicObjectsAge: a listener whose daemon lives on without its object is dropped after
// forget_after, and nobody else is.
func TestTopicObjectsAge(t *testing.T) {
	gone := pyrotest.RejectConnect("unknown object")
	type step struct {
		at   time.Duration
		do   func(b *board, h *host)
		left string // afterwards
	}
	lose := func(s pyrotest.Script) func(*board, *host) { return func(_ *board, h *host) { h.say("x", s) } }
	var look func(*board, *host)
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"gone", []step{{0, lose(gone), "xxy"}, {59 * time.Minute, look, "xxy"}, {63 * time.Minute, look, "y"}, {4 * time.Hour, look, "y"}}},
		{"gone after long", []step{{0, look, "xxy"}, {3 * time.Hour, lose(gone), "xxy"}, {3*time.Hour + 58*time.Minute, look, "xxy"},
			{4*time.Hour + 3*time.Minute, look, "y"}}},
		{"back in time", []step{{0, lose(gone), "xxy"}, {58 * time.Minute, lose(nil), "xxy"}, {4 * time.Hour, look, "xxy"}}},
		{"back for a while", []step{{0, lose(gone), "xxy"}, {30 * time.Minute, lose(nil), "xxy"}, {32 * time.Minute, lose(gone), "xxy"},
			{89 * time.Minute, look, "xxy"}, {95 * time.Minute, look, "y"}}},
		{"registers anew", []step{{0, lose(gone), "xxy"}, {50 * time.Minute, func(b *board, _ *host) { b.ask(t, "register", "a", "PYRO:x@10.0.0.7:1") }, "xxy"},
			{65 * time.Minute, look, "xy"}, {109 * time.Minute, look, "xy"}, {113 * time.Minute, look, "y"}}},
		{"refused for another reason", []step{{0, lose(pyrotest.RejectConnect("no, unknown object")), "xxy"}, {4 * time.Hour, look, "xxy"}}},
		{"no free workers", []step{{0, lose(pyrotest.RejectConnect(pyrotest.NoFreeWorkers)), "xxy"}, {4 * time.Hour, look, "xxy"}}},
		{"too busy to say it again", []step{{0, lose(gone), "xxy"}, {58 * time.Minute, lose(pyrotest.RejectConnect(pyrotest.NoFreeWorkers)), "xxy"},
			{2 * time.Hour, look, "xxy"}, {2*time.Hour + time.Minute, lose(gone), "xxy"}, {2*time.Hour + 3*time.Minute, look, "y"}}},
		{"hangs up", []step{{0, lose(pyrotest.Hangup), "xxy"}, {4 * time.Hour, look, "xxy"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, h := newHost(t, "1h")
				b := f.board
				for _, r := range [][2]string{{"a", "x"}, {"b", "x"}, {"a", "y"}} {
					if raised := b.ask(t, "register", r[0], "PYRO:"+r[1]+"@10.0.0.7:1"); raised != "" {
						t.Fatal(raised)
					}
				}
				start := time.Now().Add(30 * time.Second) // in between two looks, which come each minute
				for _, s := range tt.steps {
					time.Sleep(time.Until(start.Add(s.at)))
					if s.do != nil {
						s.do(b, h)
					}
					synctest.Wait()
					var left []byte
					for _, l := range b.registry.All() {
						left = append(left, l.Object...)
					}
					if slices.Sort(left); string(left) != s.left || b.reached() == "" {
						t.Errorf("after %v %q are left, want %q", s.at, left, s.left)
					}
				}
				wantGathered(t, f.set, map[[3]string]float64{{"topic_objects_missing"}: 0}) // it is there, or no listener
			})
		})
	}
}

// TestTopicObjectsAsked: no more than so many are asked for at a time, each in its turn, by
// the handshake of the topics; those that no CONNECT of ours can name are not.
func TestTopicObjectsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, h := newHost(t, "1h")
		const n = 2*maxAsked + 50
		for i := range n {
			if raised := f.board.ask(t, "register", "a", fmt.Sprintf("PYRO:o%03d@10.0.0.7:1", i)); raised != "" {
				t.Fatal(raised)
			}
		}
		f.board.ask(t, "register", "a", "PYRO:ö@10.0.0.7:1")
		h.say("o001", pyrotest.RejectConnect("unknown object"))
		time.Sleep(30 * time.Second) // in between two looks
		for minute, want := range []int{maxAsked, 2 * maxAsked, n, n} {
			time.Sleep(time.Minute)
			synctest.Wait()
			h.mu.Lock()
			delete(h.asked, "Pyro.Daemon")
			total := 0
			for _, times := range h.asked {
				total += times
			}
			if len(h.asked) != want || total != (minute+1)*maxAsked {
				t.Errorf("minute %d: %d objects were asked for, want %d, %d times", minute+1, len(h.asked), want, total)
			}
			h.mu.Unlock()
		}
		wantGathered(t, f.set, map[[3]string]float64{{"topic_objects_missing"}: 1, {"topic_listeners"}: n + 1})
	})
}

// TestTopicObjectsNotAsked: where listeners are never dropped nobody is asked.
func TestTopicObjectsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, h := newHost(t, "0s")
		f.board.ask(t, "register", "a", "PYRO:x@10.0.0.7:1")
		time.Sleep(time.Hour)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.asked["x"] != 0 {
			t.Errorf("asked %d times", h.asked["x"])
		}
	})
}
