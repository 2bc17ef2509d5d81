package inflight

import "net/netip"

// Places are hosts, as far as addresses tell them apart: an address without zone,
// or one of these two.
var (
	here     = netip.Addr{}            // this machine, under whichever address
	anywhere = netip.IPv4Unspecified() // not known
)

// source is the place of a client with this address.
func (g *Graph) source(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return here
	}
	a = a.Unmap().WithZone("")
	switch _, own := g.own[a]; {
	case a.IsUnspecified():
		return anywhere
	case a.IsLoopback() || own:
		return here
	}
	return a
}

// place is that of an endpoint.
func (g *Graph) place(n Node) netip.Addr {
	if !n.Host.IsValid() {
		return anywhere
	}
	return g.source(n.Host)
}

// same tells whether two places may be one: a host may have an address of each
// kind, and unless we know all of our own, any may be ours.
func (g *Graph) same(a, b netip.Addr) bool {
	switch {
	case a == b || a == anywhere || b == anywhere:
		return true
	case a == here || b == here:
		return len(g.own) == 0
	}
	return a.Is4() != b.Is4()
}

// places is a small set of places; the zero value is empty. With more than it has
// room for it becomes the set of all.
type places struct {
	list [2]netip.Addr
	n    uint8
}

func (s *places) add(a netip.Addr) {
	for _, have := range s.list[:s.n] {
		if have == a || have == anywhere {
			return
		}
	}
	if a == anywhere || int(s.n) == len(s.list) {
		s.list[0], s.n = anywhere, 1
		return
	}
	s.list[s.n] = a
	s.n++
}

func (s *places) empty() bool { return s.n == 0 }

// has tells whether a may be one of them.
func (s *places) has(g *Graph, a netip.Addr) bool {
	for _, have := range s.list[:s.n] {
		if g.same(have, a) {
			return true
		}
	}
	return false
}
