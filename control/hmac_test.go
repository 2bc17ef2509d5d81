package control_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"slices"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// signed is m with Pyro4's signature over its data and its chunks, which have to be in
// the order of their ids.
func signed(m pyrotest.Message, key string) pyrotest.Message {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write(m.Data)
	for _, c := range m.Chunks {
		mac.Write(c.Value)
	}
	m.Chunks = append(m.Chunks[:len(m.Chunks):len(m.Chunks)], wire.Chunk{ID: wire.ChunkHMAC, Value: mac.Sum(nil)})
	return m
}

// wantSigned checks the signature of a reply, whose chunks are CORR and HMAC or the
// latter alone.
func wantSigned(t *testing.T, m pyrotest.Message, key string) {
	t.Helper()
	n := len(m.Chunks)
	if n == 0 || m.Chunks[n-1].ID != wire.ChunkHMAC {
		t.Fatalf("chunks %q", m.Chunks)
	}
	want := m
	want.Chunks = m.Chunks[:n-1]
	want = signed(want, key)
	wantEqual(t, "signature", m.Chunks[n-1].Value, want.Chunks[n-1].Value)
}

func TestSignedConversation(t *testing.T) {
	r := start(t, control.Config{HMACKey: []byte("key")})
	p := r.dial(form{wire.V48, wire.Serpent})
	reply := func(m pyrotest.Message) pyrotest.Message {
		t.Helper()
		if err := p.Send(signed(m, "key")); err != nil {
			t.Fatal(err)
		}
		got, err := p.Next()
		if err != nil {
			t.Fatal(err)
		}
		wantSigned(t, got, "key")
		return got
	}
	if m := reply(p.ConnectMessage("lab").WithCorrelation([16]byte{1})); m.Head.Type != wire.ConnectOK {
		t.Fatalf("%+v", m.Head)
	}
	call := p.invocation("lab", "echo", []values.Value{"x"}, nil).WithCorrelation([16]byte{2})
	call.Chunks = append([]wire.Chunk{{ID: [4]byte{'A', 'A', 'A', 'A'}, Value: []byte("mine")}}, call.Chunks...)
	if m := reply(call); m.Head.Has(wire.Exception) {
		t.Errorf("%q", m.Data)
	}
	// What counts is the order of the ids, not that of the chunks.
	turned := signed(call, "key")
	slices.Reverse(turned.Chunks)
	if err := p.Send(turned); err != nil {
		t.Fatal(err)
	}
	if m, err := p.Next(); err != nil || m.Head.Has(wire.Exception) {
		t.Errorf("chunks in another order: %v %q", err, m.Data)
	}
	reply(p.invocation("lab", "naming", nil, nil))
	ping := pyrotest.Message{Head: wire.Head{Dialect: wire.V48, Type: wire.Ping, SerializerID: 42}, Data: []byte("ping")}
	if m := reply(ping); m.Head.Type != wire.Ping {
		t.Errorf("%+v", m.Head)
	}
	// From then on a daemon closes without a word.
	if err := p.Send(signed(call, "other")); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, p)
}

func TestSignaturesRefused(t *testing.T) {
	plain := pyrotest.ConnectMessage(wire.V48, wire.Serpent, "lab", "hello")
	plain502 := pyrotest.ConnectMessage(wire.V502, wire.Serpent, "lab", "hello")
	for _, test := range []struct {
		name  string
		conf  control.Config
		send  pyrotest.Message
		wants string // "": accepted
	}{
		{"unsigned", control.Config{HMACKey: []byte("key")}, plain, "hmac key config not symmetric"},
		{"wrong key", control.Config{HMACKey: []byte("key")}, signed(plain, "yek"), "message hmac mismatch"},
		{"no key here", control.Config{}, signed(plain, "key"), "hmac key config not symmetric"},
		{"pyro5", control.Config{HMACKey: []byte("key")}, plain502, "hmac key config not symmetric"},
		{"pyro5 let in", control.Config{HMACKey: []byte("key"), Unsigned502: true}, plain502, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, test.conf).dial(form{test.send.Head.Dialect, wire.Serpent})
			if err := p.Send(test.send); err != nil {
				t.Fatal(err)
			}
			m, err := p.Next()
			if err != nil {
				t.Fatal(err)
			}
			if test.wants == "" {
				wantEqual(t, "type", m.Head.Type, wire.ConnectOK)
				return
			}
			if m.Head.Dialect == wire.V48 && len(test.conf.HMACKey) > 0 {
				wantSigned(t, m, "key")
			}
			v, err := form{m.Head.Dialect, wire.Marshal}.codec(t).Decode(m.Data, values.DefaultLimits())
			if m.Head.Type != wire.ConnectFail || v != test.wants || err != nil {
				t.Errorf("%s %q %v", m.Head.Type, v, err)
			}
			wantEnd(t, p)
		})
	}
}
