package inflight

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// world plays calls by name: "A" is an endpoint on the host that hosts names.
type world struct {
	t     *testing.T
	g     *Graph
	hosts map[string]string
}

func newWorld(t *testing.T, hosts map[string]string) *world {
	return &world{t, New(1000, addr("10.9.9.9")), hosts}
}

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func (w *world) node(name string) Node { return Node{name, addr(w.hosts[name])} }

// id is a client's id, or one of ours for the origin of its root.
func (w *world) from(id byte, source string) Origin {
	return Origin{Correlation: [16]byte{id}, Source: addr(w.hosts[source])}
}

func made(o Origin) Origin { o.Made = true; return o }

func (w *world) begin(o Origin, target string, due time.Duration) *Call {
	return w.g.Begin(o, w.g.Look(o), w.node(target), due)
}

// check looks, and compares everything that is asked for.
func (w *world) check(what string, o Origin, target string, nested, certain bool, kind Kind, circle string) Parents {
	w.t.Helper()
	p := w.g.Look(o)
	c, k := p.Circle(w.node(target))
	if p.Nested() != nested || p.Certain() != certain || k != kind || c.String() != circle {
		w.t.Errorf("%s: nested %v, certain %v, %v %q; want %v, %v, %v %q", what, p.Nested(), p.Certain(), k, c.String(), nested, certain, kind, circle)
	}
	if k != None && c.Correlation != o.Correlation {
		w.t.Errorf("%s: the circle has id %x", what, c.Correlation)
	}
	return p
}

var (
	oneHost  = map[string]string{"root": "127.0.0.1", "A": "127.0.0.1", "B": "::1", "C": "127.0.0.2"}
	distinct = map[string]string{"root": "10.0.0.1", "A": "10.0.0.2", "B": "10.0.0.3", "C": "10.0.0.4"}
)

// TestLine: root → A → B → C, and what C could call then.
func TestLine(t *testing.T) {
	tests := []struct {
		name    string
		hosts   map[string]string
		made    bool
		certain bool
		depth   int
		to      map[string]string // kind and circle
	}{
		{"our id, distinct hosts", distinct, true, true, 3, map[string]string{
			"A": "certain A → B → C → A", "B": "certain B → C → B", "C": "certain C → C", "D": "none "}},
		{"our id, one host", oneHost, true, true, 1, map[string]string{
			"A": "certain A → B → C → A", "B": "possible B → C → B", "C": "possible C → C", "D": "none "}},
		{"client's id, distinct hosts", distinct, false, true, 3, map[string]string{
			"A": "certain A → B → C → A", "B": "certain B → C → B", "C": "certain C → C", "D": "none "}},
		{"client's id, one host", oneHost, false, false, 0, map[string]string{
			"A": "possible A → B → C → A", "B": "possible B → C → B", "C": "possible C → C", "D": "none "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.hosts)
			root := w.from(1, "root")
			root.Made = test.made
			a := w.begin(root, "A", 10*time.Second)
			b := w.begin(w.from(1, "A"), "B", 9*time.Second)
			c := w.begin(w.from(1, "B"), "C", 0)
			o := w.from(1, "C")
			p := w.g.Look(o)
			if !p.Nested() || p.Certain() != test.certain || p.Depth() != test.depth || p.Parent() != c {
				t.Errorf("nested %v, certain %v, depth %d, parent %v", p.Nested(), p.Certain(), p.Depth(), p.Parent())
			}
			for target, want := range test.to {
				circle, kind := p.Circle(w.node(target))
				if got := fmt.Sprint(kind, " ", circle); got != want {
					t.Errorf("to %s: %s, want %s", target, got, want)
				}
			}
			if n := p.Holding("B"); n != 1 {
				t.Errorf("%d at B", n)
			}
			for _, call := range []*Call{c, b, a, a} {
				call.End()
			}
			if n := w.g.Len(); n != 0 || p.Holding("B") != 0 {
				t.Errorf("%d calls are left", n)
			}
			w.check("afterwards", o, "A", false, false, None, "")
		})
	}
}

// TestSelf: a method that calls its own daemon.
func TestSelf(t *testing.T) {
	for _, hosts := range []map[string]string{oneHost, distinct} {
		w := newWorld(t, hosts)
		w.begin(made(w.from(1, "root")), "A", 0)
		w.check("self", w.from(1, "A"), "A", true, true, Certain, "A → A")
	}
}

