package wire

import (
	"bytes"
	"errors"
	"testing"
)

// build makes a whole message.
func build(h Head, chunks []Chunk, data string) []byte {
	var annotations []byte
	for _, c := range chunks {
		annotations = AppendChunk(annotations, h.Dialect, c)
	}
	h.AnnotationsLen, h.DataLen = uint32(len(annotations)), uint32(len(data))
	return append(append(AppendHead(nil, h), annotations...), data...)
}

// canonical is Canonical of a whole message.
func canonical(t testing.TB, message []byte) (b []byte, signed bool) {
	t.Helper()
	h, err := ParseHead(message)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(message)
	b, signed = Canonical(&h, message, nil)
	if !bytes.Equal(message, before) {
		t.Fatal("Canonical has changed the message")
	}
	return b, signed
}

var (
	idA, idB  = [16]byte{1, 15: 2}, [16]byte{3, 15: 4}
	userData  = Chunk{ID: [4]byte{'U', 'S', 'E', 'R'}, Value: []byte("ada")}
	corrA     = Chunk{ID: ChunkCorrelation, Value: idA[:]}
	corrB     = Chunk{ID: ChunkCorrelation, Value: idB[:]}
	signature = Chunk{ID: ChunkHMAC, Value: make([]byte, 20)}
)

// withID gives the header of a CONNECT of V502 with a correlation id.
func withID(h Head, id [16]byte) Head {
	h.Flags |= V502.Bit(HasCorrelation)
	h.Correlation = id
	return h
}

// TestCanonical: which handshakes are equal.
func TestCanonical(t *testing.T) {
	four := Head{Dialect: V48, Type: Connect, SerializerID: 1, Flags: V48.Bit(MetaOnConnect)}
	five := Head{Dialect: V502, Type: Connect, SerializerID: 1}
	seq := func(h Head, n uint16) Head {
		h.Seq = n
		return h
	}
	json := func(h Head) Head {
		h.SerializerID = h.Dialect.SerializerID(JSON)
		return h
	}
	compressed := func(h Head) Head {
		h.Flags |= h.Dialect.Bit(Compressed)
		return h
	}
	tests := []struct {
		name   string
		a, b   []byte
		equal  bool
		signed bool
	}{
		{"48: the same", build(four, nil, "data"), build(four, nil, "data"), true, false},
		{"48: sequence numbers", build(seq(four, 1), nil, "data"), build(seq(four, 65535), nil, "data"), true, false},
		{"48: correlation ids", build(four, []Chunk{corrA}, "data"), build(four, []Chunk{corrB}, "data"), true, false},
		{"48: one without", build(four, []Chunk{corrA}, "data"), build(four, nil, "data"), true, false},
		{"48: among others", build(four, []Chunk{userData, corrA, userData}, "data"), build(four, []Chunk{userData, userData, corrB}, "data"), true, false},
		{"48: two of them", build(four, []Chunk{corrA, corrB}, "data"), build(four, nil, "data"), true, false},
		{"48: no data", build(four, []Chunk{corrA}, ""), build(four, nil, ""), true, false},
		{"48: data", build(four, nil, "data"), build(four, nil, "date"), false, false},
		{"48: annotations", build(four, []Chunk{userData}, "data"), build(four, nil, "data"), false, false},
		{"48: their order", build(four, []Chunk{userData, {ID: [4]byte{'M', 'O', 'R', 'E'}}}, ""), build(four, []Chunk{{ID: [4]byte{'M', 'O', 'R', 'E'}}, userData}, ""), false, false},
		{"48: serializers", build(four, nil, "data"), build(json(four), nil, "data"), false, false},
		{"48: flags", build(four, nil, "data"), build(compressed(four), nil, "data"), false, false},
		{"48: signed", build(seq(four, 1), []Chunk{signature}, "data"), build(seq(four, 2), []Chunk{signature}, "data"), false, true},
		{"48: signed, with an id", build(four, []Chunk{corrA, signature}, "data"), build(four, []Chunk{corrB, signature}, "data"), false, true},
		{"48: signed, the same", build(four, []Chunk{corrA, signature}, "data"), build(four, []Chunk{corrA, signature}, "data"), true, true},
		{"502: the same", build(five, nil, "data"), build(five, nil, "data"), true, false},
		{"502: sequence numbers", build(seq(five, 1), nil, "data"), build(seq(five, 2), nil, "data"), true, false},
		{"502: correlation ids", build(withID(five, idA), nil, "data"), build(withID(five, idB), nil, "data"), true, false},
		{"502: one without", build(withID(five, idA), nil, "data"), build(five, nil, "data"), true, false},
		{"502: an id that is not flagged", build(Head{Dialect: V502, Type: Connect, SerializerID: 1, Correlation: idA}, nil, ""), build(five, nil, ""), true, false},
		{"502: annotations", build(five, []Chunk{userData}, "data"), build(five, []Chunk{userData}, "data"), true, false},
		{"502: a user's chunk of that name", build(five, []Chunk{corrA}, "data"), build(five, nil, "data"), false, false},
		{"502: no HMAC", build(seq(five, 1), []Chunk{signature}, "data"), build(seq(five, 2), []Chunk{signature}, "data"), true, false},
		{"the dialects", build(four, nil, "data"), build(five, nil, "data"), false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, signedA := canonical(t, test.a)
			b, signedB := canonical(t, test.b)
			if equal := bytes.Equal(a, b); equal != test.equal {
				t.Errorf("equal: %v\n%x\n%x", equal, a, b)
			}
			if signedA != test.signed || signedB != test.signed {
				t.Errorf("signed: %v, %v", signedA, signedB)
			}
			if test.signed && !bytes.Equal(a, test.a) {
				t.Errorf("a signed message was changed: %x", a)
			}
		})
	}
}

