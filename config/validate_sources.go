package config

import (
	"net"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// endpoints checks where a cluster's endpoints come from. listening holds the
// paths of the listeners at each address.
func (v *validator) endpoints(path string, c *Cluster, listening map[Address]string) {
	if len(c.Static) == 0 && c.DNS.Name == "" && len(c.Consul.Service) == 0 && c.NameServer.Address.IsZero() {
		v.noEndpoints(path)
	}
	listed := make(map[Address]bool)
	for j, e := range c.Static {
		at := v.shortPath(index(join(path, "static"), j), "address")
		v.endpointAddress(at, e.Address)
		v.count(join(index(join(path, "static"), j), "weight"), e.Weight, 1, maxWeight)
		v.plain(join(index(join(path, "static"), j), "object"), e.Object)
		if e.Address.IsZero() {
			continue
		}
		if listed[e.Address] {
			v.problem(at, "%q is listed twice", e.Address)
		}
		listed[e.Address] = true
		if itself, ok := listening[e.Address]; ok {
			v.problem(at, "%q is %s itself: calls would go round in circles", e.Address, itself)
		}
	}
	v.dns(join(path, "dns"), &c.DNS)
	v.consulService(join(path, "consul"), &c.Consul)
	v.nameSource(join(path, "name_server"), &c.NameServer)
}

// noEndpoints says so at the source that was written, if there is only one.
func (v *validator) noEndpoints(path string) {
	static, dns, consul, names := join(path, "static"), join(path, "dns"), join(path, "consul"), join(path, "name_server")
	switch {
	case v.source.unreadWithin(static) || v.source.unreadWithin(dns) || v.source.unreadWithin(consul) || v.source.unreadWithin(names):
	case v.source.has(join(dns, "name")), v.source.has(join(consul, "service")), v.source.has(join(names, "address")): // written as nothing, which is said there
	case v.source.has(static) && !v.source.has(dns) && !v.source.has(consul) && !v.source.has(names):
		v.problem(static, "is empty: give the address of at least one daemon")
	default:
		v.problem(path, "has no endpoints: give at least one of static, dns, consul and name_server")
	}
}

// shortPath returns the path of a key that may stand in place of the mapping at
// path: that of the mapping where it does.
func (v *validator) shortPath(path, key string) string {
	if long := join(path, key); v.source.has(long) || v.source.unread[long] {
		return long
	}
	return path
}

func (v *validator) endpointAddress(path string, a Address) {
	host, port, tcp := a.hostPort()
	switch {
	case a.IsZero():
		v.problem(path, "is empty")
	case tcp && isWildcard(host):
		v.problem(path, "%q names no host: a daemon is at one, as in localhost:%s", a, port)
	case tcp && port == "0":
		v.problem(path, "%q: a daemon cannot be at port 0", a)
	}
}

func (v *validator) dns(path string, d *DNS) {
	v.duration(join(path, "interval"), d.Interval, time.Second, day)
	at := v.shortPath(path, "name")
	switch {
	case d.Name == "":
		if at != path { // it was written, as nothing
			v.problem(at, "is empty")
		}
	case v.source.unread[join(path, "type")]:
	case d.Type == DNSTypeSRV:
		if !isHostName(d.Name) {
			v.problem(at, "%q is not a name for type srv, which has no port: write it as in _pyro._tcp.lab", d.Name)
		}
	default:
		v.hostAndPort(at, d.Name)
	}
}

// hostAndPort checks a name that is looked up for its addresses.
func (v *validator) hostAndPort(path, name string) {
	a, err := ParseAddress(name)
	host, port, tcp := a.hostPort()
	switch {
	case err != nil:
		v.problem(path, "%v", err)
	case !tcp || host == "":
		v.problem(path, "%q is not a name for type a: write name and port, as in daemons.lab:5555", name)
	case port == "0":
		v.problem(path, "%q: a daemon cannot be at port 0", name)
	default:
		if _, err := netip.ParseAddr(host); err == nil {
			v.problem(path, "%q is an address, and needs no DNS: list it under static", net.JoinHostPort(host, port))
		}
	}
}

func (v *validator) consulService(path string, c *ConsulService) {
	services := v.shortPath(path, "service")
	if len(c.Service) == 0 && services != path {
		v.problem(services, "is empty: name at least one service")
	}
	v.texts(services, "a service", c.Service)
	v.texts(join(path, "tags"), "a tag", c.Tags)
	v.texts(join(path, "datacenters"), "a datacenter", c.Datacenters)
	v.text(join(path, "filter"), "a filter", c.Filter)
	v.text(join(path, "near"), "a node", c.Near)
}

// texts checks a list of names that Consul gives a meaning to.
func (v *validator) texts(path, kind string, list []string) {
	listed := make(map[string]bool)
	for i, text := range list {
		at := path
		if elem := index(path, i); v.source.has(elem) {
			at = elem
		}
		switch {
		case text == "":
			v.problem(at, "is empty")
		case listed[text]:
			v.problem(at, "%q is listed twice", text)
		}
		listed[text] = true
		v.text(at, kind, text)
	}
}

// text checks one such name, if it is not empty. Consul knows best what can be
// one; what cannot be meant is refused here.
func (v *validator) text(path, kind, text string) {
	switch {
	case len(text) > maxText:
		v.problem(path, "has %d bytes: at most %d", len(text), maxText)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || strings.TrimSpace(text) != text:
		v.problem(path, "%q is not %s: it has blanks at its ends, or characters that cannot be printed", text, kind)
	}
}
