package control_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// connect is a CONNECT with that payload.
func connect(d wire.Dialect, s wire.Serializer, data []byte) pyrotest.Message {
	m := pyrotest.ConnectMessage(d, s, "lab", "hello")
	m.Head.Seq = 5
	m.Data = data
	return m
}

// refusal is what is sent in the place of a CONNECT, and the CONNECTFAIL that comes of it.
type refusal struct {
	name  string
	send  []byte
	d     wire.Dialect
	s     wire.Serializer
	seq   uint16
	wants string
	// ours: the libraries say something else, or nothing.
	ours bool
}

func refusals() []refusal {
	raw := func(d wire.Dialect, change func(h *wire.Head)) []byte {
		h := wire.Head{Dialect: d, Type: wire.Connect, SerializerID: 1, Seq: 5}
		change(&h)
		return wire.AppendHead(nil, h)
	}
	corrupt := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 0x55
		return b
	}
	huge := func(h *wire.Head) { h.DataLen = 1 << 30 }
	invoke := func(h *wire.Head) { h.Type = wire.Invoke }
	nothing := func(*wire.Head) {}
	annotated := func(h *wire.Head) { h.AnnotationsLen = 3 }
	text := func(s wire.Serializer, v any) []byte { return pyrotest.Encode(s, v) }

	return []refusal{
		{"noise", []byte("GET / HTTP/1.1\r\n"), wire.V502, wire.Marshal, 0, "invalid data", false},
		{"a version", []byte("PYRO\x00\x2f"), wire.V502, wire.Marshal, 0, "invalid protocol version: 47", false},
		{"sum", corrupt(raw(wire.V48, nothing), 22), wire.V48, wire.Marshal, 0, "header checksum mismatch", false},
		{"magic", corrupt(raw(wire.V502, nothing), 38), wire.V502, wire.Marshal, 0, "invalid message or protocol version", false},
		{"negative", raw(wire.V48, func(h *wire.Head) { h.DataLen = 1 << 31 }), wire.V48, wire.Marshal, 0, "negative data length", true},
		{"type 48", raw(wire.V48, invoke), wire.V48, wire.Marshal, 0, "invalid msg type 4 received", false},
		{"type 502", raw(wire.V502, invoke), wire.V502, wire.Marshal, 0, "invalid msg type 4 received (expected: 1)", false},
		{"size 48", raw(wire.V48, huge), wire.V48, wire.Marshal, 0, "max message size exceeded (1073741824 where max=65536)", true},
		{"size 502", raw(wire.V502, huge), wire.V502, wire.Marshal, 0, "message too large (1073741824, max=65536)", true},
		{"annotations", append(raw(wire.V502, annotated), "abc"...), wire.V502, wire.Marshal, 0, "annotation chunks overrun the annotations", true},
		{"pickle", connect(wire.V48, wire.Pickle, text(wire.Pickle, nil)).Bytes(), wire.V48, wire.Marshal, 5,
			"message used serializer that is not accepted: 4", false},
		{"serializer", raw(wire.V502, func(h *wire.Head) { h.SerializerID = 77 }), wire.V502, wire.Marshal, 5,
			"message used serializer that is not accepted: 77", true},
		{"unreadable", connect(wire.V502, wire.Serpent, []byte("{[(")).Bytes(), wire.V502, wire.Serpent, 5, "the handshake cannot be read", true},
		{"bad zlib", func() []byte {
			m := connect(wire.V48, wire.JSON, []byte("{}"))
			m.Head.Flags |= wire.V48.Bit(wire.Compressed)
			return m.Bytes()
		}(), wire.V48, wire.JSON, 5, "the handshake cannot be read", true},
		{"no object", connect(wire.V502, wire.JSON, []byte("{}")).Bytes(), wire.V502, wire.JSON, 5, "the handshake names no object", true},
		{"an unknown object", connect(wire.V48, wire.Msgpack, text(wire.Msgpack, pyrotest.Dict{{Key: "handshake", Value: nil}, {Key: "object", Value: "x"}})).Bytes(),
			wire.V48, wire.Msgpack, 5, "unknown object", false},
	}
}

// What is no CONNECT of ours gets a CONNECTFAIL as the libraries' daemons give it, and
// the end.
func TestRefusals(t *testing.T) {
	for _, test := range refusals() {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, control.Config{}).dial(form{test.d, wire.Serpent})
			wantRefused(t, p, test)
			wantEnd(t, p)
		})
	}
}

