package inflight

import (
	"testing"
	"time"
)

// TestOneway: what a oneway call runs may call, and nobody waits.
func TestOneway(t *testing.T) {
	w := newWorld(t, distinct)
	a := w.begin(made(w.from(1, "root")), "A", 0)
	w.check("before", w.from(1, "A"), "A", true, true, Certain, "A → A")
	w.begin(w.from(1, "A"), "B", 0).Detach()
	if w.g.Len() != 1 {
		t.Errorf("%d calls in flight", w.g.Len())
	}
	w.check("from it", w.from(1, "B"), "A", true, false, None, "")
	w.check("from elsewhere", w.from(1, "A"), "A", true, true, Certain, "A → A")
	nested := w.begin(w.from(1, "B"), "C", 0)
	w.check("below it", w.from(1, "C"), "C", true, true, Certain, "C → C")
	w.check("below it, to above it", w.from(1, "C"), "A", true, true, None, "")
	a.End()
	nested.End()
	w.check("for a while", w.from(1, "B"), "B", true, false, None, "")

	w = newWorld(t, oneHost)
	w.begin(made(w.from(1, "root")), "A", 0)
	w.begin(w.from(1, "A"), "B", 0).Detach()
	w.check("one host", w.from(1, "A"), "A", true, false, Possible, "A → A")
}

// TestForgotten: the memory of oneway calls is bounded.
func TestForgotten(t *testing.T) {
	w := newWorld(t, distinct)
	for i := range 100_000 {
		o := Origin{Correlation: [16]byte{byte(i), byte(i >> 8), byte(i >> 16)}, Made: true}
		w.begin(o, "A", 0).Detach()
	}
	trees := 0
	for i := range w.g.shards {
		trees += len(w.g.shards[i].trees)
	}
	if trees > shards*64 || w.g.Len() != 0 {
		t.Errorf("%d trees, %d calls", trees, w.g.Len())
	}
}

// TestAbandoned: a call that nobody waits for still runs.
func TestAbandoned(t *testing.T) {
	for _, hosts := range []map[string]string{oneHost, distinct} {
		w := newWorld(t, hosts)
		a := w.begin(made(w.from(1, "root")), "A", 10*time.Second)
		b := w.begin(w.from(1, "A"), "B", 2*time.Second)
		b.Abandon()
		p := w.g.Look(w.from(1, "A"))
		if p.Due() != 10*time.Second || p.Parent() != a {
			t.Errorf("the next call of A has till %v, and the parent %v", p.Due(), p.Parent())
		}
		if _, kind := p.Circle(w.node("A")); kind != Certain || p.Holding("B") != 1 {
			t.Errorf("%v, %d at B", kind, p.Holding("B"))
		}
		a.End()
		w.check("its parent is over", w.from(1, "B"), "B", true, true, Certain, "B → B")
		w.check("its parent was there", w.from(1, "B"), "A", true, true, None, "")
		b.End()
	}
}

// TestOrphan: where one that may have been the parent has ended, the others need not
// be it.
func TestOrphan(t *testing.T) {
	w := newWorld(t, map[string]string{"root": "10.0.0.1", "A": "10.0.0.2", "B": "10.0.0.2", "C": "10.0.0.3"})
	w.begin(w.from(1, "root"), "A", 0)
	b := w.begin(w.from(1, "root"), "B", 0)
	o := w.from(1, "A") // or B, which is on the same host
	early := w.g.Look(o)
	w.begin(o, "C", 0)
	w.check("both are there", w.from(1, "C"), "A", true, true, Possible, "A → C → A")
	b.End()
	w.check("one is", w.from(1, "C"), "A", true, true, Possible, "A → C → A")
	if c, kind := early.Circle(w.node("A")); kind != Possible {
		t.Errorf("looked before: %v %v", kind, c)
	}
	again := w.begin(w.from(1, "root"), "B", 0)
	if c, kind := early.Circle(w.node("B")); kind != None {
		t.Errorf("a later call is none's parent: %v %v", kind, c)
	}
	again.End()
}

// TestFailures are noted at the parents, and values are kept.
func TestFailures(t *testing.T) {
	w := newWorld(t, distinct)
	a := w.begin(made(w.from(1, "root")), "A", 3)
	a.SetValue("span")
	p := w.g.Look(w.from(1, "A"))
	b := w.begin(w.from(1, "A"), "B", 2)
	if p.Parent().Value() != "span" || p.Due() != 3 {
		t.Errorf("value %v, due %v", p.Parent().Value(), p.Due())
	}
	if a.ChildFailed() {
		t.Error("failed before")
	}
	b.Failed()
	b.End()
	if !a.ChildFailed() || b.ChildFailed() {
		t.Errorf("A's failed: %v, B's: %v", a.ChildFailed(), b.ChildFailed())
	}
	var none *Call
	none.SetValue(1)
	none.Failed()
	none.Abandon()
	none.Detach()
	none.End()
	if none.Value() != nil || string(none.Annotation()) != "\x01" || none.ChildFailed() {
		t.Error("a call that is not tracked does something")
	}
}

// TestUntracked: without all calls nothing is certain.
func TestUntracked(t *testing.T) {
	g := New(1, addr("10.9.9.9"))
	root := Origin{Correlation: [16]byte{1}, Source: addr("10.0.0.1")}
	first := g.Begin(root, g.Look(root), Node{"A", addr("10.0.0.2")}, 0)
	nested := Origin{Correlation: [16]byte{1}, Source: addr("10.0.0.2")}
	if p := g.Look(nested); !p.Certain() {
		t.Error("not certain before")
	}
	if c := g.Begin(root, g.Look(root), Node{"B", addr("10.0.0.2")}, 0); c != nil {
		t.Fatal("there was room")
	}
	if p := g.Look(nested); p.Certain() || !p.Nested() {
		t.Errorf("certain %v, nested %v", p.Certain(), p.Nested())
	}
	other := Origin{Correlation: [16]byte{2}, Source: addr("10.0.0.1")}
	g.Begin(other, g.Look(other), Node{"B", addr("10.0.0.2")}, 0)
	first.End()
	g.Begin(other, g.Look(other), Node{"A", addr("10.0.0.2")}, 0)
	other.Source = addr("10.0.0.2")
	if p := g.Look(other); p.Certain() || g.Untracked() != 2 || g.Len() != 1 {
		t.Errorf("certain %v, %d untracked, %d tracked", p.Certain(), g.Untracked(), g.Len())
	}
}

func TestReports(t *testing.T) {
	g := New(1)
	if len(g.Circles()) != 0 {
		t.Error("circles from nowhere")
	}
	for i := range 70 {
		g.Report(Circle{Correlation: [16]byte{byte(i)}, Names: []string{"A", "A"}}, Possible, time.Duration(i), i%2 == 0)
	}
	got := g.Circles()
	if len(got) != 64 || got[0].At != 69 || got[63].At != 6 || got[1].Correlation != [16]byte{68} || !got[1].Rejected || got[0].Rejected || got[0].Kind != Possible {
		t.Errorf("%d: %v", len(got), got)
	}
}
