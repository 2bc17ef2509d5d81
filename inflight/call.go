package inflight

import (
	"net/netip"
	"time"
)

// Call is a call in flight. Its methods may be called at any time, from any
// goroutine, and do nothing for nil. It takes room in the graph until End or Detach.
type Call struct {
	tree  *tree
	chain Chain // of the calls above it; not nil: from an annotation

	// What follows, the shard's lock guards.
	name    string
	place   netip.Addr
	due     time.Duration
	seq     uint64
	slot    int8
	line    int8   // what seems to be its parent: its slot,
	lineSeq uint64 // and its number; 0: nothing
	depth   int
	parents uint64 // the slots of those that may be its parents
	certain bool   // one of them is
	exact   *Call  // the parent that its chain names, with or without a slot

	id                             uint64 // 0: not used yet
	done, abandoned, nestedFailure bool
	value                          any
}

// Value is what SetValue was given last.
func (c *Call) Value() (value any) {
	c.locked(func() { value = c.value })
	return value
}

// SetValue keeps something of the caller's with the call, for those nested in it.
func (c *Call) SetValue(value any) {
	c.locked(func() { c.value = value })
}

// SetDue moves the deadline that Begin was given to due (0: it has none): the time of a
// call whose request is long in coming begins only when that is complete.
func (c *Call) SetDue(due time.Duration) {
	c.locked(func() { c.due = due })
}

// Move says that the call is sent again, to target: it has to be called before a byte is
// written. Of what was nested in it before, nothing explains another failure.
func (c *Call) Move(target Node) {
	c.locked(func() {
		if c.done {
			return
		}
		t := c.tree
		g := t.shard.graph
		if c.slot < 0 {
			t.leaveCrowd(c.name)
			t.joinCrowd(target.Name)
		}
		c.name, c.place, c.nestedFailure = target.Name, g.place(target), false
		if c.id != 0 {
			g.names.add(c.name)
		}
	})
}

// Annotation is a new call annotation for the call: the chain of those above it, and
// itself. Where the call is not tracked, oneway (after Detach) or over, it is an empty
// chain, which says that nobody is known to wait. A message that has a call annotation
// has to get this one in its place, on whichever route: what it has is its parent's.
func (c *Call) Annotation() []byte {
	var chain Chain
	c.locked(func() {
		if c.done {
			return
		}
		g := c.tree.shard.graph
		if c.id == 0 {
			c.id = g.register(c)
		}
		above := c.chain[max(0, len(c.chain)-MaxChain+1):]
		chain = append(make(Chain, 0, len(above)+1), above...)
		chain = append(chain, Link{Call: c.id, Node: g.names.add(c.name)})
	})
	return chain.Append(make([]byte, 0, 1+linkSize*len(chain)))
}

// Failed notes at whatever may be its parent that a call nested in it has failed.
// It has to be called before End, and before the client hears of it.
func (c *Call) Failed() {
	var exact *Call
	c.locked(func() {
		for slot := range slots(c.parents) {
			c.tree.calls[slot].nestedFailure = true
		}
		exact = c.exact
	})
	exact.locked(func() { exact.nestedFailure = true })
}

// ChildFailed tells whether a call that may be nested in this one has failed.
func (c *Call) ChildFailed() (failed bool) {
	c.locked(func() { failed = c.nestedFailure })
	return failed
}

// Detach is for a oneway call, before a byte of it is written: nobody waits for it,
// so it leaves the graph, but what it runs may make calls for as long as it likes.
func (c *Call) Detach() {
	c.locked(func() {
		if !c.done {
			c.tree.loose.add(c.place)
			c.leave()
		}
	})
}

// Abandon is for a call that nobody waits for any more, but that still runs: it
// stays until End, which is due when the daemon has let go of it.
func (c *Call) Abandon() {
	c.locked(func() { c.abandoned = true })
}

// End takes the call out of the graph, once.
func (c *Call) End() {
	c.locked(func() {
		if !c.done {
			c.leave()
		}
	})
}

func (c *Call) leave() {
	g := c.tree.shard.graph
	c.done = true
	c.tree.remove(c)
	c.parents, c.exact = 0, nil // a chain of calls that are over would stay for ever
	if c.id != 0 {
		g.unregister(c.id)
	}
	g.calls.Add(-1)
}

func (c *Call) locked(f func()) {
	if c != nil {
		s := c.tree.shard
		s.mu.Lock()
		f()
		s.mu.Unlock()
	}
}
