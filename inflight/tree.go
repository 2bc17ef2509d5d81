package inflight

import (
	"iter"
	"math/bits"
	"net/netip"
	"time"
)

// maxSlots is how many calls of a tree are looked at; what is a parent is kept as
// bits. A program may use one id for thousands of calls, but methods do not call
// each other that deep.
const maxSlots = 64

// tree is all calls in flight with one correlation id. Its shard's lock guards it
// and its calls.
type tree struct {
	shard *shard
	key   [16]byte
	keyed bool // it is found by its key
	made  bool // the key was made here: whoever knows it is a descendant
	gone  bool // it has been empty, and left the graph

	lasting bool   // in the shard's list
	seq     uint64 // of the call that began last
	alive   uint64 // the slots in use
	calls   []*Call
	first   [2]*Call

	crowd map[string]int // calls without a slot, by their endpoints; nil: none
	roots places         // where calls came from that may be roots, ended ones too
	loose places         // where calls may run that are not in the graph any more
}

func (t *tree) empty() bool { return t.alive == 0 && len(t.crowd) == 0 }

// candidates notes in p which calls may be the parents of one that comes from
// source.
func (t *tree) candidates(p *Parents, source netip.Addr) {
	g := t.shard.graph
	p.tree, p.seq = t, t.seq
	for slot := range slots(t.alive) {
		if g.same(t.calls[slot].place, source) {
			p.mask |= 1 << slot
		}
	}
	others := len(t.crowd) > 0 || t.loose.has(g, source)
	if t.made && p.mask == 0 && !others {
		// It is one of them all the same: hosts are not what they seem.
		p.mask, others = t.alive, !t.loose.empty()
	}
	p.nested = p.mask != 0 || others
	p.certain = p.mask != 0 && !others && (t.made || !t.roots.has(g, source))

	// Nobody waits for an abandoned call, and its time is over: it says nothing as
	// long as the call may come from another.
	waited := p.mask
	for slot := range slots(p.mask) {
		if t.calls[slot].abandoned {
			waited &^= 1 << slot
		}
	}
	if waited == 0 {
		waited = p.mask
	}
	depth := -1
	for slot := range slots(p.mask) {
		c := t.calls[slot]
		if waited&(1<<slot) != 0 {
			p.due = earliest(p.due, c.due)
		}
		if depth < 0 || c.depth < depth {
			depth = c.depth
		}
	}
	if p.certain {
		p.depth = depth + 1
	}
	if !others {
		p.parent = t.deepest(waited)
	}
}

// deepest is the last of the calls in the mask if all of them seem to be nested in
// each other.
func (t *tree) deepest(mask uint64) *Call {
	var last *Call
	for slot := range slots(mask) {
		if c := t.calls[slot]; last == nil || c.seq > last.seq {
			last = c
		}
	}
	for c := last; c != nil; {
		if mask &^= 1 << c.slot; mask == 0 {
			return last
		}
		// Numbers begin at 1: one that has no parent finds none.
		above := t.calls[c.line]
		if t.alive&(1<<c.line) == 0 || above.seq != c.lineSeq {
			return nil
		}
		c = above
	}
	return nil
}

// add gives a call its number and a slot, if there is one.
func (t *tree) add(c *Call) {
	t.seq++
	c.seq = t.seq
	if t.alive == 1<<maxSlots-1 {
		t.joinCrowd(c.name)
		c.slot = -1
		return
	}
	c.slot = int8(bits.TrailingZeros64(^t.alive))
	t.alive |= 1 << c.slot
	if int(c.slot) == len(t.calls) {
		t.calls = append(t.calls, c)
	} else {
		t.calls[c.slot] = c
	}
}

// remove takes a call out. What it may be a parent of is left with the others, of
// which perhaps none is one.
func (t *tree) remove(c *Call) {
	if c.slot < 0 {
		t.leaveCrowd(c.name)
	} else {
		bit := uint64(1) << c.slot
		t.alive &^= bit
		t.calls[c.slot] = nil
		for slot := range slots(t.alive) {
			if other := t.calls[slot]; other.parents&bit != 0 {
				other.parents &^= bit
				other.certain = false
			}
		}
	}
	if !t.empty() || t.lasting {
		return
	}
	if t.gone = true; !t.keyed {
		return
	}
	if t.loose.empty() {
		delete(t.shard.trees, t.key)
		return
	}
	// A copy, for this one may be in the same piece of memory as a call.
	kept := &tree{shard: t.shard, key: t.key, keyed: true, made: t.made, roots: t.roots, loose: t.loose}
	t.shard.trees[t.key] = kept
	t.shard.keep(kept)
}

func (t *tree) joinCrowd(name string) {
	if t.crowd == nil {
		t.crowd = make(map[string]int)
	}
	t.crowd[name]++
}

func (t *tree) leaveCrowd(name string) {
	if t.crowd[name]--; t.crowd[name] == 0 {
		delete(t.crowd, name)
	}
}

// slots are the numbers of the bits that are set.
func slots(mask uint64) iter.Seq[int8] {
	return func(yield func(int8) bool) {
		for ; mask != 0; mask &= mask - 1 {
			if !yield(int8(bits.TrailingZeros64(mask))) {
				return
			}
		}
	}
}

// earliest is the earlier of two deadlines, of which 0 is none.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
