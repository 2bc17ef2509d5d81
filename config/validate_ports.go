package config

import (
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// minForget is the shortest time that means anything to what is done once a second.
const minForget = time.Second

// storages checks where things are kept, and that each has a place of its own.
func (v *validator) storages() {
	if v.Topics.Enabled() {
		v.storage("topics.storage", &v.Topics.Storage)
	}
	if v.NameServer.Enabled() && v.NameServer.storesNames() {
		v.storage("name_server.storage", &v.NameServer.Storage)
	}
	type kept struct {
		path    string
		storage Storage
		used    bool
	}
	all := []kept{
		{"state_dir", v.PortsStorage(), v.needsPorts()},
		{"topics.storage", v.TopicsStorage(), v.Topics.Enabled()},
		{"name_server.storage", v.NamesStorage(), v.NameServer.Enabled() && v.NameServer.storesNames()},
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if a.used && b.used && a.storage.clashesWith(b.storage) && !v.source.unreadWithin(a.path) && !v.source.unreadWithin(b.path) {
				v.problem(a.path, "is the place of %s as well: each needs its own", map[string]string{
					"state_dir": "the ports", "topics.storage": "topics.storage",
				}[b.path])
			}
		}
	}
}

func (s Storage) clashesWith(o Storage) bool {
	switch {
	case s.Kind != o.Kind:
		return false
	case s.Kind == StorageFile:
		return filepath.Clean(s.Path) == filepath.Clean(o.Path)
	case s.Kind == StorageConsul:
		a, b := s.Prefix+"/", o.Prefix+"/"
		return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
	}
	return false
}

func (v *validator) storage(path string, s *StorageChoice) {
	file, consul := join(path, "file"), join(path, "consul")
	v.text(file, "the name of a file", s.File)
	v.text(consul, "the beginning of a key", s.Consul)
	if strings.HasPrefix(s.Consul, "/") || strings.Contains(s.Consul, "//") || s.Consul != "" && strings.Trim(s.Consul, "/") == "" {
		v.problem(consul, "%q: keys do not begin with a slash, and have no two together", s.Consul)
	}
	if s.File != "" && s.Consul != "" {
		v.problem(consul, "is given together with file: give one of them")
		return
	}
	if v.source.unreadWithin(path) {
		return
	}
	switch {
	case s.Kind != "" && s.Kind != StorageFile && s.File != "":
		v.problem(file, "means nothing with kind: %s", s.Kind)
	case s.Kind != "" && s.Kind != StorageConsul && s.Consul != "":
		v.problem(consul, "means nothing with kind: %s", s.Kind)
	case s.Kind == StorageFile && s.File == "" && v.StateDir == "":
		v.problem(v.shortPath(path, "kind"), "needs file, or state_dir")
	}
}

// expose checks the ports of a cluster's endpoints.
func (v *validator) expose(path string, c *Cluster, listeners *references) {
	ports, address, listener := join(path, "ports"), join(path, "expose_address"), join(path, "expose_listener")
	if c.Expose != ExposePerEndpoint {
		for _, key := range []struct {
			path  string
			given bool
		}{{ports, !c.Ports.IsZero()}, {address, c.ExposeAddress != ""}, {listener, c.ExposeListener != ""}} {
			if key.given && !v.source.unread[join(path, "expose")] {
				v.problem(key.path, "means nothing with expose: %s, only with expose: %s", c.Expose, ExposePerEndpoint)
			}
		}
		return
	}
	if c.Ports.IsZero() {
		v.problem(ports, "is missing: expose: %s needs ports, as in 20000-20999", c.Expose)
	}
	if _, err := netip.ParseAddr(c.ExposeAddress); err != nil && !isHostName(c.ExposeAddress) {
		v.problem(address, "%q is not a host: write a name or an address, without a port", c.ExposeAddress)
	}
	v.throughListener(listener, c.ExposeListener, listeners, true, "a port has a host")
}

// ExposeHost returns the host at which the ports of the cluster's endpoints are, ""
// for every local address.
func (c *Config) ExposeHost(cluster *Cluster) string {
	if cluster.ExposeAddress != "" {
		return cluster.ExposeAddress
	}
	return hostOf(c.tcpListener(cluster.ExposeListener))
}

// ExposeThrough returns the listener whose settings the ports of the cluster's
// endpoints have, nil where there is none.
func (c *Config) ExposeThrough(cluster *Cluster) *Listener {
	return c.tcpListener(cluster.ExposeListener)
}

func hostOf(l *Listener) string {
	if l == nil {
		return ""
	}
	host, _, _ := l.Address.hostPort()
	return host
}

// bound is ports at a host, which something is going to listen at.
type bound struct {
	path, host string
	ports      PortRange
	what       string
}

// portRanges refuses ranges of ports that others are in.
func (v *validator) portRanges() {
	var all []bound
	one := func(path string, a Address) {
		host, port, tcp := a.hostPort()
		if n, err := strconv.Atoi(port); tcp && err == nil && n > 0 {
			all = append(all, bound{path, host, PortRange{n, n}, a.String()})
		}
	}
	one("admin.address", v.Admin.Address)
	for i, l := range v.Listeners {
		one(index("listeners", i), l.Address)
	}
	for i, l := range v.NameServer.Listeners {
		one(index("name_server.listeners", i), l.Address)
	}
	singles := len(all)
	for i := range v.Clusters {
		if c := &v.Clusters[i]; c.Expose == ExposePerEndpoint {
			all = append(all, bound{join(index("clusters", i), "ports"), v.ExposeHost(c), c.Ports, c.Ports.String()})
		}
	}
	if n := &v.NameServer; n.Enabled() {
		all = append(all, bound{"name_server.ports", hostOf(v.NamesListener()), n.Ports, n.Ports.String()})
	}
	for i := singles; i < len(all); i++ {
		a := all[i]
		for _, b := range all[:i] {
			if a.ports.overlaps(b.ports) && (a.host == b.host || isWildcard(a.host) || isWildcard(b.host)) {
				v.problem(a.path, "%s overlaps with %s (%q)", a.ports, b.path, b.what)
				break
			}
		}
	}
}
