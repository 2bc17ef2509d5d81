package inflight

import (
	"fmt"
	"slices"
	"sync"
)

// links finds calls by their ids, those that were asked for an annotation. Its lock
// is taken with a shard's held, never the other way round.
type links struct {
	mu    sync.Mutex
	calls map[uint64]*Call
}

// register gives a call an id that tells that it is ours, so that a link of ours
// which is not found is known to be over.
func (g *Graph) register(c *Call) uint64 {
	id := g.prefix | uint64(g.ids.Add(1))
	if id == 0 {
		id = g.prefix | uint64(g.ids.Add(1)) // 0 is none
	}
	l := &g.links[id%shards]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		l.calls = make(map[uint64]*Call)
	}
	l.calls[id] = c
	return id
}

func (g *Graph) unregister(id uint64) {
	l := &g.links[id%shards]
	l.mu.Lock()
	delete(l.calls, id)
	l.mu.Unlock()
}

// ours tells whether this dispatcher made the id, and gives the call if it is in
// flight.
func (g *Graph) ours(id uint64) (c *Call, ours bool) {
	if id&^(1<<32-1) != g.prefix {
		return nil, false
	}
	l := &g.links[id%shards]
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[id], true
}

// follow finds the parents of a call that has a chain.
func (g *Graph) follow(p *Parents, o Origin) {
	chain := o.Chain
	var anchor *Call // the last that is ours
	var after int    // how many links are behind it
	for i := len(chain) - 1; i >= 0; i-- {
		c, ours := g.ours(chain[i].Call)
		if ours && c == nil {
			chain = chain[i+1:] // it is over, so nothing above it waits for this one
			break
		}
		if c == nil {
			continue
		}
		if anchor == nil {
			anchor, after = c, len(chain)-1-i
		}
		var node uint64
		c.locked(func() { p.due, node = earliest(p.due, c.due), hashName(c.name) })
		if node != chain[i].Node { // it has moved since
			chain = slices.Clone(chain)
			chain[i].Node = node
		}
	}
	p.nested, p.certain = true, true
	p.chain, p.depth = chain, len(chain)
	if anchor == nil {
		if s := g.shard(o.Correlation); o.Correlation != [16]byte{} {
			s.mu.Lock()
			if t := s.trees[o.Correlation]; t != nil {
				p.tree, p.seq = t, t.seq
			}
			s.mu.Unlock()
		}
		return
	}
	anchor.locked(func() {
		t := anchor.tree
		if anchor.done {
			// It has ended since: what waits for this call is behind it, if anything.
			p.chain = chain[len(chain)-after:]
			p.depth, p.due = after, 0
			return
		}
		p.tree, p.seq, p.exact, p.after = t, t.seq, anchor, after
		p.depth = max(p.depth, anchor.depth+1+after)
		if anchor.slot >= 0 {
			p.mask = 1 << anchor.slot
		}
		if after == 0 {
			p.parent = anchor
		}
	})
}

// names remembers what endpoints are called whose hashes stand in annotations.
type names struct {
	mu    sync.RWMutex
	names map[uint64]string
}

// maxNames bounds them: those that come later are printed as hashes.
const maxNames = 4096

// add gives the hash of a name.
func (n *names) add(name string) uint64 {
	hash := hashName(name)
	n.mu.RLock()
	_, known := n.names[hash]
	n.mu.RUnlock()
	if known {
		return hash
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.names == nil {
		n.names = make(map[uint64]string)
	}
	if len(n.names) < maxNames {
		n.names[hash] = name
	}
	return hash
}

// of is the name with a hash, or else the hash in hexadecimal digits.
func (n *names) of(hash uint64) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if name, ok := n.names[hash]; ok {
		return name
	}
	return fmt.Sprintf("%016x", hash)
}
