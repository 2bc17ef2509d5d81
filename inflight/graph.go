package inflight

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Node is an endpoint.
type Node struct {
	Name string     // identifies it, in whichever clusters it is: its address
	Host netip.Addr // its IP address; zero: not known
}

// Origin is where a call comes from.
type Origin struct {
	// Correlation is its id. With a zero one a call is a root, unless Chain tells.
	Correlation [16]byte
	// Made: the dispatcher made the id just now, so the call is a root.
	Made   bool
	Source netip.Addr // the client's; zero: it came through a Unix socket
	Chain  Chain      // from the call annotation, not to be changed; nil: there is none
}

// shards is how many locks the graph has: a call takes that of its tree.
const shards = 64

// Graph holds the calls in flight. It is safe for concurrent use.
type Graph struct {
	max       int64
	calls     atomic.Int64
	untracked atomic.Uint64
	own       map[netip.Addr]struct{}

	prefix uint64        // the upper half of our call ids
	ids    atomic.Uint32 // the lower half of the last one
	spread atomic.Uint32

	shards [shards]shard
	links  [shards]links
	names  names
	log    circles
}

// New makes a graph that keeps max calls at most. own are this machine's addresses;
// without them any address may be ours, as well as loopback ones, which always are.
func New(max int, own ...netip.Addr) *Graph {
	g := &Graph{max: int64(max), own: make(map[netip.Addr]struct{}), prefix: uint64(rand.Uint32()) << 32}
	g.ids.Store(rand.Uint32())
	for _, a := range own {
		g.own[a.Unmap().WithZone("")] = struct{}{}
	}
	for i := range g.shards {
		g.shards[i].graph = g
		g.shards[i].trees = make(map[[16]byte]*tree)
	}
	return g
}

// Len is how many calls are tracked now.
func (g *Graph) Len() int { return int(g.calls.Load()) }

// Untracked is how many calls there was no room for so far.
func (g *Graph) Untracked() uint64 { return g.untracked.Load() }

// Look finds what may be the parents of a call that has just come.
func (g *Graph) Look(o Origin) Parents {
	p := Parents{graph: g, correlation: o.Correlation}
	if o.Chain != nil {
		g.follow(&p, o)
		return p
	}
	if o.Made || o.Correlation == [16]byte{} {
		return p
	}
	s := g.shard(o.Correlation)
	s.mu.Lock()
	if t := s.trees[o.Correlation]; t != nil {
		t.candidates(&p, g.source(o.Source))
	}
	s.mu.Unlock()
	return p
}

// Begin puts a call into the graph that goes to target and must be over at due (0:
// it has no deadline). It has to be called before a byte of it is written: its
// method may call back at once. p is what Look found, however long ago: a parent
// began before its child came. A call that is sent again begins again. The result
// is nil, whose methods do nothing, where there is no room; End gives the room back.
func (g *Graph) Begin(o Origin, p Parents, target Node, due time.Duration) *Call {
	tracked := g.calls.Add(1) <= g.max
	if !tracked {
		g.calls.Add(-1)
		g.untracked.Add(1)
	}
	t, s := g.lock(o.Correlation, p.tree)
	defer s.mu.Unlock()
	if !tracked {
		s.lose(o.Correlation, t)
		return nil
	}
	var c *Call
	if t != nil {
		c = new(Call)
	} else {
		// One allocation for the two, which is all that most calls need.
		both := new(struct {
			call Call
			tree tree
		})
		c, t = &both.call, &both.tree
		t.shard, t.made = s, o.Made
		t.calls = t.first[:0]
		if o.Correlation != [16]byte{} {
			t.key, t.keyed = o.Correlation, true
			s.trees[t.key] = t
		}
	}
	c.tree, c.name, c.place, c.due = t, target.Name, g.place(target), due
	c.certain, c.depth, c.chain, c.exact = p.certain, p.depth, p.chain, p.exact
	if t == p.tree {
		c.parents = p.still()
	}
	if c.parents != p.mask {
		c.certain = false // the one that was its parent may be over
	}
	if p.parent != nil && p.parent.tree == t && p.parent.slot >= 0 {
		c.line, c.lineSeq = p.parent.slot, p.parent.seq
	}
	switch {
	case !p.certain:
		t.roots.add(g.source(o.Source))
	case p.mask == 0 || p.after > 0:
		t.roots.add(anywhere) // its root may have come through another dispatcher
	}
	t.add(c)
	return c
}

// lock gives the tree that a call belongs into, nil if it is to be made, and its
// shard, locked.
func (g *Graph) lock(correlation [16]byte, found *tree) (*tree, *shard) {
	if found != nil {
		s := found.shard
		s.mu.Lock()
		if !found.gone {
			return found, s
		}
		s.mu.Unlock()
	}
	if correlation == [16]byte{} {
		s := &g.shards[g.spread.Add(1)%shards]
		s.mu.Lock()
		return nil, s
	}
	s := g.shard(correlation)
	s.mu.Lock()
	return s.trees[correlation], s
}

func (g *Graph) shard(correlation [16]byte) *shard {
	h := binary.NativeEndian.Uint64(correlation[:]) ^ binary.NativeEndian.Uint64(correlation[8:])
	return &g.shards[h*0x9e3779b97f4a7c15>>32%shards]
}

// shard is a part of the graph, with a lock for all trees in it.
type shard struct {
	graph *Graph
	mu    sync.Mutex
	trees map[[16]byte]*tree
	// lasting are trees that may be empty and stay for a while, because calls that
	// are not in the graph may go on: oneway ones, and those there was no room for.
	lasting [64]*tree
	next    int
}

// lose notes that a call of the tree t, which may be nil, is not in the graph.
func (s *shard) lose(correlation [16]byte, t *tree) {
	switch {
	case t != nil:
		t.loose.add(anywhere)
	case correlation != [16]byte{}:
		t = &tree{shard: s, key: correlation, keyed: true}
		t.loose.add(anywhere)
		s.trees[correlation] = t
		s.keep(t)
	}
}

// keep makes an empty tree stay until as many others have been kept.
func (s *shard) keep(t *tree) {
	if old := s.lasting[s.next]; old != nil {
		old.lasting = false
		if old.empty() {
			old.gone = true
			delete(s.trees, old.key)
		}
	}
	t.lasting = true
	s.lasting[s.next] = t
	s.next = (s.next + 1) % len(s.lasting)
}
