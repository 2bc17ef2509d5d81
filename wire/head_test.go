package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// sample is a header of each dialect with a different value in every field.
func sample(d Dialect) Head {
	h := Head{
		Dialect: d, Type: Invoke, SerializerID: 4, Flags: 0x4c, Seq: 0x1234, Reserved: 0xabcd,
		AnnotationsLen: 0xfedc, DataLen: 0x7fffffff,
	}
	if d == V502 {
		h.AnnotationsLen, h.DataLen = 0xfedcba98, 0xffffffff
		h.Correlation = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	}
	return h
}

func TestHeadRoundTrip(t *testing.T) {
	for _, d := range []Dialect{V48, V502} {
		t.Run(d.String(), func(t *testing.T) {
			want := sample(d)
			b := AppendHead([]byte("before"), want)
			if len(b) != len("before")+d.HeadLen() {
				t.Fatalf("%d bytes", len(b))
			}
			got, err := ParseHead(append(b[len("before"):], "after"...))
			if err != nil || got != want {
				t.Errorf("got %+v, %v", got, err)
			}
			if want := int64(d.HeadLen()) + int64(got.AnnotationsLen) + int64(got.DataLen); got.Len() != want {
				t.Errorf("Len is %d, want %d", got.Len(), want)
			}
		})
	}
}

// The places of the fields, against the table in the package's comment.
func TestHeadLayout(t *testing.T) {
	tests := map[Dialect]string{
		V48: "5059524f" + "0030" + "0004" + "004c" + "1234" + "7fffffff" + "0004" + "fedc" + "abcd" +
			"467c", // 48 + 4 + 0x4c + 0x1234 + 0x7fffffff + 4 + 0xfedc + 0x34e9, without the reserved field
		V502: "5059524f" + "01f6" + "04" + "04" + "004c" + "1234" + "ffffffff" + "fedcba98" +
			"0102030405060708090a0b0c0d0e0f10" + "abcd" + "4dc5",
	}
	for d, want := range tests {
		if got := hex.EncodeToString(AppendHead(nil, sample(d))); got != want {
			t.Errorf("%v:\n got %s\nwant %s", d, got, want)
		}
	}
}

func TestHeadErrors(t *testing.T) {
	head48, head502 := AppendHead(nil, sample(V48)), AppendHead(nil, sample(V502))
	// with gives a copy of b that has other bytes at i.
	with := func(b []byte, i int, other ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[i:], other)
		return b
	}
	negative := sample(V48)
	negative.DataLen = 1 << 31
	minusOne := sample(V48)
	minusOne.DataLen = 1<<32 - 1

	tests := []struct {
		name    string
		give    []byte
		want    error
		version uint16
	}{
		{"nothing", nil, ErrShort, 0},
		{"five bytes of anything", []byte("GET /"), ErrShort, 0},
		{"48 without its last byte", head48[:23], ErrShort, 0},
		{"502 without its last byte", head502[:39], ErrShort, 0},
		{"48, six bytes", head48[:6], ErrShort, 0},
		{"502, six bytes", head502[:6], ErrShort, 0},
		{"502, as long as a header of 48", head502[:24], ErrShort, 0},

		{"another protocol", []byte("GET / HTTP/1.1\r\n"), ErrNotPyro, 0},
		{"another protocol, six bytes", []byte("GET / "), ErrNotPyro, 0},
		{"lower case", []byte("pyro\x00\x30"), ErrNotPyro, 0},
		{"zeros", make([]byte, 40), ErrNotPyro, 0},

		{"version 0", []byte("PYRO\x00\x00"), ErrVersion, 0},
		{"version 47", []byte("PYRO\x00\x2f"), ErrVersion, 47},
		{"version 49", with(head48, 5, 49), ErrVersion, 49},
		{"version 501", with(head502, 4, 0x01, 0xf5), ErrVersion, 501},
		{"version 503", with(head502, 4, 0x01, 0xf7), ErrVersion, 503},
		{"version 65535", []byte("PYRO\xff\xff"), ErrVersion, 65535},
		{"little endian 48", []byte("PYRO\x30\x00"), ErrVersion, 0x3000},

		{"48, checksum one too high", with(head48, 22, 0x46, 0x75), ErrCheck, 48},
		{"48, another type", with(head48, 7, 5), ErrCheck, 48},
		{"48, negative length and wrong checksum", with(head48, 12, 0x80, 0, 0, 1), ErrCheck, 48},
		{"502, magic", with(head502, 38, 0x4d, 0xc4), ErrCheck, 502},
		{"502, no magic", with(head502, 38, 0, 0), ErrCheck, 502},

		{"48, lowest length", AppendHead(nil, negative), ErrNegativeLength, 48},
		{"48, length -1", AppendHead(nil, minusOne), ErrNegativeLength, 48},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, err := ParseHead(test.give)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if h != (Head{}) {
				t.Errorf("and a header: %+v", h)
			}
			var he *HeadError
			if errors.As(err, &he) != (test.want != ErrShort) {
				t.Fatalf("%T", err)
			}
			if he == nil {
				return
			}
			if he.Version != test.version {
				t.Errorf("version %d, want %d", he.Version, test.version)
			}
			if named := strings.Contains(err.Error(), "protocol version "); named == errors.Is(err, ErrNotPyro) {
				t.Errorf("the error reads %q", err)
			}
		})
	}
}

