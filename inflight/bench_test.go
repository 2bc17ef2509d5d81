package inflight

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

var (
	client = netip.MustParseAddr("10.0.0.1")
	target = Node{Name: "10.0.0.2:9090", Host: netip.MustParseAddr("10.0.0.2")}
)

// BenchmarkRoot is what a call costs that has nothing to do with others.
func BenchmarkRoot(b *testing.B) {
	for _, made := range []bool{true, false} {
		b.Run(map[bool]string{true: "ours", false: "client's"}[made], func(b *testing.B) {
			g := New(100_000)
			b.ReportAllocs()
			var n uint64
			for b.Loop() {
				n++
				o := Origin{Made: made, Source: client}
				binary.BigEndian.PutUint64(o.Correlation[:], n*0x9e3779b97f4a7c15)
				p := g.Look(o)
				p.Circle(target)
				g.Begin(o, p, target, time.Second).End()
			}
		})
	}
}

// BenchmarkParallel is one of many calls with one id.
func BenchmarkParallel(b *testing.B) {
	g := New(100_000)
	o := Origin{Correlation: [16]byte{1}, Source: target.Host}
	for range 10_000 {
		g.Begin(o, g.Look(o), target, time.Second)
	}
	b.ReportAllocs()
	for b.Loop() {
		p := g.Look(o)
		p.Circle(target)
		g.Begin(o, p, target, time.Second).End()
	}
}

// TestAllocations: what a root call costs is a promise to the relay.
func TestAllocations(t *testing.T) {
	g := New(10)
	o := Origin{Correlation: [16]byte{1}, Source: client}
	g.Begin(o, g.Look(o), target, 0)
	other := Origin{Correlation: [16]byte{2}, Source: client}
	if n := testing.AllocsPerRun(100, func() {
		p := g.Look(other)
		p.Circle(target)
	}); n != 0 {
		t.Errorf("looking allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { g.Begin(other, g.Look(other), target, 0).End() }); n > 1 {
		t.Errorf("a call allocates %v times", n)
	}
}
