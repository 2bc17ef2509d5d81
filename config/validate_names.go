package config

import (
	"slices"
	"strings"
)

const (
	maxListeners = 10_000
	maxTopics    = 100_000
	maxNames     = 1_000_000
)

// ownObjects are in every daemon, or in every name server.
var ownObjects = []string{"Pyro.Daemon", "Pyro.NameServer"}

func (v *validator) topics(path string, t *Topics) {
	object := v.shortPath(path, "object")
	switch {
	case t.Object == "":
	case strings.ContainsAny(t.Object, " @"):
		v.problem(object, "%q cannot stand in a URI: leave out blanks and @", t.Object)
	case slices.Contains(ownObjects, t.Object):
		v.problem(object, "%q is an object of Pyro's own", t.Object)
	default:
		v.plain(object, t.Object)
		v.topicsAlone(object, t)
	}
	listeners := v.namesOf("listeners", len(v.Listeners), func(i int) string { return v.Listeners[i].Name })
	v.listenerNames(join(path, "listener"), t.Listener, &listeners)
	if allow := join(path, "allow"); len(t.Allow) == 0 && v.source.has(allow) {
		v.problem(allow, "is empty: no listener could register")
	}
	v.count(join(path, "max_listeners"), t.MaxListeners, 1, maxListeners)
	v.count(join(path, "max_topics"), t.MaxTopics, 1, maxTopics)
	v.durationOrNone(join(path, "forget_after"), t.ForgetAfter, minForget, 30*day)
	v.wait(path, t.Delivery, t.Wait)
	v.times(path, times{call: t.Timeout})
	v.plain(join(path, "handshake"), t.Handshake)
}

// topicsAlone refuses a route for the same object: only one of them would be reached.
func (v *validator) topicsAlone(path string, t *Topics) {
	for i := range v.Routes {
		m := &v.Routes[i].Match
		if m.PerCall() || len(m.Listener) > 0 && len(t.Listener) > 0 &&
			!slices.ContainsFunc(m.Listener, func(name string) bool { return slices.Contains(t.Listener, name) }) {
			continue
		}
		for _, p := range m.Object {
			if id, exact := p.Exact(); exact && id == t.Object {
				v.problem(path, "%q is also the object of %s (%q): a client could not reach both", t.Object, index("routes", i), v.Routes[i].Name)
				return
			}
		}
	}
}

func (v *validator) nameServer(path string, n *NameServer, taken names) {
	list := join(path, "listeners")
	for i, l := range n.Listeners {
		at := index(list, i)
		if l.Name != l.Address.String() {
			v.name(taken, at, l.Name, false)
		}
		v.nameAddress(v.shortPath(at, "address"), i)
		v.broadcastAddress(join(at, "broadcast"), i)
	}
	listeners := v.namesOf("listeners", len(v.Listeners), func(i int) string { return v.Listeners[i].Name })
	v.throughListener(join(path, "listener"), n.Listener, &listeners, n.Enabled(), "names have addresses with a host and a port")
	v.count(join(path, "max_names"), n.MaxNames, 1, maxNames)
	v.groups(join(path, "groups"), n.Groups)
	v.upstream(path, n)
}

func (v *validator) nameAddress(path string, i int) {
	a := v.NameServer.Listeners[i].Address
	switch a.Network {
	case "":
		v.problem(path, "is empty")
		return
	case "unix":
		v.problem(path, "%q: a name server is at a host and a port", a)
		return
	}
	for j, other := range v.Listeners {
		if a.clashesWith(other.Address) {
			v.problem(path, "%q is already taken by %s (%q)", a, index("listeners", j), other.Address)
			return
		}
	}
	for j, other := range v.NameServer.Listeners[:i] {
		if a.clashesWith(other.Address) {
			v.problem(path, "%q is already taken by %s (%q)", a, index("name_server.listeners", j), other.Address)
			return
		}
	}
	if a.clashesWith(v.Admin.Address) {
		v.problem(path, "%q is already taken by the admin server (%q)", a, v.Admin.Address)
	}
}

