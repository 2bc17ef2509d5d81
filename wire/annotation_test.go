package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chunks concatenates annotations given as "IDENvalue".
func chunks(d Dialect, list ...string) []byte {
	var b []byte
	for _, s := range list {
		b = AppendChunk(b, d, Chunk{ID: [4]byte([]byte(s)), Value: []byte(s[4:])})
	}
	return b
}

func TestAnnotations(t *testing.T) {
	big := "BIGG" + strings.Repeat("x", 65535)
	tests := []struct {
		name    string
		dialect Dialect
		give    []byte
		want    []string
		err     error
	}{
		{"none", V48, nil, nil, nil},
		{"48, one", V48, []byte("ABCD\x00\x05value"), []string{"ABCDvalue"}, nil},
		{"502, one", V502, []byte("ABCD\x00\x00\x00\x05value"), []string{"ABCDvalue"}, nil},
		{"48, empty value", V48, []byte("ABCD\x00\x00"), []string{"ABCD"}, nil},
		{"502, empty value", V502, []byte("ABCD\x00\x00\x00\x00"), []string{"ABCD"}, nil},
		{"48, several", V48, chunks(V48, "AAAA1", "BBBB", "AAAA2"), []string{"AAAA1", "BBBB", "AAAA2"}, nil},
		{"502, several", V502, chunks(V502, "AAAA1", "BBBB", "AAAA2"), []string{"AAAA1", "BBBB", "AAAA2"}, nil},
		{"48, longest value", V48, chunks(V48, big), []string{big}, nil},
		{"502, longer than 48 can", V502, chunks(V502, big+"y"), []string{big + "y"}, nil},

		{"48, half a chunk head", V48, []byte("ABCD\x00"), nil, ErrAnnotations},
		{"502, half a chunk head", V502, []byte("ABCD\x00\x00\x00"), nil, ErrAnnotations},
		{"502, chunk of 48", V502, []byte("ABCD\x00\x01x"), nil, ErrAnnotations},
		{"48, value one short", V48, []byte("ABCD\x00\x05valu"), nil, ErrAnnotations},
		{"502, value one short", V502, []byte("ABCD\x00\x00\x00\x05valu"), nil, ErrAnnotations},
		{"48, greatest length", V48, []byte("ABCD\xff\xffvalue"), nil, ErrAnnotations},
		{"502, greatest length", V502, []byte("ABCD\xff\xff\xff\xffvalue"), nil, ErrAnnotations},
		{"48, one byte left over", V48, append(chunks(V48, "AAAA1"), 'x'), []string{"AAAA1"}, ErrAnnotations},
		{"502, second chunk overruns", V502, []byte("AAAA\x00\x00\x00\x011BBBB\x00\x00\x00\x02x"), []string{"AAAA1"}, ErrAnnotations},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			var err error
			for rest := test.give; len(rest) > 0 && err == nil; {
				var c Chunk
				if c, rest, err = NextChunk(test.dialect, rest); err == nil {
					got = append(got, string(c.ID[:])+string(c.Value))
				}
			}
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if test.err == nil && !bytes.Equal(chunks(test.dialect, got...), test.give) {
				t.Error("the chunks are re-encoded otherwise")
			}
		})
	}
}

// A chunk's value is a part of the buffer, not a copy.
func TestChunkAliases(t *testing.T) {
	b := chunks(V502, "ABCDvalue")
	c, _, err := NextChunk(V502, b)
	if err != nil {
		t.Fatal(err)
	}
	b[8] = 'V'
	if string(c.Value) != "Value" {
		t.Errorf("the value is %q", c.Value)
	}
}

func TestCorrelation(t *testing.T) {
	const id = "0123456789abcdef"
	const other = "fedcba9876543210"
	v502 := func(flags uint16) Head {
		return Head{Dialect: V502, Flags: flags, Correlation: [16]byte([]byte(id))}
	}
	tests := []struct {
		name        string
		head        Head
		annotations []byte
		want        string
		err         error
	}{
		{"502, flagged", v502(64), nil, id, nil},
		{"502, not flagged", v502(0xffff &^ 64), nil, "", nil},
		{"502, flagged, all zero", Head{Dialect: V502, Flags: 64}, nil, strings.Repeat("\x00", 16), nil},
		{"502, chunk means nothing", v502(0), chunks(V502, "CORR"+other), "", nil},
		{"502, header beats chunk", v502(64), chunks(V502, "CORR"+other), id, nil},
		{"502, broken chunks", v502(64), []byte("CORR"), id, ErrAnnotations},
		{"48, none", Head{Dialect: V48}, nil, "", nil},
		{"48, the flag bit of 502 means nothing", Head{Dialect: V48, Flags: 64}, nil, "", nil},
		{"48, chunk", Head{Dialect: V48}, chunks(V48, "CORR"+id), id, nil},
		{"48, among others", Head{Dialect: V48}, chunks(V48, "AAAA", "CORR"+id, "HMACx"), id, nil},
		{"48, the last one counts", Head{Dialect: V48}, chunks(V48, "CORR"+id, "CORR"+other), other, nil},
		{"48, too short", Head{Dialect: V48}, chunks(V48, "CORR"+id[1:]), "", nil},
		{"48, too long", Head{Dialect: V48}, chunks(V48, "CORR"+id+"x"), "", nil},
		{"48, broken after it", Head{Dialect: V48}, append(chunks(V48, "CORR"+id), 'x'), id, ErrAnnotations},
		{"48, broken before it", Head{Dialect: V48}, []byte("AAAA\xff\xff"), "", ErrAnnotations},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok, err := Correlation(&test.head, test.annotations)
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if ok != (test.want != "") || ok && string(got[:]) != test.want {
				t.Errorf("got %q, %v", got, ok)
			}
		})
	}
}

func TestCorrelationAllocations(t *testing.T) {
	h := Head{Dialect: V48}
	annotations := chunks(V48, "AAAAvalue", "CORR0123456789abcdef")
	got := testing.AllocsPerRun(100, func() {
		if _, ok, err := Correlation(&h, annotations); !ok || err != nil {
			t.Fatal(ok, err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}
