package inflight

import (
	"net/netip"
	"testing"
)

// TestLate: a call begins long after it was looked at, when others have come and gone.
func TestLate(t *testing.T) {
	w := newWorld(t, map[string]string{"root": "10.0.0.1", "A": "10.0.0.2", "B": "10.0.0.2", "C": "10.0.0.3"})
	w.begin(w.from(1, "root"), "A", 0)
	b := w.begin(w.from(1, "root"), "A", 0)
	o := w.from(1, "B")
	p := w.g.Look(o)
	b.End()
	c := w.g.Begin(o, p, w.node("C"), 0)
	w.check("it may have been that one's", w.from(1, "C"), "A", true, true, Possible, "A → C → A")
	c.End()

	// Its whole tree has gone, and there may be a new one.
	for _, again := range []bool{false, true} {
		w := newWorld(t, distinct)
		a := w.begin(w.from(1, "root"), "A", 0)
		o := w.from(1, "A")
		p := w.g.Look(o)
		a.End()
		if again {
			w.begin(w.from(1, "root"), "A", 0)
		}
		w.g.Begin(o, p, w.node("B"), 0)
		w.check("from it", w.from(1, "B"), "B", true, true, Certain, "B → B")
		w.check("not above it", w.from(1, "B"), "A", true, true, None, "")
	}
}

// TestParentInCrowd: an annotation names a call that has no slot.
func TestParentInCrowd(t *testing.T) {
	w := newWorld(t, oneHost)
	var last *Call
	for range maxSlots + 1 {
		last = w.begin(w.from(1, "root"), "A", 0)
	}
	o := w.chained(1, "A", last.Annotation())
	p := w.check("its own daemon", o, "A", true, true, Certain, "A → A")
	if p.Parent() != last {
		t.Errorf("parent %v", p.Parent())
	}
	c := w.begin(o, "B", 0)
	w.check("below", w.chained(1, "B", c.Annotation()), "A", true, true, Certain, "A → B → A")
	c.Failed()
	if !last.ChildFailed() {
		t.Error("the parent was not told")
	}
	w.g.Look(w.from(1, "A"))
}

// TestFull: what is kept of calls that there was no room for is bounded.
func TestFull(t *testing.T) {
	g := New(0)
	for i := range 50_000 {
		o := Origin{Correlation: [16]byte{byte(i), byte(i >> 8)}, Made: true}
		g.Begin(o, g.Look(o), Node{Name: "A"}, 0).End()
	}
	trees := 0
	for i := range g.shards {
		trees += len(g.shards[i].trees)
	}
	if trees > shards*64 || g.Untracked() != 50_000 || g.Len() != 0 {
		t.Errorf("%d trees, %d untracked, %d tracked", trees, g.Untracked(), g.Len())
	}
}

// A call that is sent again is where it was sent last, with a slot or without.
func TestMove(t *testing.T) {
	g := New(100)
	a, b := Node{Name: "a", Host: netip.MustParseAddr("192.0.2.1")}, Node{Name: "b", Host: netip.MustParseAddr("192.0.2.2")}
	id := [16]byte{1}
	root := Origin{Correlation: id, Made: true}
	var calls []*Call
	for range maxSlots + 1 {
		calls = append(calls, g.Begin(root, g.Look(root), a, 0))
	}
	calls[0].Move(b)
	calls[maxSlots].Move(b)
	p := g.Look(Origin{Correlation: id, Source: b.Host})
	if in, out := p.Holding("b"), p.Holding("a"); in != 2 || out != maxSlots-1 {
		t.Errorf("%d calls at b and %d at a", in, out)
	}
	for _, c := range calls {
		c.End()
		c.Move(a) // too late
	}
	if n := g.Len(); n != 0 {
		t.Errorf("%d calls are left", n)
	}
}
