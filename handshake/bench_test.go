package handshake

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// connects are ordinary CONNECT payloads of about 100 bytes.
var connects = []struct {
	name    string
	format  wire.Serializer
	payload string
}{
	{"serpent", wire.Serpent, "# serpent utf-8 python3.2\n{'handshake':'hello','object':'obj_6e5f3d7f6f0e4c11a5a0a8b6a3b6a6d8'}"},
	{"json", wire.JSON, `{"handshake": "hello", "object": "obj_6e5f3d7f6f0e4c11a5a0a8b6a3b6a6d8"}`},
	{"marshal", wire.Marshal, "\xfb\xda\x09handshake\xda\x05hello\xda\x06object\xfa\x24obj_6e5f3d7f6f0e4c11a5a0a8b6a3b6a6d80"},
	{"msgpack", wire.Msgpack, "\x82\xa9handshake\xa5hello\xa6object\xd9\x24obj_6e5f3d7f6f0e4c11a5a0a8b6a3b6a6d8"},
	{"pickle2", wire.Pickle, "\x80\x02}q\x00(X\x09\x00\x00\x00handshakeq\x01X\x05\x00\x00\x00helloq\x02X\x06\x00\x00\x00objectq\x03X\x24\x00\x00\x00obj_6e5f3d7f6f0e4c11a5a0a8b6a3b6a6d8q\x04u."},
	{"pickle4", wire.Pickle, "\x80\x04\x95\x49\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x09handshake\x94\x8c\x05hello\x94\x8c\x06object\x94\x8c\x24obj_6e5f3d7f6f0e4c11a5a0a8b6a3b6a6d8\x94u."},
}

func BenchmarkObject(b *testing.B) {
	for _, c := range connects {
		b.Run(c.name, func(b *testing.B) {
			payload := []byte(c.payload)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Object(c.format, false, payload, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("json-zlib", func(b *testing.B) {
		payload := deflate(`{"handshake": "` + strings.Repeat("hello ", 100) + `", "object": "x"}`)
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Object(wire.JSON, true, payload, Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// An object of 50 methods.
func BenchmarkFingerprint(b *testing.B) {
	var methods []any
	for i := range 50 {
		methods = append(methods, fmt.Sprintf("method_number_%d", i))
	}
	answer := pyrotest.Dict{
		{Key: "handshake", Value: "hello"},
		{Key: "meta", Value: pyrotest.Dict{
			{Key: "methods", Value: methods},
			{Key: "oneway", Value: methods[:5]},
			{Key: "attrs", Value: []any{"serial"}},
		}},
	}
	for _, f := range []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Msgpack, wire.Pickle} {
		payload := pyrotest.Encode(f, answer)
		for _, compressed := range []bool{false, true} {
			name := f.String()
			if compressed {
				name += "-zlib"
				payload = deflate(string(payload))
			}
			b.Run(name, func(b *testing.B) {
				b.SetBytes(int64(len(payload)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Fingerprint(f, compressed, payload, Limits{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
