package config

import (
	"slices"
	"strconv"
	"strings"
)

// routes checks what routes refer to, and that each can be reached.
func (v *validator) routes() {
	switch {
	case v.makesRoutes():
	case len(v.Routes) == 0:
		v.problem("routes", "there are none: every client would be refused")
	case len(v.source.unread) == 0 && !slices.ContainsFunc(v.Routes, func(r Route) bool { return !r.Match.PerCall() }):
		v.problem("routes", "all are for single calls (match.blob, match.annotation): without one that a CONNECT matches, every client would be refused")
	}
	listeners := v.namesOf("listeners", len(v.Listeners), func(i int) string { return v.Listeners[i].Name })
	clusters := v.namesOf("clusters", len(v.Clusters), func(i int) string { return v.Clusters[i].Name })
	taken := make(names)
	unread := v.unreadMatches()
	var readable []int // the routes before this one, less the unread
	for i := range v.Routes {
		r := &v.Routes[i]
		path := index("routes", i)
		if r.Name != "" || r.Cluster != "" || r.answered() != "" {
			// Where none is given, that is the problem.
			derived := v.source.has(path) && !v.source.has(join(path, "name"))
			v.name(taken, path, r.Name, derived)
		}
		v.routeCluster(join(path, "cluster"), r, &clusters)
		v.match(join(path, "match"), &r.Match, &listeners)
		v.calls(path, r)
		v.answer(path, r)
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
		switch {
		case !r.Answer.IsZero() || v.source.has(join(parent(path), "answer")):
		case v.source.has(path):
			v.problem(path, "is empty")
		default:
			v.problem(path, "is missing")
		}
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
	found := c.DNS.Name != "" || !c.NameServer.Address.IsZero()
	if found && (c.Dialect == 0 || slices.Contains(r.Match.Dialect, c.Dialect)) {
		return
	}
	if len(c.Static) == 0 && !found { // which is said elsewhere
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
	if r.alwaysCall() {
		key := "answer"
		if r.Match.PerCall() {
			key = "match." + r.Match.perCallKey()
		}
		v.problem(join(path, "mode"), "cannot be %s with %s, only %s", r.Mode, key, ModeCall)
		return
	}
	if v.source.unreadWithin(join(path, "match")) || v.source.unreadWithin(join(path, "answer")) {
		return // what the default is depends on these
	}
	if r.Idempotent {
		v.problem(join(path, "idempotent"), "means nothing with mode: %s, only with mode: %s", r.Mode, ModeCall)
	}
	if !r.CacheHandshake {
		v.problem(join(path, "cache_handshake"), "means nothing with mode: %s, only with mode: %s", r.Mode, ModeCall)
	}
}

func (v *validator) match(path string, m *Match, listeners *references) {
	v.listenerNames(join(path, "listener"), m.Listener, listeners)
	v.conditions(path, m)
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

// listenerNames checks a list of names of listeners.
func (v *validator) listenerNames(path string, names []string, listeners *references) {
	for i, name := range names {
		if _, ok := listeners.position[name]; ok || listeners.unsure {
			continue
		}
		at := path
		if elem := index(at, i); v.source.has(elem) {
			at = elem
		}
		v.problem(at, "there is no listener %q%s", name, listeners)
	}
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
