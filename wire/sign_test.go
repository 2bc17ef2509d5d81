package wire

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// pyro4Signed are messages that Pyro4 4.82 has signed: Message(...).to_bytes().
var pyro4Signed = []struct {
	key, message string
	annotations  []Chunk
	data         string
}{
	{"sesame", "5059524f00300004004000070000000800010045000035b2434f5252001030313233343536373839616263646566424c42490004626c6f624141414100056669727374484d4143001481ce97eca185611f309d259ab6b0bcb1c21f76737468652064617461",
		[]Chunk{{[4]byte{'C', 'O', 'R', 'R'}, []byte("0123456789abcdef")}, {ChunkBlob, []byte("blob")}, {[4]byte{'A', 'A', 'A', 'A'}, []byte("first")}}, "the data"},
	{"k", "5059524f0030000100100000000000000002001a00003546484d414300143a84a218ee6665209bb70e84525dd837645a1965", nil, ""},
}

func TestSignedByPyro(t *testing.T) {
	for _, c := range pyro4Signed {
		message, err := hex.DecodeString(c.message)
		if err != nil {
			t.Fatal(err)
		}
		key := Key(c.key)
		h, err := ParseHead(message)
		if err != nil || h.Len() != int64(len(message)) {
			t.Fatalf("%+v, %v", h, err)
		}
		if !key.Signed(&h, message) {
			t.Errorf("the signature of %x is not accepted", message)
		}
		if Key("other").Signed(&h, message) || Key(nil).Signed(&h, message) {
			t.Errorf("%x is accepted with another key", message)
		}
		for i := V48.HeadLen(); i < len(message); i++ {
			bad := bytes.Clone(message)
			bad[i] ^= 1
			if key.Signed(&h, bad) && !inHeadOfChunk(h, message, i) {
				t.Errorf("%x is accepted, with byte %d another", bad, i)
			}
		}
		// Ours is the same, whatever order its chunks have.
		unsigned := build(Head{Dialect: V48, Type: h.Type, Flags: h.Flags, SerializerID: h.SerializerID, Seq: h.Seq}, c.annotations, c.data)
		ours := key.AppendSigned([]byte("before"), unsigned)[len("before"):]
		oh, err := ParseHead(ours)
		if err != nil || !key.Signed(&oh, ours) {
			t.Errorf("%x is not signed: %v", ours, err)
		}
		if a, b := signatureOf(t, ours), signatureOf(t, message); !bytes.Equal(a, b) {
			t.Errorf("the signature is %x, want %x", a, b)
		}
	}
}

// inHeadOfChunk: the byte says where a value ends or what it is called, which is signed
// only as far as it moves values.
func inHeadOfChunk(h Head, message []byte, i int) bool {
	at := V48.HeadLen()
	for rest := message[at : at+int(h.AnnotationsLen)]; len(rest) > 0; {
		_, next, err := NextChunk(V48, rest)
		if err != nil {
			return false
		}
		if i >= at && i < at+6 {
			return true
		}
		at += len(rest) - len(next)
		rest = next
	}
	return false
}

func signatureOf(t *testing.T, message []byte) (value []byte) {
	t.Helper()
	h, err := ParseHead(message)
	if err != nil {
		t.Fatal(err)
	}
	for rest := message[V48.HeadLen() : V48.HeadLen()+int(h.AnnotationsLen)]; len(rest) > 0; {
		c, next, err := NextChunk(V48, rest)
		if err != nil {
			t.Fatal(err)
		}
		if c.ID == ChunkHMAC {
			value = c.Value
		}
		rest = next
	}
	return value
}

