package inflight

import (
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Parents is what may be the parent of one call. It tells what was so when Look was
// called, except where it says "now". The zero value is that of a root.
type Parents struct {
	graph       *Graph
	correlation [16]byte
	tree        *tree  // nil: there was none
	seq         uint64 // of the last call then: later ones have later numbers
	mask        uint64 // the slots of the calls that may be a parent
	nested      bool
	certain     bool
	due         time.Duration
	depth       int
	parent      *Call

	chain Chain // what is left of the annotation's
	exact *Call // the last link that is ours, which is a parent or above one
	after int   // how many links are behind that
}

// Nested tells whether a call may be its parent, or a oneway call's method may have
// made it.
func (p *Parents) Nested() bool { return p.nested }

// Certain tells whether it certainly is nested in one of the calls in flight, or has
// a call annotation.
func (p *Parents) Certain() bool { return p.certain }

// Due is the earliest deadline of what may be its parent, without abandoned calls
// where there are others; with a call annotation, of all our calls above it. 0: none
// has one.
func (p *Parents) Due() time.Duration { return p.due }

// Depth is how many calls are above it, at least; so it is 0 unless Certain.
func (p *Parents) Depth() int { return p.depth }

// Parent is its parent where there is only one that may be, or where all of them
// seem to be nested in each other, the innermost; else nil. It may still be a root:
// see Certain.
func (p *Parents) Parent() *Call { return p.parent }

// Holding is how many calls of its tree are at the endpoint with this name now.
func (p *Parents) Holding(target string) (n int) {
	if p.tree == nil {
		return 0
	}
	p.tree.shard.mu.Lock()
	defer p.tree.shard.mu.Unlock()
	for slot := range slots(p.tree.alive) {
		if p.tree.calls[slot].name == target {
			n++
		}
	}
	return n + p.tree.crowd[target]
}

// Kind is how sure a circle is.
type Kind uint8

const (
	None     Kind = iota
	Possible      // some call that may be its parent gives a circle
	Certain       // all of them do, and it is nested in one
)

func (k Kind) String() string { return [...]string{"none", "possible", "certain"}[k] }

// Circle is a chain of calls that ends where it began.
type Circle struct {
	Correlation [16]byte
	Names       []string // of endpoints, the root-most first, and last again
}

// String joins the names with arrows.
func (c Circle) String() string { return strings.Join(c.Names, " → ") }

// Circle tells whether the call would close a circle now if it went to target, and
// gives it: the most probable where the calls form a line, else the shortest.
func (p *Parents) Circle(target Node) (Circle, Kind) {
	if p.tree == nil && len(p.chain) == 0 {
		return Circle{}, None
	}
	if len(p.chain) > 0 {
		hash := hashName(target.Name)
		for i := len(p.chain) - 1; i >= 0; i-- {
			if p.chain[i].Node == hash {
				return Circle{p.correlation, append(p.called(p.chain[i:]), target.Name)}, Certain
			}
		}
	}
	if p.tree == nil {
		return Circle{}, None
	}
	path, kind := p.search(target.Name)
	if kind == None {
		return Circle{}, None
	}
	path = append(path, p.called(p.chain[len(p.chain)-p.after:])...)
	return Circle{p.correlation, append(path, target.Name)}, kind
}

// search looks for target among the calls above this one.
func (p *Parents) search(target string) (path []string, kind Kind) {
	s := search{tree: p.tree, target: target}
	p.tree.shard.mu.Lock()
	defer p.tree.shard.mu.Unlock()
	defer func() {
		// Where the calls form a line, that is the way it most probably was.
		if line := p.line(target); kind != None && line != nil {
			path = line
		}
	}()
	still := p.still()
	all, best := p.certain && still == p.mask && still != 0, int8(-1)
	for slot := range slots(still) {
		s.visit(slot)
		if s.certain&(1<<slot) == 0 {
			all = false
		}
		best = s.shorter(best, slot)
	}
	if best < 0 {
		return nil, None
	}
	for n := s.dist[best]; n > 0; n-- {
		path = append(path, p.tree.calls[best].name)
		best = s.above[best]
	}
	slices.Reverse(path)
	if all {
		return path, Certain
	}
	return path, Possible
}

// line is the way down from the nearest call to target along the line of calls that
// seem to be nested in each other, nil where there is none. The shard must be locked.
func (p *Parents) line(target string) (path []string) {
	t, c := p.tree, p.parent
	for c != nil && c.tree == t && !c.done {
		path = append(path, c.name)
		if c.name == target {
			slices.Reverse(path)
			return path
		}
		above := t.calls[c.line]
		if t.alive&(1<<c.line) == 0 || above == nil || above.seq != c.lineSeq {
			return nil
		}
		c = above
	}
	return nil
}

// still are the slots of mask where the call is that was there then. The shard must
// be locked.
func (p *Parents) still() uint64 {
	mask := p.mask & p.tree.alive
	for slot := range slots(mask) {
		if p.tree.calls[slot].seq > p.seq {
			mask &^= 1 << slot
		}
	}
	return mask
}

// search is one search for an endpoint upwards from some calls. Every call is visited
// once, and there is an end, since parents are older than children.
type search struct {
	tree    *tree
	target  string
	visited uint64
	certain uint64          // those above which, or at which, target certainly is
	dist    [maxSlots]uint8 // how many calls are in the shortest way there; 0: none is
	above   [maxSlots]int8  // the next one on it
}

func (s *search) visit(slot int8) {
	bit := uint64(1) << slot
	if s.visited&bit != 0 {
		return
	}
	s.visited |= bit
	c := s.tree.calls[slot]
	if c.name == s.target {
		s.certain |= bit
		s.dist[slot] = 1
		return
	}
	best := int8(-1)
	for parent := range slots(c.parents) {
		s.visit(parent)
		best = s.shorter(best, parent)
	}
	if best >= 0 {
		s.dist[slot], s.above[slot] = s.dist[best]+1, best
		if c.certain && c.parents&^s.certain == 0 {
			s.certain |= bit
		}
	}
}

// shorter is the slot with the shorter way, -1 where neither has one.
func (s *search) shorter(a, b int8) int8 {
	if s.dist[b] != 0 && (a < 0 || s.dist[b] < s.dist[a]) {
		return b
	}
	return a
}

// called are the names of links, as far as they are known.
func (p *Parents) called(chain Chain) []string {
	known := make(map[uint64]string, bits.OnesCount64(p.mask))
	if p.tree != nil && len(chain) > 0 {
		p.tree.shard.mu.Lock()
		for slot := range slots(p.tree.alive) {
			name := p.tree.calls[slot].name
			known[hashName(name)] = name
		}
		p.tree.shard.mu.Unlock()
	}
	var out []string
	for _, l := range chain {
		name, ok := known[l.Node]
		if !ok {
			name = p.graph.names.of(l.Node)
		}
		out = append(out, name)
	}
	return out
}
