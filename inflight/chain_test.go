package inflight

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func TestChain(t *testing.T) {
	long := make(Chain, MaxChain+2)
	for i := range long {
		long[i] = Link{Call: uint64(i), Node: 7}
	}
	tests := []struct {
		name string
		give Chain
		want Chain
	}{
		{"empty", Chain{}, Chain{}},
		{"one", Chain{{1, 2}}, Chain{{1, 2}}},
		{"the longest", long[:MaxChain], long[:MaxChain]},
		{"the root-most are left out", long, long[2:]},
	}
	for _, test := range tests {
		got, err := ParseChain(test.give.Append(nil))
		if err != nil || got == nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
	if got := (Chain{{1, 0x0203}}).Append([]byte("x")); string(got) != "x\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02\x03" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"", "\x00", "\x02", "\x01a", "\x01" + string(make([]byte, 15)), "\x01" + string(make([]byte, (MaxChain+1)*16))} {
		if c, err := ParseChain([]byte(bad)); !errors.Is(err, ErrChain) {
			t.Errorf("%q: %v, %v", bad, c, err)
		}
	}
}

func FuzzChain(f *testing.F) {
	f.Add([]byte{1})
	f.Add(Chain{{1, 2}, {3, 4}}.Append(nil))
	f.Add(make(Chain, MaxChain).Append(nil))
	f.Add([]byte{2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseChain(b)
		if err != nil {
			return
		}
		if got := c.Append(nil); !bytes.Equal(got, b) || len(c) > MaxChain {
			t.Errorf("%x: %x", b, got)
		}
		// Whatever a client makes up, the graph bears it.
		g := New(10)
		o := Origin{Chain: c}
		p := g.Look(o)
		p.Circle(Node{Name: "a"})
		g.Begin(o, p, Node{Name: "a"}, 0).End()
		if g.Len() != 0 {
			t.Error("a call is left")
		}
	})
}
