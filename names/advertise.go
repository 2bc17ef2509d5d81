package names

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Advertise is the address under which we tell others to call us. Host "" is the
// address that the question came in on, port 0 the port that it came in on.
type Advertise struct {
	Host string // without brackets
	Port int
}

// Where nothing says what our address is, these are told: what clients try by themselves.
const (
	fallbackHost = "localhost"
	fallbackPort = 9090 // NS_PORT of both libraries
)

// ParseAdvertise reads "HOST:PORT", "HOST", "[v6]:PORT", "[v6]", "v6" or ":PORT".
// "" is the zero Advertise.
func ParseAdvertise(text string) (Advertise, error) {
	bad := func(why error) (Advertise, error) { return Advertise{}, fmt.Errorf("address %q: %w", text, why) }
	host, port := text, ""
	switch {
	case strings.HasPrefix(text, "["):
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return bad(errors.New("missing ]"))
		}
		host = text[1:end]
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return bad(errors.New("no IPv6 address in brackets"))
		}
		rest := text[end+1:]
		if rest != "" {
			var ok bool
			if port, ok = strings.CutPrefix(rest, ":"); !ok || port == "" {
				return bad(errors.New("no port behind the brackets"))
			}
		}
	case strings.Count(text, ":") > 1:
		if a, err := netip.ParseAddr(text); err != nil || !a.Is6() {
			return bad(errors.New("too many colons for anything but an IPv6 address"))
		}
	case strings.Contains(text, ":"):
		host, port, _ = strings.Cut(text, ":")
		if port == "" {
			return bad(errors.New("no port behind the colon"))
		}
	}
	if strings.ContainsAny(host, " \t\r\n@/[]") {
		return bad(errors.New("not a host"))
	}
	a := Advertise{Host: host}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return bad(errors.New("port must be from 0 to 65535"))
		}
		a.Port = int(n)
	}
	return a, nil
}

// For gives the address to tell to whoever asked at local, which may be invalid.
func (a Advertise) For(local netip.AddrPort) (host string, port int) {
	host, port = a.Host, a.Port
	if host == "" {
		host = fallbackHost
		if addr := local.Addr(); addr.IsValid() && !addr.IsUnspecified() {
			// Zones are names of one host's interfaces, and no Pyro client takes them in a URI.
			host = addr.Unmap().WithZone("").String()
		}
	}
	if port == 0 {
		port = int(local.Port())
	}
	if port == 0 {
		port = fallbackPort
	}
	return host, port
}

// String is what ParseAdvertise reads.
func (a Advertise) String() string {
	host := a.Host
	if strings.Contains(host, ":") && a.Port == 0 {
		return "[" + host + "]"
	}
	if a.Port == 0 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(a.Port))
}
