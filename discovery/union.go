package discovery

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
)

// Union makes one source of several: its members are those of all. It waits for
// none of them, except that it tells of no members only when each has said so.
// An address that several name counts once for each object, as the first of them has it.
func Union(sources ...backend.Source) backend.Source {
	if len(sources) == 1 {
		return sources[0]
	}
	return union(sources)
}

type union []backend.Source

func (u union) Run(ctx context.Context, set func([]backend.Member)) {
	m := &merger{groups: [][]part{make([]part, len(u))}, set: set}
	var wg sync.WaitGroup
	for i, source := range u {
		wg.Go(func() {
			source.Run(ctx, func(members []backend.Member) { m.know(0, i, members) })
		})
	}
	wg.Wait()
}

// merger puts together what several parties tell. They are in groups, in the
// order of preference: the first group that has members counts, alone.
type merger struct {
	set     func([]backend.Member)
	sort    bool      // by address, for parties whose order means nothing
	changed func(int) // a group was chosen, before set is called; may be nil

	mu     sync.Mutex
	groups [][]part
	told   bool
	group  int
	last   []backend.Member
}

// part is one party: what it said last.
type part struct {
	knowledge knowledge
	members   []backend.Member
}

type knowledge uint8

const (
	pending knowledge = iota // not heard of yet
	failing                  // it could not tell, and never could
	known
)

// know notes what a party says.
func (m *merger) know(group, i int, members []backend.Member) {
	m.note(group, i, part{known, members})
}

// fail notes that a party cannot tell. What it said before stays.
func (m *merger) fail(group, i int) {
	m.mu.Lock()
	before := m.groups[group][i].knowledge
	m.mu.Unlock()
	if before == pending {
		m.note(group, i, part{knowledge: failing})
	}
}

func (m *merger) note(group, i int, p part) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups[group][i] = p
	chosen, members, ok := m.choose()
	if !ok {
		return
	}
	members = unique(members)
	if m.sort {
		slices.SortFunc(members, func(a, b backend.Member) int {
			return cmp.Or(cmp.Compare(a.Address.String(), b.Address.String()), cmp.Compare(a.Object, b.Object))
		})
	}
	if m.told && slices.Equal(members, m.last) {
		return
	}
	if m.changed != nil && (!m.told || chosen != m.group) {
		m.changed(chosen)
	}
	m.told, m.group, m.last = true, chosen, members
	m.set(slices.Clone(members))
}

// choose returns the members of the first group that has any. A group that has
// not been heard of hides those after it, for the moment that it takes; one
// that could never be asked does not, since otherwise nobody would be served.
// That there are no members must be known of every party.
func (m *merger) choose() (group int, members []backend.Member, ok bool) {
	ok = true
	for g, parts := range m.groups {
		waiting := false
		for _, p := range parts {
			members = append(members, p.members...)
			waiting = waiting || p.knowledge == pending
			ok = ok && p.knowledge == known
		}
		if len(members) > 0 {
			return g, members, true
		}
		if waiting {
			return 0, nil, false
		}
	}
	return 0, nil, ok
}

// unique returns the members, each address once for every object: the first counts.
func unique(members []backend.Member) []backend.Member {
	type place struct {
		address backend.Address
		object  string
	}
	seen := make(map[place]bool, len(members))
	kept := make([]backend.Member, 0, len(members))
	for _, m := range members {
		if at := (place{m.Address, m.Object}); !seen[at] {
			seen[at] = true
			kept = append(kept, m)
		}
	}
	return kept
}
