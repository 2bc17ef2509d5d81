package backend

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// answer is a row of answers.json, which answers.py writes with real daemons.
type answer struct {
	Protocol   wire.Dialect
	Serializer string
	Compressed bool
	Version    int // of the object
	Seed       int // of the process's hashes
	Answer     string
}

// TestVersions: real daemons of one version give answers that are not told apart,
// although no two processes list methods in the same order, and those of
// different versions do not.
func TestVersions(t *testing.T) {
	b, err := os.ReadFile("testdata/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []answer
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]map[int]answerID)
	payloads := make(map[string]bool)
	for _, row := range rows {
		message, err := hex.DecodeString(row.Answer)
		if err != nil {
			t.Fatal(err)
		}
		h, err := wire.ParseHead(message)
		if err != nil {
			t.Fatal(err)
		}
		kind := fmt.Sprintf("%s %s, compressed: %v", row.Protocol, row.Serializer, row.Compressed)
		if h.Type != wire.ConnectOK || h.Serializer().String() != row.Serializer || h.Has(wire.Compressed) != row.Compressed {
			t.Fatalf("%s: the answer is %+v", kind, h)
		}
		id := identify(&h, message)
		if ids[kind] == nil {
			ids[kind] = make(map[int]answerID)
		}
		if first, ok := ids[kind][row.Version]; ok && first != id {
			t.Errorf("%s: processes of version %d differ", kind, row.Version)
		}
		ids[kind][row.Version] = id
		payloads[kind+string(message)] = true
	}
	if len(ids) != 7+4+2 {
		t.Errorf("there are answers of %d kinds", len(ids))
	}
	if len(payloads) != len(rows) {
		t.Errorf("%d of %d answers differ: do the hash seeds matter no more?", len(payloads), len(rows))
	}
	for kind, of := range ids {
		if of[1] == of[2] {
			t.Errorf("%s: the versions are not told apart", kind)
		}
	}
}

// TestIdentify: what counts and what does not.
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
		{"another order", true, func(m *pyrotest.Message) {
			m.Data = []byte("{'handshake':'hello','meta':{'methods':['b_2','a1','a1']}}")
		}},
		{"one less", false, func(m *pyrotest.Message) {
			m.Data = []byte("{'handshake':'hello','meta':{'methods':['a1','b_2']}}")
		}},
		{"another case", false, func(m *pyrotest.Message) { m.Data = bytes.ReplaceAll(m.Data, []byte("b"), []byte("B")) }},
		{"two in one", false, func(m *pyrotest.Message) {
			m.Data = []byte("{'handshake':'hello','meta':{'methods':['a1b_2','a1']}}")
		}},
		{"no data", false, func(m *pyrotest.Message) { m.Data = nil }},
		{"falsely called compressed", true, func(m *pyrotest.Message) { m.Head.Flags |= v502.Bit(wire.Compressed) }},
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
		})
	}
}

// FuzzIdentify: whatever a daemon answers has an id, which words in another order
// do not change.
func FuzzIdentify(f *testing.F) {
	f.Add(uint16(1), uint16(0), []byte("{'methods': ['a', 'b']}"), 5)
	f.Add(uint16(2), uint16(2), []byte("\x78\x9c"), 1)
	f.Add(uint16(4), uint16(0), []byte("\x80\x04\x8c\x01ah0e."), 0)
	f.Fuzz(func(t *testing.T, serializer, flags uint16, data []byte, cut int) {
		h := wire.Head{Dialect: v48, Type: wire.ConnectOK, SerializerID: serializer, Flags: flags &^ 2, DataLen: uint32(len(data))}
		whole := identify(&h, append(wire.AppendHead(nil, h), data...))
		if whole == (answerID{}) {
			t.Fatal("it is none")
		}
		if cut < 0 || cut > len(data) || len(data) == 0 {
			return
		}
		for _, edge := range []int{cut - 1, cut, 0, len(data) - 1} { // not within a word
			if edge >= 0 && edge < len(data) && wordLen(data[edge:edge+1]) > 0 {
				return
			}
		}
		turned := append(bytes.Clone(data[cut:]), data[:cut]...)
		if id := identify(&h, append(wire.AppendHead(nil, h), turned...)); id != whole {
			t.Fatalf("%q is %x, %q is %x", data, whole, turned, id)
		}
		h.Flags |= 2
		identify(&h, append(wire.AppendHead(nil, h), data...))
	})
}
