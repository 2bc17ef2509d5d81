package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// routes checks what routes refer to, and that each can be reached.
func (v *validator) routes() {
	if len(v.Routes) == 0 && v.Consul.Discover.Tag == "" {
		v.problem("routes", "there are none: every client would be refused")
	}
	listeners := v.namesOf("listeners", len(v.Listeners), func(i int) string { return v.Listeners[i].Name })
	clusters := v.namesOf("clusters", len(v.Clusters), func(i int) string { return v.Clusters[i].Name })
	taken := make(names)
	unread := v.unreadMatches()
	var readable []int // the routes before this one, less the unread
	for i := range v.Routes {
		r := &v.Routes[i]
		path := index("routes", i)
		if r.Name != "" || r.Cluster != "" {
			// Where neither is given, that is the problem.
			derived := v.source.has(path) && !v.source.has(join(path, "name"))
			v.name(taken, path, r.Name, derived)
		}
		v.routeCluster(join(path, "cluster"), r, &clusters)
		v.match(join(path, "match"), &r.Match, &listeners)
		v.mode(path, r)
		v.times(path, times{r.Timeout, r.ConnectTimeout, r.SendTimeout, r.IdleTimeout, r.QueueTimeout})
		v.nesting(path, r.Timeout, r.MaxDepth, r.BudgetMargin, r.MinBudget)
		if unread[path] {
			continue
		}
		for _, j := range readable {
			if earlier := &v.Routes[j]; earlier.Match.covers(&r.Match) {
				v.problem(path, "is never reached: every client it matches is taken by %s (%q)", index("routes", j), earlier.Name)
				break
			}
		}
		readable = append(readable, i)
	}
}

// references are the names that a key may refer to.
type references struct {
	position map[string]int
	names    []string
	unsure   bool // some name could not be read: no reference is known to be wrong
}

func (v *validator) namesOf(list string, length int, name func(int) string) references {
	refs := references{position: make(map[string]int), unsure: v.source.unread[list]}
	for i := range length {
		elem := index(list, i)
		refs.unsure = refs.unsure || v.source.unread[elem] ||
			v.source.unread[join(elem, "name")] || v.source.unread[join(elem, "address")]
		refs.names = append(refs.names, name(i))
		refs.position[name(i)] = i
	}
	return refs
}

// maxListed bounds how many names a message lists.
const maxListed = 10

// String lists the names for a message, as the end of its sentence.
func (r *references) String() string {
	switch n := len(r.names); {
	case n == 0:
		return ""
	case n == 1:
		return ": there is " + r.names[0]
	case n > maxListed:
		return ": there are " + strings.Join(r.names[:maxListed], ", ") + " and " + strconv.Itoa(n-maxListed) + " more"
	default:
		return ": there are " + strings.Join(r.names, ", ")
	}
}

func (v *validator) routeCluster(path string, r *Route, clusters *references) {
	if r.Cluster == "" {
		v.problem(path, "is empty")
		return
	}
	i, ok := clusters.position[r.Cluster]
	if !ok {
		if !clusters.unsure {
			v.problem(path, "there is no cluster %q%s", r.Cluster, clusters)
		}
		return
	}
	// A route whose clients none of its endpoints can serve.
	c := &v.Clusters[i]
	if len(r.Match.Dialect) == 0 || len(c.Consul.Service) > 0 { // whose instances may state any
		return
	}
	if c.DNS.Name != "" && (c.Dialect == 0 || slices.Contains(r.Match.Dialect, c.Dialect)) {
		return
	}
	if len(c.Static) == 0 && c.DNS.Name == "" { // which is said elsewhere
		return
	}
	for _, e := range c.Static {
		if e.Dialect == 0 || slices.Contains(r.Match.Dialect, e.Dialect) {
			return
		}
	}
	v.problem(path, "no endpoint of cluster %q speaks a dialect that the route matches", r.Cluster)
}

// mode refuses what would have no effect: an operator who wrote it expects one.
func (v *validator) mode(path string, r *Route) {
	if r.Mode == ModeCall || v.source.unread[join(path, "mode")] {
		return
	}
	if r.Idempotent {
		v.problem(join(path, "idempotent"), "means nothing with mode: %s, only with mode: %s", r.Mode, ModeCall)
	}
	if !r.CacheHandshake {
		v.problem(join(path, "cache_handshake"), "means nothing with mode: %s, only with mode: %s", r.Mode, ModeCall)
	}
}

func (v *validator) match(path string, m *Match, listeners *references) {
	for i, name := range m.Listener {
		if _, ok := listeners.position[name]; ok || listeners.unsure {
			continue
		}
		at := join(path, "listener")
		if elem := index(at, i); v.source.has(elem) {
			at = elem
		}
		v.problem(at, "there is no listener %q%s", name, listeners)
	}
	if len(m.Dialect) == 0 || len(m.Serializer) == 0 {
		return
	}
	for _, d := range m.Dialect {
		if slices.ContainsFunc(m.Serializer, func(s Serializer) bool { return s.spokenBy(d) }) {
			return
		}
	}
	v.problem(join(path, "serializer"), "matches nothing: only pyro4 has these serializers")
}

// unreadMatches returns the paths of the routes whose match Load could not
// read whole, so that nothing is known of what they match.
func (v *validator) unreadMatches() map[string]bool {
	routes := make(map[string]bool)
	for p := range v.source.unread {
		if end := strings.Index(p, "]") + 1; strings.HasPrefix(p, "routes[") {
			if p[end:] == "" || strings.HasPrefix(p[end:], ".match") {
				routes[p[:end]] = true
			}
		}
	}
	return routes
}

// covers reports whether m is sure to match whatever other matches. It is
// sound, not complete: it compares values, and does not work out that one
// pattern includes another or that two networks add up to a third.
func (m *Match) covers(other *Match) bool {
	return coversList(m.Listener, other.Listener, slices.Contains) &&
		coversList(m.Object, other.Object, coversPattern) &&
		coversList(m.Dialect, other.Dialect, slices.Contains) &&
		coversList(m.Serializer, other.Serializer, slices.Contains) &&
		coversList(m.Source, other.Source, coversPrefix)
}

// coversList compares one key of two matches, where no values mean that any is
// good, also one that cannot be known.
func coversList[T any](wide, narrow []T, covers func([]T, T) bool) bool {
	if len(wide) == 0 || len(narrow) == 0 {
		return len(wide) == 0
	}
	for _, n := range narrow {
		if !covers(wide, n) {
			return false
		}
	}
	return true
}

func coversPattern(wide []Pattern, narrow Pattern) bool {
	for _, w := range wide {
		if w == narrow || w == "*" {
			return true
		}
	}
	return false
}

func coversPrefix(wide []netip.Prefix, narrow netip.Prefix) bool {
	for _, w := range wide {
		if w.Bits() <= narrow.Bits() && w.Contains(narrow.Addr()) {
			return true
		}
	}
	return false
}
