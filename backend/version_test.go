package backend

import (
	"bytes"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestIdentify: what tells answers apart and what does not.
func TestIdentify(t *testing.T) {
	message := func(edit func(m *pyrotest.Message)) ([]byte, wire.Head) {
		m := pyrotest.Message{
			Head: wire.Head{Dialect: v502, Type: wire.ConnectOK, SerializerID: v502.SerializerID(wire.Serpent)},
			Data: []byte("{'handshake':'hello','meta':{'methods':['a1','b_2','a1']}}"),
		}
		edit(&m)
		b := m.Bytes()
		h, err := wire.ParseHead(b)
		if err != nil {
			t.Fatal(err)
		}
		return b, h
	}
	data := func(s string) func(m *pyrotest.Message) {
		return func(m *pyrotest.Message) { m.Data = []byte(s) }
	}
	b, h := message(func(*pyrotest.Message) {})
	plain := identify(&h, b)
	tests := []struct {
		name string
		same bool
		edit func(m *pyrotest.Message)
	}{
		{"another sequence number", true, func(m *pyrotest.Message) { m.Head.Seq = 9 }},
		{"a correlation id", true, func(m *pyrotest.Message) { *m = m.WithCorrelation([16]byte{1}) }},
		{"an annotation", true, func(m *pyrotest.Message) {
			m.Chunks = append(m.Chunks, wire.Chunk{ID: [4]byte{'H', 'O', 'S', 'T'}, Value: []byte("daemon7")})
		}},
		{"another order", true, data("{'handshake':'hello','meta':{'methods':['b_2','a1','a1']}}")},
		{"one less", false, data("{'handshake':'hello','meta':{'methods':['a1','b_2']}}")},
		{"another name", false, func(m *pyrotest.Message) { m.Data = bytes.ReplaceAll(m.Data, []byte("b"), []byte("B")) }},
		{"no data", false, data("")},
		{"no strings", false, data("{}")},
		{"not readable", false, data("{'handshake':'hello','meta':{'methods':['a1','b_2','a1']}")},
		{"falsely called compressed", false, func(m *pyrotest.Message) { m.Head.Flags |= v502.Bit(wire.Compressed) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, h := message(test.edit)
			id := identify(&h, b)
			if same := id == plain; same != test.same {
				t.Errorf("the same: %v", same)
			}
			if id == (answerID{}) {
				t.Error("it is none")
			}
			if again := identify(&h, bytes.Clone(b)); again != id {
				t.Error("it is not always the same")
			}
		})
	}
}
