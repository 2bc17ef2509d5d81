package router_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestRefusals: what a client reads that is turned away.
func TestRefusals(t *testing.T) {
	connect := func(d wire.Dialect, s wire.Serializer) []byte {
		m := pyrotest.ConnectMessage(d, s, "lab.camera", "hello")
		m.Head.Seq = 9
		return m.Bytes()
	}
	const camera = `pyro-dispatch: no route for object "lab.camera" on listener main`
	noRoute := func(w *world) { w.route.Listeners = []string{"side"} }
	tests := []struct {
		name    string
		sent    []byte
		setup   func(*world)
		dialect wire.Dialect
		text    string
		answers bool // it bears the seq and serializer of the CONNECT
	}{
		// Six bytes decide, and tell the client's dialect if they can.
		{name: "HTTP, default pyro5", sent: []byte("GET / "), dialect: wire.V502, text: "invalid data"},
		{name: "HTTP, default pyro4", sent: []byte("GET / "), dialect: wire.V48, text: "invalid data or unsupported protocol version",
			setup: func(w *world) { w.env.DefaultDialect = wire.V48 }},
		{name: "version 47", sent: []byte("PYRO\x00\x2f"), dialect: wire.V48, text: "invalid data or unsupported protocol version"},
		{name: "version 499", sent: []byte("PYRO\x01\xf3"), dialect: wire.V48, text: "invalid data or unsupported protocol version"},
		{name: "version 500", sent: []byte("PYRO\x01\xf4"), dialect: wire.V502, text: "invalid protocol version: 500"},
		{name: "version 503", sent: []byte("PYRO\x01\xf7"), dialect: wire.V502, text: "invalid protocol version: 503",
			setup: func(w *world) { w.env.DefaultDialect = wire.V48 }},
		{name: "version 0", sent: []byte("PYRO\x00\x00"), dialect: wire.V48, text: "invalid"},

		// A header tells more.
		{name: "checksum", sent: spoil(messages{wire.V48}.connect(), 23), dialect: wire.V48, text: "header checksum mismatch"},
		{name: "magic", sent: spoil(messages{wire.V502}.connect(), 39), dialect: wire.V502, text: "invalid message or protocol version"},
		{name: "negative length", sent: messages{wire.V48}.head(wire.Connect, 0, 1<<31), dialect: wire.V48, text: "negative message size"},
		{name: "type, pyro4", sent: messages{wire.V48}.invoke(), dialect: wire.V48, text: "invalid msg type 4 received"},
		{name: "type, pyro5", sent: messages{wire.V502}.invoke(), dialect: wire.V502, text: "invalid msg type 4 received (expected: 1)"},
		{name: "size, pyro4", sent: messages{wire.V48}.head(wire.Connect, 6, 4091), dialect: wire.V48, text: "max message size exceeded (4097 where max=4096)"},
		{name: "size, pyro5", sent: messages{wire.V502}.head(wire.Connect, 6, 4091), dialect: wire.V502, text: "message too large (4097, max=4096)"},
		{name: "handshake size", sent: messages{wire.V502}.head(wire.Connect, 0, 1000), dialect: wire.V502, text: "handshake too large (1040, max=1024)"},
		{name: "annotations", sent: messages{wire.V48}.head(wire.Connect, 257, 0), dialect: wire.V48, text: "annotations too large (257, max=256)"},

		// A CONNECT tells how to answer.
		{name: "no route, pyro4 serpent", sent: connect(wire.V48, wire.Serpent), setup: noRoute, dialect: wire.V48, text: camera, answers: true},
		{name: "no route, pyro4 pickle", sent: connect(wire.V48, wire.Pickle), setup: noRoute, dialect: wire.V48, text: camera, answers: true},
		{name: "no route, pyro5 json", sent: connect(wire.V502, wire.JSON), setup: noRoute, dialect: wire.V502, text: camera, answers: true},
		{name: "no route, pyro5 msgpack", sent: connect(wire.V502, wire.Msgpack), setup: noRoute, dialect: wire.V502, text: camera, answers: true},
		{name: "no route, no object", sent: pyrotest.ConnectMessage(wire.V48, wire.Serpent, "", "hello").Bytes(), setup: noRoute,
			dialect: wire.V48, text: "pyro-dispatch: no route for an object id that could not be read on listener main", answers: true},
		{name: "no endpoint", sent: connect(wire.V502, wire.Serpent), dialect: wire.V502, answers: true,
			text:  "pyro-dispatch: no endpoint reachable (route route, cluster cluster)",
			setup: func(w *world) { w.dialer[endpoint(1).Addr] = syscall.ECONNREFUSED }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(1)
			if test.setup != nil {
				test.setup(w)
			}
			h := newHarness(t, w)
			h.says(test.sent)
			if h.wanted != nil {
				h.connects()
			}
			head, data := refused(t, h.lines[router.Client].got.bytes)
			if head.Dialect != test.dialect {
				t.Errorf("answers in %s, want %s", head.Dialect, test.dialect)
			}
			wantSeq, wantSerializer := uint16(0), wire.Marshal
			if test.answers {
				sent, _ := wire.ParseHead(test.sent)
				wantSeq, wantSerializer = sent.Seq, sent.Serializer()
			}
			if head.Seq != wantSeq || head.Serializer() != wantSerializer {
				t.Errorf("seq %d and %s, want %d and %s", head.Seq, head.Serializer(), wantSeq, wantSerializer)
			}
			quoted := strings.ReplaceAll(strings.ReplaceAll(data, `\"`, `"`), `\'`, `'`)
			if !strings.Contains(quoted, test.text) {
				t.Errorf("says %q, want %q", quoted, test.text)
			}
			h.finish()
		})
	}
}

