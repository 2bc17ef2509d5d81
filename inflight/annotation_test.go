package inflight

import (
	"fmt"
	"testing"
	"time"
)

// chained is where a call comes from whose parent got this annotation.
func (w *world) chained(id byte, source string, annotation []byte) Origin {
	w.t.Helper()
	chain, err := ParseChain(annotation)
	if err != nil {
		w.t.Fatalf("%x: %v", annotation, err)
	}
	o := w.from(id, source)
	o.Chain = chain
	return o
}

// TestTwoDispatchers: root → A and B → C through one, A → B through another.
func TestTwoDispatchers(t *testing.T) {
	w, other := newWorld(t, oneHost), newWorld(t, oneHost)
	a := w.begin(made(w.from(1, "root")), "A", 5*time.Second)
	b := other.begin(other.chained(1, "A", a.Annotation()), "B", time.Second)
	other.check("the other knows hashes", other.chained(1, "B", b.Annotation()), "A", true, true, Certain,
		fmt.Sprintf("%016x → B → A", hashName("A")))

	o := w.chained(1, "B", b.Annotation())
	p := w.check("to A", o, "A", true, true, Certain, fmt.Sprintf("A → %016x → A", hashName("B")))
	if p.Parent() != nil || p.Depth() != 2 || p.Due() != 5*time.Second {
		t.Errorf("parent %v, depth %d, due %v", p.Parent(), p.Depth(), p.Due())
	}
	w.check("to B", o, "B", true, true, Certain, fmt.Sprintf("%016x → B", hashName("B")))
	w.check("to C", o, "C", true, true, None, "")
	c := w.begin(o, "C", 0)
	o = w.chained(1, "C", c.Annotation())
	p = w.check("from C", o, "A", true, true, Certain, fmt.Sprintf("A → %016x → C → A", hashName("B")))
	if p.Parent() != c || p.Depth() != 3 {
		t.Errorf("parent %v, depth %d", p.Parent(), p.Depth())
	}
	for _, call := range []*Call{a, b, c} {
		call.End()
	}
	w.check("ours are over", o, "A", true, true, None, "")
	if w.g.Len()+other.g.Len() != 0 {
		t.Error("calls are left")
	}
}

// TestAnnotation: it is exact where addresses and ids are not, and calls above the
// first that has one count too.
func TestAnnotation(t *testing.T) {
	w := newWorld(t, oneHost)
	a := w.begin(w.from(1, "root"), "A", 0)
	w.begin(w.from(1, "root"), "B", 0)
	w.begin(w.from(1, "root"), "B", 0).Detach()
	o := w.chained(1, "A", a.Annotation())
	p := w.check("its own daemon", o, "A", true, true, Certain, "A → A")
	if p.Parent() != a || p.Depth() != 1 {
		t.Errorf("parent %v, depth %d", p.Parent(), p.Depth())
	}
	w.check("a sibling's", o, "B", true, true, None, "")
	c := w.begin(o, "C", 0)
	c.Failed()
	if !a.ChildFailed() {
		t.Error("A was not told")
	}
	// The id that its daemon made up, as with correlation ids that are left alone.
	w.check("another id", w.chained(2, "C", c.Annotation()), "A", true, true, Certain, "A → C → A")
	oneway := w.begin(o, "C", 0)
	oneway.Detach()
	w.check("a oneway call", w.chained(1, "C", oneway.Annotation()), "A", true, true, None, "")

	w = newWorld(t, distinct)
	w.begin(made(w.from(1, "root")), "A", 0)
	b := w.begin(w.from(1, "A"), "B", 0)
	p = w.check("the first has none", w.chained(1, "B", b.Annotation()), "A", true, true, Certain, "A → B → A")
	if p.Depth() != 2 {
		t.Errorf("depth %d", p.Depth())
	}
}

// TestLongChain: what is above the last links is forgotten, not the call itself.
func TestLongChain(t *testing.T) {
	g := New(100)
	o := Origin{}
	for i := range MaxChain + 8 {
		p := g.Look(o)
		if p.Depth() != i {
			t.Fatalf("call %d has depth %d", i, p.Depth())
		}
		c := g.Begin(o, p, Node{Name: fmt.Sprint(i)}, 0)
		chain, err := ParseChain(c.Annotation())
		if err != nil || len(chain) != min(i+1, MaxChain) {
			t.Fatalf("call %d: %d links, %v", i, len(chain), err)
		}
		o.Chain = chain
	}
	// The graph knows more than the chain.
	p := g.Look(o)
	if c, kind := p.Circle(Node{Name: "0"}); kind != Certain || len(c.Names) != MaxChain+9 {
		t.Errorf("%v: %v", kind, c)
	}
}

// TestNames: those that nobody asked an annotation for are bounded too.
func TestNames(t *testing.T) {
	var n names
	for i := range 2 * maxNames {
		n.add(fmt.Sprint(i))
	}
	if len(n.names) != maxNames || n.of(hashName("1")) != "1" || len(n.of(hashName("5000"))) != 16 {
		t.Errorf("%d names, %q, %q", len(n.names), n.of(hashName("1")), n.of(hashName("5000")))
	}
}
