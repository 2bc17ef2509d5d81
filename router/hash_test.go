package router_test

import (
	"net/netip"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/balance"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// blobInfo is a BLBI annotation as Python 3 writes it, for the info "room-7".
const blobInfo = "\xa9\x03\xda\x06room-7\xfa\x06camera\xfa\x04move"

// TestHashKeys: what makes clients, and calls, come to the same endpoint.
func TestHashKeys(t *testing.T) {
	source := netip.MustParseAddr("198.51.100.7").As16()
	object, bySource := balance.KeyString("lab.camera"), balance.Key(source[:])
	shop, room := balance.Key([]byte("north")), balance.Key([]byte("room-7"))
	by := func(what router.HashWhat) router.HashBy {
		return router.HashBy{What: what, Annotation: [4]byte{'S', 'H', 'O', 'P'}}
	}
	chunk := func(id, value string) []wire.Chunk {
		return []wire.Chunk{{ID: [4]byte([]byte(id)), Value: []byte(value)}}
	}
	tests := []struct {
		name                  string
		by                    router.HashBy
		connect               []wire.Chunk   // the CONNECT's annotations
		calls                 [][]wire.Chunk // and each call's
		session               uint64         // the key in mode session
		perCall               []uint64       // those in mode call
		unknownObject, unixed bool
	}{
		{name: "object", by: by(router.ByObject), connect: chunk("SHOP", "north"),
			calls: [][]wire.Chunk{nil, chunk("SHOP", "south")}, session: object, perCall: []uint64{object, object}},
		{name: "no object", by: by(router.ByObject), unknownObject: true, calls: [][]wire.Chunk{nil},
			session: balance.KeyString(""), perCall: []uint64{balance.KeyString("")}},
		{name: "source", by: by(router.BySource), connect: chunk("SHOP", "north"),
			calls: [][]wire.Chunk{nil, chunk("SHOP", "north")}, session: bySource, perCall: []uint64{bySource, bySource}},
		{name: "no source", by: by(router.BySource), unixed: true, calls: [][]wire.Chunk{nil}, session: object, perCall: []uint64{object}},
		{name: "annotation", by: by(router.ByAnnotation), connect: chunk("SHOP", "north"),
			calls:   [][]wire.Chunk{nil, chunk("SHOP", "south"), chunk("SHIP", "south"), append(chunk("SHIP", "x"), chunk("SHOP", "north")...)},
			session: shop, perCall: []uint64{object, balance.Key([]byte("south")), object, shop}},
		{name: "no annotation", by: by(router.ByAnnotation), calls: [][]wire.Chunk{chunk("SHOP", "north"), nil},
			session: object, perCall: []uint64{shop, object}},
		{name: "empty annotation", by: by(router.ByAnnotation), calls: [][]wire.Chunk{chunk("SHOP", "")},
			session: object, perCall: []uint64{balance.Key(nil)}},
		{name: "blob info", by: by(router.ByBlobInfo), connect: chunk("SHOP", "north"),
			calls:   [][]wire.Chunk{chunk("BLBI", blobInfo), nil, chunk("BLBI", "garbage"), chunk("SHOP", "north")},
			session: object, perCall: []uint64{room, object, object, object}},
	}
	for _, d := range dialects {
		for _, test := range tests {
			t.Run(d.String()+"/"+test.name, func(t *testing.T) {
				id := "lab.camera"
				if test.unknownObject {
					id = ""
				}
				connect := pyrotest.ConnectMessage(d, wire.Serpent, id, "hello")
				connect.Chunks = test.connect

				w := newWorld(1)
				w.route.HashBy = test.by
				h := newHarness(t, w)
				if test.unixed {
					h.session = router.New(&w.env, netip.Addr{}, h, h.now)
				}
				h.says(connect.Bytes())
				if got := h.wanted.Attempt.HashKey; got != test.session {
					t.Errorf("mode session: key %x, want %x", got, test.session)
				}
				h.finish()

				w = newPool(1, func(c *backend.Config) { c.Balance = backend.Hash })
				w.route.HashBy = test.by
				h = newHarness(t, w)
				if test.unixed {
					h.session = router.New(&w.env, netip.Addr{}, h, h.now)
				}
				h.says(connect.Bytes())
				attempt := h.wanted.Attempt
				h.connects()
				for i, chunks := range test.calls {
					call := messages{d}.message(wire.Invoke, 10)
					call.Chunks = chunks
					h.says(call.Bytes())
					if attempt.HashKey != test.perCall[i] {
						t.Errorf("call %d: key %x, want %x", i+1, attempt.HashKey, test.perCall[i])
					}
					h.answers(messages{d}.result())
				}
				h.finish()
			})
		}
	}
}

// TestNested: a CONNECT or call with a correlation id is one that another call may
// be waiting for.
func TestNested(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		for _, nested := range []bool{false, true} {
			with := func(msg pyrotest.Message) []byte {
				if nested {
					msg = msg.WithCorrelation(testID)
				}
				return msg.Bytes()
			}
			for _, w := range []*world{newWorld(1), newPool(1, nil)} {
				h := newHarness(t, w)
				h.says(with(m.handshake()))
				if got := h.wanted.Attempt.Nested; got != nested {
					t.Errorf("%s, mode %s: CONNECT nested: %v, want %v", d, w.route.Mode, got, nested)
				}
				h.finish()
			}
			h := newHarness(t, newPool(1, nil))
			h.says(with(m.handshake()))
			attempt := h.wanted.Attempt
			h.connects()
			for _, b := range []bool{nested, !nested} {
				call := m.message(wire.Invoke, 10)
				if b {
					call = call.WithCorrelation(testID)
				}
				h.says(call.Bytes())
				if attempt.Nested != b {
					t.Errorf("%s: call nested: %v, want %v", d, attempt.Nested, b)
				}
				h.answers(m.result())
			}
			h.finish()
		}
	}
}

// TestEarn: each call of an idempotent route adds to the budget once.
func TestEarn(t *testing.T) {
	m := messages{wire.V502}
	for _, may := range []bool{false, true} {
		w := newPool(1, budget(20))
		w.route.Idempotent = may
		for w.cluster.Spend() == nil {
		}
		h := newHarness(t, w)
		h.says(m.connect())
		h.connects()
		for range 4 {
			h.says(m.invoke())
			h.answers(m.result())
		}
		h.deafens()
		h.says(m.invoke())
		h.unwrites() // that was none
		if w.cluster.Spend() == nil {
			t.Error("four calls are enough for one")
		}
		h.ships()
		h.connects()
		if got := w.cluster.Spend() == nil; got != may {
			t.Errorf("idempotent: %v; five calls are enough for one: %v", may, got)
		}
		h.finish()
	}
}