// Nothing short of six bytes decides, and six do, however they come.
func TestRefusedAtTheSixthByte(t *testing.T) {
	for _, first := range []string{"GET / ", "PYRO\x00\x2f", "PYRO\xff\xff", "\x16\x03\x01\x02\x00\x01"} {
		h := newHarness(t, newWorld(1))
		for i := range first {
			if h.session.State() != router.Handshake {
				t.Fatalf("%q: %s after %d bytes", first, h.session.State(), i)
			}
			h.says([]byte{first[i]})
		}
		if h.session.State() != router.Lingering {
			t.Errorf("%q: %s after six bytes", first, h.session.State())
		}
		h.finish()
	}
}

// A silent client and one that is drained away are answered in the default
// dialect, or in their own where its header has come.
func TestRefusalDialect(t *testing.T) {
	for _, end := range []struct {
		name string
		does event
	}{{"timeout", waits(handshakeTime)}, {"drain", drains}} {
		for _, d := range dialects {
			for _, sent := range []int{0, 5, d.HeadLen()} {
				w := newWorld(1)
				w.env.DefaultDialect = other(d)
				h := newHarness(t, w)
				if sent > 0 {
					h.says(messages{d}.connect()[:sent])
				}
				end.does(h)
				head, _ := refused(t, h.lines[router.Client].got.bytes)
				want := other(d)
				if sent == d.HeadLen() {
					want = d
				}
				if head.Dialect != want || head.Serializer() != wire.Marshal {
					t.Errorf("%s after %d bytes of %s: answered in %s, %s", end.name, sent, d, head.Dialect, head.Serializer())
				}
				h.finish()
			}
		}
	}
}

// A refusal of a CONNECT that was read bears its correlation id.
func TestRefusalCorrelation(t *testing.T) {
	for _, d := range dialects {
		h := newHarness(t, newWorld(1))
		h.session.Deny(router.ReasonSessions, "one too many")
		h.says(messages{d}.connect())
		m, err := pyrotest.ReadMessage(strings.NewReader(string(h.lines[router.Client].got.bytes)))
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := m.Correlation(); !ok || id != testID {
			t.Errorf("%s: correlation id %x, %v", d, id, ok)
		}
		if got := h.session.Summary().Correlation; got != testID {
			t.Errorf("%s: summary has correlation id %x", d, got)
		}
		h.finish()
	}
}