// TestHosts: what addresses tell.
func TestHosts(t *testing.T) {
	tests := []struct {
		name, root, endpoint, source string
		own                          bool
		nested, certain              bool
	}{
		{"all on one remote host", "10.0.0.1", "10.0.0.1", "10.0.0.1", true, true, false},
		{"from another host", "10.0.0.1", "10.0.0.2", "10.0.0.3", true, false, false},
		{"from the endpoint", "10.0.0.1", "10.0.0.2", "10.0.0.2", true, true, true},
		{"mapped", "10.0.0.1", "10.0.0.2", "::ffff:10.0.0.2", true, true, true},
		{"zones", "fe80::1", "fe80::2%eth0", "fe80::2%eth1", true, true, true},
		{"Unix sockets", "", "127.0.0.1", "", true, true, false},
		{"loopback", "", "127.0.0.1", "::1", true, true, false},
		{"mapped loopback", "10.0.0.1", "127.0.0.1", "::ffff:127.0.0.1", true, true, true},
		{"an address of ours", "10.0.0.1", "10.9.9.9", "127.0.0.1", true, true, true},
		{"not an address of ours", "10.0.0.1", "10.0.0.2", "127.0.0.1", true, false, false},
		{"perhaps an address of ours", "10.0.0.1", "10.0.0.2", "127.0.0.1", false, true, false},
		{"endpoint not known", "10.0.0.1", "", "10.0.0.3", true, true, true},
		{"bound to any", "10.0.0.1", "0.0.0.0", "10.0.0.3", true, true, true},
		{"the other family", "fd00::1", "fd00::2", "10.0.0.2", true, true, false},
	}
	for _, test := range tests {
		g := New(10)
		if test.own {
			g = New(10, addr("10.9.9.9"))
		}
		o := Origin{Correlation: [16]byte{1}, Source: addr(test.root)}
		g.Begin(o, g.Look(o), Node{"A", addr(test.endpoint)}, 0)
		o.Source = addr(test.source)
		p := g.Look(o)
		if p.Nested() != test.nested || p.Certain() != test.certain {
			t.Errorf("%s: nested %v, certain %v", test.name, p.Nested(), p.Certain())
		}
	}
}

// TestNAT: where clients' addresses are not those of endpoints, ids of ours still tell.
func TestNAT(t *testing.T) {
	w := newWorld(t, map[string]string{"root": "10.7.7.7", "NAT": "10.7.7.7", "A": "10.0.0.2", "B": "10.0.0.3"})
	w.begin(made(w.from(1, "root")), "A", 0)
	w.check("one call", w.from(1, "NAT"), "A", true, true, Certain, "A → A")
	w.begin(w.from(1, "NAT"), "B", 0)
	w.check("two", w.from(1, "NAT"), "B", true, true, Possible, "B → B")
	w.begin(w.from(2, "root"), "A", 0)
	w.check("a client's id", w.from(2, "NAT"), "A", false, false, None, "")
}

// TestParallel: a program that uses one id for a thousand calls at once.
func TestParallel(t *testing.T) {
	w := newWorld(t, oneHost)
	o := w.from(1, "root")
	var calls []*Call
	for i := range 1000 {
		p := w.g.Look(o)
		if p.Certain() || p.Depth() != 0 || p.Nested() != (i > 0) || i > 64 && p.Parent() != nil {
			t.Fatalf("call %d: certain %v, depth %d, nested %v, parent %v", i, p.Certain(), p.Depth(), p.Nested(), p.Parent())
		}
		if _, kind := p.Circle(w.node("A")); kind == Certain {
			t.Fatalf("call %d closes a circle", i)
		}
		calls = append(calls, w.g.Begin(o, p, w.node("A"), 0))
	}
	p := w.g.Look(o)
	if n := p.Holding("A"); n != 1000 || w.g.Len() != 1000 {
		t.Errorf("%d at A, %d in all", n, w.g.Len())
	}
	if c := w.begin(o, "A", 0); c != nil || w.g.Untracked() != 1 {
		t.Errorf("there was room for %v", c)
	}
	for _, c := range calls {
		c.End()
	}
	if w.g.Len() != 0 {
		t.Errorf("%d calls are left", w.g.Len())
	}
}

// TestBounded: beyond what is looked at nothing is certain, whoever made the id.
func TestBounded(t *testing.T) {
	w := newWorld(t, distinct)
	root := made(w.from(1, "root"))
	w.begin(root, "A", 0)
	var calls []*Call
	for range maxSlots {
		w.check("as long as there are few", w.from(1, "A"), "A", true, true, Certain, "A → A")
		calls = append(calls, w.begin(w.from(1, "A"), "B", 0))
	}
	w.check("too many", w.from(1, "A"), "A", true, false, Possible, "A → A")
	last := w.begin(w.from(1, "A"), "C", 0)
	w.check("from one that is not looked at", w.from(1, "C"), "A", true, false, None, "")
	last.End()
	calls[maxSlots-1].End()
	w.check("few again", w.from(1, "A"), "A", true, true, Certain, "A → A")
}
