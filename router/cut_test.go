package router_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// conversation is what a client says, and an endpoint's answers in the order of
// the messages that have one.
type conversation struct {
	said    []byte
	answers [][]byte
}

// generate makes a conversation of n requests: all types, flags and sizes, two
// in eight of them around the bound of store-and-forward.
func generate(d wire.Dialect, seed uint64, n int) (c conversation) {
	rng := rand.New(rand.NewPCG(seed, uint64(d)))
	m := messages{d}
	pick := func(from ...int) int { return from[rng.IntN(len(from))] }
	annotated := func(msg pyrotest.Message, sizes ...int) []byte {
		if rng.IntN(3) == 0 {
			msg = msg.WithCorrelation([16]byte{byte(rng.Uint32()), 1})
		}
		for _, size := range sizes {
			msg.Chunks = append(msg.Chunks, wire.Chunk{ID: [4]byte{'U', 'S', 'E', 'R'}, Value: make([]byte, size)})
		}
		msg.Head.Seq = uint16(rng.Uint32())
		return msg.Bytes()
	}
	c.said = m.connect()
	c.answers = [][]byte{m.ok()}
	bound := int(testLimits.StoreAndForward) - d.HeadLen()
	for i := range n {
		if i%4 == 3 { // around the bound, and far beyond
			size := []int{bound - 1, bound, bound + 1, 900}[(i/4+2*int(seed))%4]
			c.said = append(c.said, m.message(wire.Invoke, size).Bytes()...)
			c.answers = append(c.answers, m.message(wire.Result, size).Bytes())
			continue
		}
		size := pick(0, 1, 40, 200)
		var flags []wire.Flag
		for _, f := range []wire.Flag{wire.Compressed, wire.Batch, wire.KeepSerialized} {
			if rng.IntN(4) == 0 {
				flags = append(flags, f)
			}
		}
		switch rng.IntN(5) {
		case 0:
			c.said = append(c.said, annotated(m.message(wire.Ping, 4))...)
			c.answers = append(c.answers, annotated(m.message(wire.Ping, 4)))
		case 1:
			c.said = append(c.said, annotated(m.message(wire.Invoke, size, append(flags, wire.Oneway)...), pick(0, 9))...)
		default:
			c.said = append(c.said, annotated(m.message(wire.Invoke, size, flags...), pick(0, 3, 100), pick(0, 60))...)
			var reply []byte
			switch rng.IntN(4) {
			case 0:
				reply = annotated(m.message(wire.Result, 80, wire.Exception))
			case 1:
				msg := m.message(wire.Result, 20, wire.Exception, wire.ItemStream)
				msg.Chunks = []wire.Chunk{{ID: [4]byte{'S', 'T', 'R', 'M'}, Value: make([]byte, 36)}}
				reply = annotated(msg)
			case 2:
				reply = annotated(m.message(wire.Result, size), 600) // more than a request may have
			default:
				reply = annotated(m.message(wire.Result, size), pick(0, 5))
			}
			c.answers = append(c.answers, reply)
		}
	}
	return c
}

// heard is all that came of a conversation.
type heard struct {
	Endpoint, Client []byte
	Summary          router.Summary
}

