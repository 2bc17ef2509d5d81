package topics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// ErrNotAllowed: the address of a listener is not in the list of what is allowed.
var ErrNotAllowed = errors.New("address not allowed")

// DefaultAllow is what listeners may have for addresses where nothing is configured:
// what no router of the internet forwards. It is the caller's.
func DefaultAllow() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"),
		netip.MustParsePrefix("fc00::/7"),
	}
}

const (
	lookupTimeout = 5 * time.Second
	maxObject     = 200 // bytes: part of a key in the store, as is the host
	maxHost       = 253 // of a name in DNS
	maxSocket     = 107 // of a path in sockaddr_un
)

// listenerOf reads the second argument of register: where the listener is. The error
// is a *values.Exception. Whether it may be there is not its question.
func listenerOf(v values.Value) (object, network, address string, err error) {
	u, err := uriOf(v)
	if err != nil {
		return "", "", "", err
	}
	if u.Protocol != "PYRO" {
		return "", "", "", raise("builtins.ValueError", "a listener must have a PYRO URI, which says where it is, not %s", clip(u.String()))
	}
	if len(u.Object) > maxObject || !printable(u.Object) {
		return "", "", "", raise("builtins.ValueError", "the object id of the listener is longer than %d bytes, or has spaces in it", maxObject)
	}
	if u.Sockname != "" {
		if len(u.Sockname) > maxSocket || !printable(u.Sockname) {
			return "", "", "", raise("builtins.ValueError", "the path of the listener's Unix socket is longer than %d bytes, or has spaces in it", maxSocket)
		}
		return u.Object, "unix", u.Sockname, nil
	}
	if u.Host == "" || len(u.Host) > maxHost || !printable(u.Host) || u.Port < 1 || u.Port > 65535 {
		return "", "", "", raise("builtins.ValueError", "the URI of the listener has no host and port that can be connected to: %s", clip(u.String()))
	}
	host := u.Host
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	} else if strings.ContainsAny(host, ":%/[]@") {
		return "", "", "", raise("builtins.ValueError", "the host of the listener is neither an address nor a name: %s", clip(u.String()))
	}
	return u.Object, "tcp", net.JoinHostPort(host, strconv.Itoa(u.Port)), nil
}

func uriOf(v values.Value) (values.URI, error) {
	switch v := v.(type) {
	case values.Proxy:
		return v.URI, nil
	case *values.Proxy:
		if v != nil {
			return v.URI, nil
		}
	case values.URI:
		return v, nil
	}
	text, ok := values.Text(v)
	if !ok {
		return values.URI{}, raise("builtins.TypeError",
			"a listener is a proxy or a URI, not %s; an object becomes a proxy on its way if its daemon has registered it", typeName(v))
	}
	u, err := values.ParseURI(text)
	if err != nil {
		return values.URI{}, raise("errors.PyroError", "%v: %s", err, clip(text))
	}
	return u, nil
}

// printable reports that there are no spaces and no control characters in text, and
// nothing that is not Unicode.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsControl(c) || c == unicode.ReplacementChar
	})
}

// Resolve gives the addresses to which l may be connected, of which there is at least
// one: those of its name now, if all of them are allowed. Who connects must use these
// and not the name, which may mean something else a moment later. For a Unix socket it
// gives none and no error. Errors wrap ErrNotAllowed or are those of the lookup.
func (r *Registry) Resolve(ctx context.Context, l Listener) ([]netip.AddrPort, error) {
	if l.Network == "unix" {
		if !r.config.AllowUnix {
			return nil, fmt.Errorf("%w: Unix sockets are not", ErrNotAllowed)
		}
		return nil, nil
	}
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	ips, err := r.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	all := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		if ip = ip.Unmap(); !r.allowed(ip) {
			return nil, fmt.Errorf("%w: %s is in none of the ranges", ErrNotAllowed, ip)
		}
		all = append(all, netip.AddrPortFrom(ip, uint16(number)))
	}
	return all, nil
}

func (r *Registry) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := r.config.Lookup(ctx, host)
	if err == nil && len(ips) == 0 {
		err = fmt.Errorf("%s has no address", host)
	}
	return ips, err
}

// allowed never holds for 0.0.0.0, ::, and groups: those are no place of a listener.
func (r *Registry) allowed(ip netip.Addr) bool {
	ip = ip.WithZone("")
	if ip.IsUnspecified() || ip.IsMulticast() {
		return false
	}
	for _, p := range r.config.Allow {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// permit says, as a *values.Exception, why a listener must not be where it says.
func (r *Registry) permit(ctx context.Context, from control.Caller, l Listener) error {
	ips, err := r.Resolve(ctx, l)
	if errors.Is(err, ErrNotAllowed) {
		return raise("builtins.PermissionError", "no listener may be at %s: %v (the dispatcher's configuration says which may)", l.Address, err)
	}
	if err != nil {
		return raise("errors.PyroError", "the address of the listener, %s, cannot be found: %v", l.Address, err)
	}
	for _, ip := range ips {
		if ip.Addr().IsLoopback() && !r.ownLoopback && elsewhere(from) {
			return raise("builtins.PermissionError",
				"no listener may be at %s: that is the dispatcher's own machine, and you call from %s; give your daemon a host that others can reach",
				l.Address, from.Remote.Addr().Unmap())
		}
	}
	return nil
}

// elsewhere reports that a caller is on another machine, as far as addresses tell.
func elsewhere(from control.Caller) bool {
	ip := from.Remote.Addr().Unmap()
	return ip.IsValid() && !ip.IsLoopback() && ip != from.Local.Addr().Unmap()
}