// TestAddressed: what a stored answer becomes.
func TestAddressed(t *testing.T) {
	four := Head{Dialect: V48, Type: ConnectOK, SerializerID: 1}
	five := Head{Dialect: V502, Type: ConnectOK, SerializerID: 1}
	answered := func(h Head, seq uint16) Head {
		h.Seq = seq
		return h
	}
	full := Chunk{ID: [4]byte{'F', 'U', 'L', 'L'}, Value: make([]byte, maxAnnotations48-6-21)}
	tests := []struct {
		name   string
		stored []byte
		id     [16]byte
		want   []byte
	}{
		{"48", build(four, nil, "data"), [16]byte{}, build(answered(four, 7), nil, "data")},
		{"48, with an id", build(four, []Chunk{userData}, "data"), idA, build(answered(four, 7), []Chunk{corrA, userData}, "data")},
		{"48, no room for an id", build(four, []Chunk{full}, "data"), idA, build(answered(four, 7), []Chunk{full}, "data")},
		{"502", build(five, []Chunk{userData}, "data"), [16]byte{}, build(answered(five, 7), []Chunk{userData}, "data")},
		{"502, with an id", build(five, []Chunk{userData}, "data"), idA, build(answered(withID(five, idA), 7), []Chunk{userData}, "data")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stored := bytes.Clone(test.stored)
			got, err := AppendAddressed([]byte("before"), stored, 7, test.id)
			if err != nil {
				t.Fatal(err)
			}
			if want := append([]byte("before"), test.want...); !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
			if !bytes.Equal(stored, test.stored) {
				t.Error("the stored message was changed")
			}
		})
	}
	if got, err := AppendAddressed([]byte("before"), []byte("PYRO"), 7, idA); !errors.Is(err, ErrShort) || string(got) != "before" {
		t.Errorf("of half a header: %q, %v", got, err)
	}
}

// FuzzCanonical: what is made of any handshake stays what it is, does not depend on
// its number and id, and can be given any others.
func FuzzCanonical(f *testing.F) {
	for _, g := range loadGolden(f) {
		f.Add([]byte(g.Message), uint16(7), idA[:])
	}
	f.Fuzz(func(t *testing.T, b []byte, seq uint16, idBytes []byte) {
		h, err := ParseHead(b)
		if err != nil || h.Len() > int64(len(b)) {
			return
		}
		b = b[:h.Len()]
		var id [16]byte
		copy(id[:], idBytes)
		c, signed := canonical(t, b)
		if again, also := canonical(t, c); !bytes.Equal(again, c) || also != signed {
			t.Fatalf("canonical     %x, signed %v\nof canonical: %x, signed %v", c, signed, again, also)
		}
		annotations := b[h.Dialect.HeadLen():][:h.AnnotationsLen]
		if _, _, err := Correlation(&h, annotations); signed || err != nil {
			if !bytes.Equal(c, b) {
				t.Fatalf("%x was changed to %x", b, c)
			}
			return
		}
		head, err := ParseHead(c)
		if err != nil || head.Seq != 0 || head.Len() != int64(len(c)) || len(c) > len(b) {
			t.Fatalf("%x of %x: %+v, %v", c, b, head, err)
		}

		other, err := AppendAddressed(nil, c, seq, id)
		if err != nil {
			t.Fatal(err)
		}
		head, err = ParseHead(other)
		if err != nil || head.Seq != seq || head.Len() != int64(len(other)) {
			t.Fatalf("%x: %+v, %v", other, head, err)
		}
		got, ok, err := Correlation(&head, other[head.Dialect.HeadLen():][:head.AnnotationsLen])
		if err != nil {
			t.Fatal(err)
		}
		noRoom := h.Dialect == V48 && int(head.AnnotationsLen) > maxAnnotations48-22
		if want := id != [16]byte{}; ok != want && !(want && noRoom) || ok && got != id {
			t.Fatalf("%x has the id %x, %v, want %x", other, got, ok, id)
		}
		if again, _ := canonical(t, other); !bytes.Equal(again, c) {
			t.Fatalf("canonical %x\naddressed %x\nis again  %x", c, other, again)
		}
	})
}
