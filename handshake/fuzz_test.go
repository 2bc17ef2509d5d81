package handshake

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pyro-dispatch/pyro-dispatch/pymarshal"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// fuzz feeds arbitrary data to the reader of f. What it finds has to be valid UTF-8. Then it uses the data as a handshake
// object: embed puts it, with the id, into a payload, which has to give that id whatever the data was. Embed
// returns "" if the data is no handshake object.
func fuzz(f *testing.F, format wire.Serializer, embed func(data []byte, id string, first bool) string) {
	for _, s := range corpus(f, format) {
		if !s.Compressed && len(s.Payload) < 500 {
			f.Add(s.Payload, "x", false)
		}
		if s.ID != nil {
			f.Add([]byte("x"), *s.ID, true)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, id string, first bool) {
		got, err := Object(format, false, data, Limits{})
		if err == nil && !utf8.ValidString(got) {
			t.Fatalf("got %q, which is not UTF-8", got)
		}
		if err != nil && (got != "" || !errors.Is(err, ErrNoObject) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrLimit)) {
			t.Fatalf("got %q, %v", got, err)
		}
		if !utf8.ValidString(id) || len(data)+len(id) > 1<<16 {
			return
		}
		payload := embed(data, id, first)
		if payload == "" {
			return
		}
		if got, err := Object(format, false, []byte(payload), Limits{Depth: 3000}); err != nil || got != id {
			t.Fatalf("%q: got %q, %v, want %q", payload, got, err, id)
		}
	})
}

// readable reports whether data is one whole value, be it a dict or not.
func readable(format wire.Serializer, data []byte) bool {
	_, err := Object(format, false, data, Limits{})
	return err == nil || errors.Is(err, ErrNoObject)
}

// join puts two items of a dict into either order.
func join(format string, a, b string, swap bool) string {
	if swap {
		a, b = b, a
	}
	return fmt.Sprintf(format, a, b)
}

func FuzzSerpent(f *testing.F) {
	fuzz(f, wire.Serpent, func(data []byte, id string, first bool) string {
		if !readable(wire.Serpent, data) {
			return ""
		}
		quoted := strconv.QuoteToASCII(id) // Go's escapes are among Python's
		return join("# serpent\n{%s,%s}", "'handshake':"+string(data)+"\n", "'object':"+quoted, first)
	})
}

func FuzzJSON(f *testing.F) {
	fuzz(f, wire.JSON, func(data []byte, id string, first bool) string {
		if !readable(wire.JSON, data) {
			return ""
		}
		quoted, err := json.Marshal(id)
		if err != nil {
			panic(err)
		}
		return join("{%s,%s}", `"handshake":`+string(data), `"object":`+string(quoted), first)
	})
}

func FuzzMarshal(f *testing.F) {
	fuzz(f, wire.Marshal, func(data []byte, id string, first bool) string {
		r := pymarshal.NewReader(data, pymarshal.Limits{Depth: 1000, Items: 1 << 17})
		v, err := r.Next()
		if err != nil || r.Skip(v) != nil {
			return ""
		}
		text := "u" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(id)))) + id
		return join("{%s%s0", "z\x09handshake"+string(data[:r.Offset()]), "z\x06object"+text, first)
	})
}

func FuzzMsgpack(f *testing.F) {
	fuzz(f, wire.Msgpack, func(data []byte, id string, first bool) string {
		if !readable(wire.Msgpack, data) {
			return ""
		}
		text := "\xdb" + string(binary.BigEndian.AppendUint32(nil, uint32(len(id)))) + id
		return join("\x82%s%s", "\xa9handshake"+string(data), "\xa6object"+text, first)
	})
}

func FuzzPickle(f *testing.F) {
	fuzz(f, wire.Pickle, func(data []byte, id string, first bool) string {
		// Opcodes do not nest, so arbitrary data cannot be fitted in as opcodes; as a string it can, in each
		// of the protocols' forms.
		length := string(binary.LittleEndian.AppendUint32(nil, uint32(len(data))))
		raw := "V" + rawEscape(id) + "\n"
		text := "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(id)))) + id
		return join("(%s%sd.", "X\x09\x00\x00\x00handshake\x94B"+length+string(data)+"\x940h\x01", "Vobject\n"+raw+"X\x06\x00\x00\x00object"+text, first)
	})
}

// rawEscape writes s in Python's raw-unicode-escape as pickle does.
func rawEscape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\' || r == '\n' || r == '\r' || r == 0 || r == 0x1a || r > 0xff && r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r > 0xff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteByte(byte(r))
		}
	}
	return b.String()
}

// FuzzPickleText reads an id from protocol 0's text form alone.
func FuzzPickleText(f *testing.F) {
	for _, s := range corpus(f, wire.Pickle) {
		if s.ID != nil {
			f.Add(*s.ID)
		}
	}
	f.Fuzz(func(t *testing.T, id string) {
		if !utf8.ValidString(id) {
			return
		}
		payload := "(dVobject\nV" + rawEscape(id) + "\ns."
		if got, err := Object(wire.Pickle, false, []byte(payload), Limits{}); err != nil || got != id {
			t.Fatalf("%q: got %q, %v, want %q", payload, got, err, id)
		}
	})
}