// A refusal arrives though more was sent than is read for it.
func TestRefusalBeforeUnreadBytes(t *testing.T) {
	p := start(t, control.Config{}).dial(form{wire.V502, wire.Serpent})
	large := connect(wire.V502, wire.Serpent, make([]byte, 60_000))
	large.Head.Type = wire.Invoke
	if err := p.Send(large); err != nil {
		t.Fatal(err)
	}
	if m, err := p.Next(); err != nil || m.Head.Type != wire.ConnectFail {
		t.Errorf("%+v, %v", m.Head, err)
	}
	wantEnd(t, p)
}

// wantRefused checks the answer.
func wantRefused(t *testing.T, p *peer, test refusal) {
	t.Helper()
	if _, err := p.Write(test.send); err != nil {
		t.Fatal(err)
	}
	reply, err := p.Next()
	if err != nil {
		t.Fatal(err)
	}
	h := reply.Head
	if h.Type != wire.ConnectFail || h.Dialect != test.d || h.Serializer() != test.s || h.Seq != test.seq {
		t.Errorf("answered %+v", h)
	}
	v, err := form{test.d, test.s}.codec(t).Decode(reply.Data, values.DefaultLimits())
	if err != nil || v != test.wants {
		t.Errorf("said %q, %v; want %q", v, err, test.wants)
	}
}

// After the handshake bad messages get no answer, as from the libraries' daemons.
func TestBadMessagesEndConnections(t *testing.T) {
	for _, d := range []wire.Dialect{wire.V48, wire.V502} {
		head := func(h wire.Head) []byte {
			h.Dialect = d
			return wire.AppendHead(nil, h)
		}
		for name, send := range map[string][]byte{
			"noise":       []byte("GET / HTTP/1.1\r\n"),
			"a CONNECT":   head(wire.Head{Type: wire.Connect, SerializerID: 1}),
			"size":        head(wire.Head{Type: wire.Invoke, SerializerID: 1, DataLen: 1 << 30}),
			"annotations": append(head(wire.Head{Type: wire.Invoke, SerializerID: 1, AnnotationsLen: 3}), "abc"...),
			"serializer":  head(wire.Head{Type: wire.Invoke, SerializerID: 77}),
			"dialect":     wire.AppendPing(nil, wire.V48+wire.V502-d, wire.Serpent, 1),
		} {
			t.Run(d.String()+" "+name, func(t *testing.T) {
				p := start(t, control.Config{}).connected(form{d, wire.Serpent})
				if _, err := p.Write(send); err != nil {
					t.Fatal(err)
				}
				if m, err := p.Next(); err == nil {
					t.Errorf("answered %+v", m)
				}
			})
		}
	}
}

// What cannot be decoded is answered, and then the connection ends.
func TestUnreadableCalls(t *testing.T) {
	inEach(t, func(t *testing.T, f form) {
		deep := strings.Repeat("[", 100)
		for name, data := range map[string][]byte{"noise": []byte("\xff\xfe("), "nothing": nil, "deep": []byte(deep)} {
			p := start(t, control.Config{}).connected(f)
			reply, err := p.Do(p.InvokeMessage(data))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			v, err := p.codec.Decode(reply.Data, values.DefaultLimits())
			e, ok := v.(*values.Exception)
			if err != nil || !ok || e.Class != "errors.SerializeError" {
				t.Errorf("%s: %v %v", name, v, err)
			}
			wantEnd(t, p)
		}
	})
}

// The pickle family is never read. A call in it gets an exception in it.
func TestPickledCalls(t *testing.T) {
	for _, s := range []wire.Serializer{wire.Pickle, wire.Dill, wire.Cloudpickle} {
		p := start(t, control.Config{}).connected(form{wire.V48, wire.Serpent})
		m := p.InvokeMessage(pyrotest.Encode(s, pyrotest.Tuple{"lab", "echo", pyrotest.Tuple{}, pyrotest.Dict{}}))
		m.Head.SerializerID = wire.V48.SerializerID(s)
		reply, err := p.Do(m)
		if err != nil {
			t.Fatal(err)
		}
		if !reply.Head.Has(wire.Exception) || !bytes.Contains(reply.Data, []byte("message used serializer that is not accepted")) {
			t.Errorf("%s: %+v %q", s, reply.Head, reply.Data)
		}
		wantEnd(t, p)
	}
}