// hold plays c. saidAt and answeredAt say where the two streams are cut.
func (c *conversation) hold(t testing.TB, w *world, saidAt, answeredAt func(int) bool) heard {
	h := newHarness(t, w)
	answered := 0
	answer := func() {
		for {
			if h.wanted != nil {
				h.connects()
			}
			leg := h.lines[h.leg]
			if h.leg == 0 || answered == len(c.answers) || h.closed {
				return
			}
			due := 0
			for i := range leg.got.heads {
				if !isOneway(&leg.got.heads[i]) {
					due++
				}
			}
			if answered == due {
				return
			}
			b := c.answers[answered]
			answered++
			for from, to := 0, 1; to <= len(b); to++ {
				if to == len(b) || answeredAt(len(leg.sent)+to-from) {
					h.answers(b[from:to])
					from = to
				}
			}
		}
	}
	for from, to := 0, 1; to <= len(c.said); to++ {
		if to == len(c.said) || saidAt(to) {
			h.says(c.said[from:to])
			answer()
			from = to
		}
	}
	if h.lines[router.Client].paused {
		t.Fatal("paused for ever")
	}
	h.hangsUp(router.Client)
	if !h.closed {
		t.Fatalf("%s after all was answered", h.session.State())
	}
	sum := h.session.Summary()
	sum.Err = nil // one value an error, another equal to it only in words
	got := heard{Client: h.lines[router.Client].got.bytes, Summary: sum}
	if h.leg != 0 {
		got.Endpoint = h.lines[h.leg].got.bytes
	}
	return got
}

// TestCuts: however the streams of a conversation are cut, the same bytes go on
// and the same calls are counted.
func TestCuts(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		for i := range 2 {
			t.Run(fmt.Sprintf("%s/conversation %d", d, i), func(t *testing.T) {
				c := generate(d, uint64(i), 8)
				testCuts(t, &c, nil)
			})
		}
		for _, test := range []struct {
			name string
			end  []byte
		}{
			{"ends in garbage", m.garbage()},
			{"ends in the other dialect", messages{other(d)}.invoke()},
			{"ends in an overrun", m.overrun(wire.Invoke)},
			{"ends in a reply", m.result()},
			{"ends in too much", m.head(wire.Invoke, 0, 5000)},
			{"ends in a part", m.invoke()[:30]},
		} {
			t.Run(fmt.Sprintf("%s/%s", d, test.name), func(t *testing.T) {
				c := generate(d, 7, 2)
				testCuts(t, &c, test.end)
			})
		}
	}
}

// testCuts plays c with an end that goes no further than to us.
func testCuts(t *testing.T, c *conversation, end []byte) {
	never := func(int) bool { return false }
	always := func(int) bool { return true }
	good := c.said
	c.said = slices.Concat(good, end)
	once := newWorld(1)
	want := c.hold(t, once, never, never)
	if !bytes.Equal(want.Endpoint, good) {
		t.Fatalf("the endpoint got %d bytes of %d", len(want.Endpoint), len(good))
	}
	if got := slices.Concat(c.answers...); !bytes.Equal(want.Client, got) {
		t.Fatalf("the client got %d bytes of %d", len(want.Client), len(got))
	}

	w := newWorld(1)
	held := 0.0
	hold := func(name string, saidAt, answeredAt func(int) bool) {
		held++
		got := c.hold(t, w, saidAt, answeredAt)
		if !bytes.Equal(got.Endpoint, want.Endpoint) || !bytes.Equal(got.Client, want.Client) || got.Summary != want.Summary {
			t.Fatalf("%s (-uncut +cut):\n%s", name, cmp.Diff(want, got))
		}
	}
	hold("byte by byte", always, always)
	hold("client byte by byte", always, never)
	hold("endpoint byte by byte", never, always)
	for at := range len(c.said) {
		hold(fmt.Sprintf("client cut at %d", at), func(i int) bool { return i == at }, never)
	}
	for at := range len(want.Client) {
		hold(fmt.Sprintf("endpoint cut at %d", at), never, func(i int) bool { return i == at })
	}

	for metric, label := range map[string]string{
		"calls_total": "outcome", "relayed_bytes_total": "direction", "call_duration_seconds": "route",
		"rejected_total": "reason", "calls_in_flight": "route", "endpoint_connections": "endpoint",
	} {
		sums := once.counts(t, metric, label)
		for k := range sums {
			sums[k] *= held
		}
		if diff := cmp.Diff(sums, w.counts(t, metric, label)); diff != "" {
			t.Errorf("%s of %v conversations (-want +got):\n%s", metric, held, diff)
		}
	}
}