// A header that is all there is never "short", one that is not never parses:
// every prefix of a good header asks for more.
func TestHeadPrefixes(t *testing.T) {
	for _, d := range []Dialect{V48, V502} {
		b := AppendHead(nil, sample(d))
		for n := range len(b) {
			if _, err := ParseHead(b[:n]); err != ErrShort {
				t.Errorf("%v, %d bytes: %v", d, n, err)
			}
		}
	}
}

// The reserved field is the only one that version 48's checksum leaves out.
func TestChecksumCoversFields(t *testing.T) {
	good := AppendHead(nil, sample(V48))
	for i := 6; i < 22; i++ {
		b := bytes.Clone(good)
		b[i] ^= 1
		_, err := ParseHead(b)
		carried := i == 12 || i == 13 // the sum keeps only the low 16 bits of the length
		reserved := i == 20 || i == 21
		if (err == nil) != (carried || reserved) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestFlags(t *testing.T) {
	// Pyro's values: 0 for a flag that the dialect lacks.
	tests := []struct {
		flag      Flag
		v48, v502 uint16
	}{
		{Exception, 1, 1}, {Compressed, 2, 2}, {Oneway, 4, 4}, {Batch, 8, 8},
		{MetaOnConnect, 16, 0}, {ItemStream, 32, 16}, {KeepSerialized, 64, 32}, {HasCorrelation, 0, 64},
	}
	if len(tests) != int(numFlags) {
		t.Fatal("a flag is missing")
	}
	for _, test := range tests {
		for d, want := range map[Dialect]uint16{V48: test.v48, V502: test.v502} {
			if got := d.Bit(test.flag); got != want {
				t.Errorf("%v %s: bit %d, want %d", d, flagNames[test.flag], got, want)
			}
			all, others := Head{Dialect: d, Flags: 0xffff}, Head{Dialect: d, Flags: ^want}
			if all.Has(test.flag) != (want != 0) || others.Has(test.flag) {
				t.Errorf("%v: Has(%s) is wrong", d, flagNames[test.flag])
			}
		}
	}
}

func TestSerializers(t *testing.T) {
	for s := range numSerializers {
		want := s
		if got := SerializerByName(s.String()); got != want {
			t.Errorf("SerializerByName(%q) is %v", s, got)
		}
		for _, d := range []Dialect{V48, V502} {
			id := d.SerializerID(s)
			if id == 0 {
				continue
			}
			if h := (Head{Dialect: d, SerializerID: id}); h.Serializer() != s {
				t.Errorf("%v: number %d is %v, not %v", d, id, h.Serializer(), s)
			}
		}
	}
	for _, id := range []uint16{0, 5, 8, 42, 0xffff} {
		h := Head{Dialect: V502, SerializerID: id}
		if h.Serializer() != UnknownSerializer {
			t.Errorf("number %d is %v", id, h.Serializer())
		}
	}
	if got := SerializerByName("yaml"); got != UnknownSerializer {
		t.Errorf("yaml is %v", got)
	}
}

func TestNames(t *testing.T) {
	tests := []struct{ got, want string }{
		{V48.String(), "pyro4"}, {V502.String(), "pyro5"}, {Dialect(0).String(), "unknown"},
		{Dialect(47).String(), "protocol 47"},
		{Ping.String(), "PING"}, {Type(0).String(), "type 0"}, {Type(7).String(), "type 7"},
		{Serpent.String(), "serpent"}, {Serializer(200).String(), "serializer 200"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

// The steady path of a dispatcher parses a header for each message.
func TestHeadAllocations(t *testing.T) {
	for _, d := range []Dialect{V48, V502} {
		b := AppendHead(nil, sample(d))
		buf := make([]byte, 0, MaxHeadLen)
		got := testing.AllocsPerRun(100, func() {
			h, err := ParseHead(b)
			if err != nil {
				t.Fatal(err)
			}
			buf = AppendHead(buf[:0], h)
		})
		if got != 0 {
			t.Errorf("%v: %v allocations", d, got)
		}
	}
}

func BenchmarkParseHead(b *testing.B) {
	for _, d := range []Dialect{V48, V502} {
		b.Run(d.String(), func(b *testing.B) {
			head := AppendHead(nil, sample(d))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseHead(head); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestPrefixDialect(t *testing.T) {
	for _, test := range []struct {
		give string
		want Dialect
	}{
		{"PYRO\x00\x30", V48},
		{"PYRO\x01\xf6 and more", V502},
		{"PYRO\x00\x00", 0},
		{"PYRO\x01\xf7", 0},
		{"pyro\x00\x30", 0},
	} {
		if got := PrefixDialect([]byte(test.give)); got != test.want {
			t.Errorf("%q begins a header of %v, want %v", test.give, got, test.want)
		}
	}
}
