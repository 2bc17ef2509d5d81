package names

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// Address is where a daemon is: "tcp" and host:port, or "unix" and a path.
type Address struct{ Network, Addr string }

// AddressOf gives the address in a URI, in one way of writing it. ok is false where it
// names no daemon that could be connected to.
func AddressOf(u values.URI) (a Address, ok bool) {
	switch {
	case u.Protocol != "PYRO" || u.Object == "" || !utf8.ValidString(u.Object+u.Host+u.Sockname):
		return Address{}, false
	case u.Sockname != "":
		return Address{"unix", u.Sockname}, true
	case u.Host == "" || u.Port < 1 || u.Port > 65535:
		return Address{}, false
	}
	return Address{"tcp", net.JoinHostPort(Host(u.Host), strconv.Itoa(u.Port))}, true
}

// Host writes a host in one way: upper and lower case are the same, and so are the
// forms of an address.
func Host(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// Meaning is what an object id stands for under some names: one daemon's object, or
// those of a group, which are interchangeable.
type Meaning struct {
	// Key tells it from those of all other daemons and groups. Objects of one daemon
	// that are in no group have the same.
	Key   string
	Group string
	At    []Address // in order, each once
	Names []string  // in order
}

// Meanings finds out what an object id stands for under the names of all, in the order
// of their keys. Registrations of which AddressOf tells no address stand for nothing.
func Meanings(object string, all []Registration) []Meaning {
	byKey := make(map[string]*Meaning)
	for i := range all {
		r := &all[i]
		at, ok := AddressOf(r.URI)
		if !ok {
			continue
		}
		// No address begins with "group:" and has a slash.
		key := at.Addr
		if at.Network == "unix" {
			key = "unix:" + at.Addr
		}
		if r.Group != "" {
			key = "group:" + url.PathEscape(r.Group) + "/" + object
		}
		m := byKey[key]
		if m == nil {
			m = &Meaning{Key: key, Group: r.Group}
			byKey[key] = m
		}
		m.Names = append(m.Names, r.Name)
		if !slices.Contains(m.At, at) {
			m.At = append(m.At, at)
		}
	}
	found := make([]Meaning, 0, len(byKey))
	for _, m := range byKey {
		slices.Sort(m.Names)
		slices.SortFunc(m.At, func(a, b Address) int {
			return cmp.Or(strings.Compare(a.Network, b.Network), strings.Compare(a.Addr, b.Addr))
		})
		found = append(found, *m)
	}
	slices.SortFunc(found, func(a, b Meaning) int { return strings.Compare(a.Key, b.Key) })
	return found
}

// PortKey names the port that a name has where the meaning needs one: its own, or that
// of its group.
func (m *Meaning) PortKey(name string) string {
	if m.Group == "" {
		return "name/" + name
	}
	const most = 400
	if len(m.Key) > most {
		sum := sha256.Sum256([]byte(m.Key))
		return "group/" + hex.EncodeToString(sum[:])
	}
	return "group/" + strings.TrimPrefix(m.Key, "group:")
}