// broadcastAddress checks one that was written. It is of UDP, and so clashes only with
// others of its kind.
func (v *validator) broadcastAddress(path string, i int) {
	a := v.NameServer.Listeners[i].Broadcast.Address
	if a.IsZero() {
		return
	}
	if _, port, tcp := a.hostPort(); !tcp || port == "0" {
		v.problem(path, "%q: broadcasts come to a port, as in :%s", a, broadcastPort)
		return
	}
	for j, other := range v.NameServer.Listeners[:i] {
		if a.clashesWith(other.Broadcast.Address) {
			v.problem(path, "%q is already taken by %s (%q)", a, index("name_server.listeners", j), other.Broadcast.Address)
			return
		}
	}
}

// throughListener checks the name of a listener, or that there is one to take, which
// has to have a host and a port.
func (v *validator) throughListener(path, name string, listeners *references, needed bool, why string) {
	l := v.tcpListener(name)
	switch {
	case listeners.unsure:
	case name != "" && l == nil:
		v.problem(path, "there is no listener %q%s", name, listeners)
	case name != "" && l.Address.Network == "unix":
		v.problem(path, "%q is a Unix socket: %s", name, why)
	case needed && l == nil && len(v.Listeners) > 0 && !v.listensOnTCP():
		v.problem(path, "is missing: all listeners are Unix sockets, and %s", why)
	}
}

func (v *validator) groups(path string, groups []NameGroup) {
	for i, g := range groups {
		at := index(path, i)
		if !validName.MatchString(g.Name) {
			v.problem(join(at, "name"), "%q is not a name: use letters, digits, dots, hyphens and underscores, beginning with a letter or digit", g.Name)
		}
		prefix := join(at, "prefix")
		if g.Prefix == "" {
			v.problem(prefix, "is empty: it would be every name")
			continue
		}
		v.text(prefix, "the beginning of a name", g.Prefix)
		for j, earlier := range groups[:i] {
			if earlier.Prefix != "" && strings.HasPrefix(g.Prefix, earlier.Prefix) {
				v.problem(prefix, "%q begins with %q: such names are in %s (%q)", g.Prefix, earlier.Prefix, index(path, j), earlier.Name)
				break
			}
		}
	}
}

func (v *validator) upstream(path string, n *NameServer) {
	at := v.shortPath(join(path, "upstream"), "address")
	if !n.UsesUpstream() {
		return
	}
	v.otherNameServer(at, n.Upstream.Address)
	for _, key := range []string{"storage", "max_names"} {
		if v.source.has(join(path, key)) {
			v.problem(join(path, key), "means nothing with upstream, which keeps the names")
		}
	}
}

// otherNameServer checks the address of one that is not ours.
func (v *validator) otherNameServer(path string, a Address) {
	host, port, tcp := a.hostPort()
	switch {
	case !tcp:
		v.problem(path, "%q: a name server is at a host and a port", a)
		return
	case isWildcard(host):
		v.problem(path, "%q names no host: a name server is at one, as in localhost:%s", a, port)
		return
	case port == "0":
		v.problem(path, "%q: a name server cannot be at port 0", a)
		return
	}
	for i, own := range v.NameServer.Listeners {
		if own.Address == a {
			v.problem(path, "%q is %s itself", a, index("name_server.listeners", i))
		}
	}
	for i, own := range v.Listeners {
		if own.Address == a {
			v.problem(path, "%q is %s itself, which is no name server", a, index("listeners", i))
		}
	}
}

func (v *validator) nameSource(path string, n *NameSource) {
	v.duration(join(path, "interval"), n.Interval, minForget, day)
	v.text(join(path, "prefix"), "the beginning of a name", n.Prefix)
	v.text(join(path, "regex"), "a regular expression", n.Regex)
	v.texts(join(path, "metadata_all"), "metadata", n.MetadataAll)
	v.texts(join(path, "metadata_any"), "metadata", n.MetadataAny)
	address := join(path, "address")
	if n.Address.IsZero() {
		if v.source.has(address) {
			v.problem(address, "is empty")
		}
		return
	}
	v.otherNameServer(address, n.Address)
	if n.Prefix == "" && n.Regex == "" && len(n.MetadataAll) == 0 && len(n.MetadataAny) == 0 && !v.source.unreadWithin(path) {
		v.problem(path, "takes every name: give at least one of prefix, regex, metadata_all and metadata_any")
	}
}
