package handshake

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Payloads of some megabytes that would take hours if a reader did anything quadratic, and gigabytes of
// memory if it believed a length. The memory is checked; the time is left to the test's own timeout.
func TestHostile(t *testing.T) {
	const n = 1 << 21
	longKey := "V" + strings.Repeat(`\u0061`, n/12) + "\n"
	cases := []struct {
		name    string
		format  wire.Serializer
		payload string
		err     error
	}{
		{"open lists", wire.Serpent, strings.Repeat("[", n), ErrLimit},
		{"open parentheses", wire.Serpent, strings.Repeat("(", n), ErrLimit},
		{"open dicts in keys", wire.Serpent, strings.Repeat("{", n), ErrLimit},
		{"joined strings", wire.Serpent, "{" + strings.Repeat("''", n/6*3) + ":1}", ErrNoObject},
		{"joined strings with blanks", wire.Serpent, "{'object':" + strings.Repeat("'' ", n/3) + "}", nil},
		{"comments between strings", wire.Serpent, "{'object':" + strings.Repeat("''#\n", n/4) + "}", nil},
		{"many keys", wire.Serpent, "{" + strings.Repeat("'objecT':1,", n/11) + "'object':''}", nil},
		{"open strings", wire.Serpent, "{" + strings.Repeat("'\"", n/2), ErrMalformed},
		{"prefixes", wire.Serpent, "{" + strings.Repeat("b", n), ErrMalformed},
		{"signs", wire.Serpent, "{1:" + strings.Repeat("-", n), ErrMalformed},
		{"open lists", wire.JSON, strings.Repeat("[", n), ErrLimit},
		{"open objects", wire.JSON, strings.Repeat(`{"":`, n/4), ErrLimit},
		{"many keys", wire.JSON, "{" + strings.Repeat(`"\u006fbjecT":1,`, n/16) + `"object":""}`, nil},
		{"escaped id", wire.JSON, `{"object":"` + strings.Repeat(`\u0061`, n/6) + `"}`, nil},
		{"tuple lengths", wire.Marshal, "{N" + strings.Repeat("(\xff\xff\xff\x7f", n/5), ErrMalformed},
		{"long lists, nested", wire.Marshal, "{N" + strings.Repeat("[\x00\x00\x01\x00", n/5), ErrLimit},
		{"open dicts", wire.Marshal, strings.Repeat("{", n), ErrLimit},
		{"references", wire.Marshal, "{N(\xff\xff\x01\x00" + strings.Repeat("\xa9\x00", n/2), ErrLimit},
		{"references to references", wire.Marshal, "{\xda\x06object" + strings.Repeat("r\x00\x00\x00\x00", n/5/2*2+1) + "0", nil},
		{"array lengths", wire.Msgpack, "\x81\xa1h" + strings.Repeat("\xdd\xff\xff\xff\xff", n/5), ErrMalformed},
		{"open maps", wire.Msgpack, strings.Repeat("\x81", n), ErrLimit},
		{"marks", wire.Pickle, strings.Repeat("(", n), ErrLimit},
		{"values", wire.Pickle, strings.Repeat("N", n), ErrLimit},
		{"dicts", wire.Pickle, strings.Repeat("}0", n/2), ErrLimit},
		{"memo", wire.Pickle, "N" + strings.Repeat("\x94", n), ErrLimit},
		{"memo indexes far apart", wire.Pickle, "N" + strings.Repeat("r\xff\xff\xff\x00", n/5), ErrLimit},
		{"long key fetched often", wire.Pickle, "}" + longKey + "\x940" + strings.Repeat("h\x00Ns", n/4) + "U\x06objectU\x00s.", nil},
		{"items of nothing", wire.Pickle, "}" + strings.Repeat("(u", n/2) + "U\x06objectU\x00s.", nil},
		{"duplicates", wire.Pickle, "}N" + strings.Repeat("20", n/2) + "0U\x06objectU\x00s.", nil},
		{"lines", wire.Pickle, "}" + strings.Repeat("I\n0", n/3) + "U\x06objectU\x00s.", nil},
	}
	for _, c := range cases {
		t.Run(c.format.String()+"/"+c.name, func(t *testing.T) {
			payload := []byte(c.payload)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Object(c.format, false, payload, Limits{})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v", err, c.err)
			}
			const bound = 16 << 20 // a few tables of Items entries, each grown step by step
			if grown := after.TotalAlloc - before.TotalAlloc; grown > bound {
				t.Errorf("allocated %d bytes, want %d at most", grown, bound)
			}
			// A print takes one table more.
			_, err = Fingerprint(c.format, false, payload, Limits{})
			runtime.ReadMemStats(&before)
			if grown := before.TotalAlloc - after.TotalAlloc; grown > 2*bound {
				t.Errorf("the print allocated %d bytes, want %d at most", grown, 2*bound)
			}
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrLimit) {
				t.Errorf("the print failed with %v", err)
			}
		})
	}
}

// Payloads of which each mention of a value must not cost what the value did.
func TestHostileSharing(t *testing.T) {
	const n = 1 << 21
	long := strings.Repeat("a", n/2)
	length := string(binary.LittleEndian.AppendUint32(nil, n/2))
	count := func(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
	lists := func(first, next string, n int) string {
		b := []byte(first)
		for i := range n {
			b = fmt.Appendf(b, next, binary.LittleEndian.AppendUint32(nil, uint32(i)))
		}
		return string(b)
	}
	cases := []struct {
		name    string
		format  wire.Serializer
		payload string
		err     error
	}{
		{"a long string often", wire.Marshal, "[" + count(n/5) + "\xf5" + length + long + strings.Repeat("r\x00\x00\x00\x00", n/5-1), nil},
		{"a long string often", wire.Pickle, "X" + length + long + "\x94" + strings.Repeat("h\x000", n/3) + ".", nil},
		{"a long text often", wire.Pickle, "](V" + long + "\n\x94" + strings.Repeat("h\x00", 1<<16) + "e.", nil},
		// Each list holds the one before twice: 2^1000 strings, if they were written out.
		{"lists twice", wire.Marshal, "[" + count(1001) + lists("\xfa\x01a", "\xdb\x02\x00\x00\x00r%[1]sr%[1]s", 1000), nil},
		{"lists twice", wire.Pickle, lists("U\x01a\x94", "](j%[1]sj%[1]se\x94", 1000) + ".", nil},
	}
	for _, c := range cases {
		t.Run(c.format.String()+"/"+c.name, func(t *testing.T) {
			if _, err := Fingerprint(c.format, false, []byte(c.payload), Limits{}); !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v", err, c.err)
			}
		})
	}
}

// A short payload takes little memory whatever it claims.
func TestHostileShort(t *testing.T) {
	for _, f := range formats {
		for c := range 256 {
			payload := append([]byte{byte(c)}, bytes.Repeat([]byte{0xff}, 20)...)
			for _, prefix := range []string{"", "}", "{", "\x81", "{N", "}N", "\x80\x04}"} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				id, err := Object(f, false, append([]byte(prefix), payload...), Limits{})
				_, _ = Fingerprint(f, false, append([]byte(prefix), payload...), Limits{})
				runtime.ReadMemStats(&after)
				if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<10 {
					t.Errorf("%s %q: allocated %d bytes", f, payload, grown)
				}
				if err == nil {
					t.Errorf("%s %q: got %q", f, payload, id)
				}
			}
		}
	}
}