// Messages that cannot be signed stay as they are.
func TestUnsignable(t *testing.T) {
	full := Chunk{ID: userData.ID, Value: make([]byte, maxAnnotations48-6-signatureLen+1)}
	for name, message := range map[string][]byte{
		"of V502": build(Head{Dialect: V502, Type: Invoke}, []Chunk{userData}, "data"),
		"full":    build(Head{Dialect: V48, Type: Invoke}, []Chunk{full}, "data"),
		"garbage": []byte("garbage"),
	} {
		if got := Key("key").AppendSigned(nil, message); !bytes.Equal(got, message) {
			t.Errorf("%s: it has become %.50x", name, got)
		}
	}
	plain := build(Head{Dialect: V48, Type: Invoke}, []Chunk{userData}, "data")
	if got := Key(nil).AppendSigned(nil, plain); !bytes.Equal(got, plain) {
		t.Error("no key signs something")
	}
}

// What is marked is signed anew, or no more.
func TestMarkedSigned(t *testing.T) {
	plain := build(Head{Dialect: V48, Type: Invoke, Seq: 3}, []Chunk{userData}, "data")
	signed := Key("old").AppendSigned(nil, plain)
	h, err := ParseHead(signed)
	if err != nil {
		t.Fatal(err)
	}
	annotations := signed[V48.HeadLen() : V48.HeadLen()+int(h.AnnotationsLen)]
	m := Marking{Correlation: idA, Unsign: true}
	want := build(Head{Dialect: V48, Type: Invoke, Seq: 3}, []Chunk{userData, corrA}, "data")
	if got := append(AppendMarked(nil, &h, annotations, m), "data"...); !bytes.Equal(got, want) {
		t.Errorf("unsigned it is\n%x, want\n%x", got, want)
	}
	other := Key("new")
	m.Digest = other.Digest()
	m.Digest.Write([]byte("data"))
	want = other.AppendSigned(nil, want)
	if got := append(AppendMarked(nil, &h, annotations, m), "data"...); !bytes.Equal(got, want) {
		t.Errorf("signed it is\n%x, want\n%x", got, want)
	}
}

// With its key a signed CONNECT is as good as any other.
func TestCanonicalSigned(t *testing.T) {
	key := Key("key")
	for _, id := range []Chunk{corrA, corrB} {
		message := key.AppendSigned(nil, build(Head{Dialect: V48, Type: Connect, Seq: 9}, []Chunk{userData, id}, "data"))
		h, err := ParseHead(message)
		if err != nil {
			t.Fatal(err)
		}
		got, signed := Canonical(&h, message, key)
		want := build(Head{Dialect: V48, Type: Connect}, []Chunk{userData}, "data")
		if signed || !bytes.Equal(got, want) {
			t.Errorf("%v\n%x, want\n%x", signed, got, want)
		}
		if got, signed := Canonical(&h, message, Key("other")); !signed || !bytes.Equal(got, message) {
			t.Errorf("with another key it is %v %x", signed, got)
		}
	}
}

// FuzzSigned: what is signed says what it said, and is accepted.
func FuzzSigned(f *testing.F) {
	for _, c := range pyro4Signed {
		message, _ := hex.DecodeString(c.message)
		f.Add([]byte(c.key), message)
	}
	f.Fuzz(func(t *testing.T, key, message []byte) {
		h, err := ParseHead(message)
		if err != nil || int64(len(message)) != h.Len() {
			return
		}
		k := Key(key)
		k.Signed(&h, message)
		got := k.AppendSigned(nil, message)
		gh, err := ParseHead(got)
		if err != nil || gh.Len() != int64(len(got)) {
			t.Fatalf("%x has become %x: %v", message, got, err)
		}
		start := h.Dialect.HeadLen()
		if _, err := ReadMarks(&h, message[start:start+int(h.AnnotationsLen)]); err != nil || bytes.Equal(got, message) {
			return
		}
		if !k.Signed(&gh, got) {
			t.Errorf("%x is not accepted", got)
		}
		if again := k.AppendSigned(nil, got); !bytes.Equal(again, got) {
			t.Errorf("signed again it is %x, not %x", again, got)
		}
	})
}
