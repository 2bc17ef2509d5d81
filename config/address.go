package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Address is a place to listen at or to connect to, in the two parts that
// net.Listen and net.Dial take. The zero value means that none was given.
type Address struct {
	Network string // "tcp" or "unix"
	Address string // host:port (IPv6 hosts in brackets, no host for every local address), or the path of the socket
}

// maxSocketPath is what sun_path of unix(7) holds beside its terminating NUL.
const maxSocketPath = 107

// ParseAddress reads host:port, [::1]:port, :port or unix:/path. Hosts may be
// names; they are not looked up here. Ports are numbers, 0 included.
func ParseAddress(text string) (Address, error) {
	if path, found := strings.CutPrefix(text, "unix:"); found {
		return parseUnix(text, path)
	}
	if path, found := strings.CutPrefix(text, "./u:"); found {
		return Address{}, fmt.Errorf("%q is how Pyro writes the address of a Unix socket: here it is unix:%s", text, path)
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		if allDigits(text) {
			return Address{}, fmt.Errorf("%q is not an address: for a port on every local address, write :%s", text, text)
		}
		if !strings.Contains(text, ":") {
			return Address{}, fmt.Errorf("%q has no port: write it as in %s:9999", text, text)
		}
		if strings.Count(text, ":") > 1 && !strings.ContainsAny(text, "[]/@") {
			return Address{}, fmt.Errorf("%q: an IPv6 address needs brackets, as in [::1]:9999", text)
		}
		return Address{}, notAnAddress(text)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("%q: port %q is not a number from 0 to 65535", text, port)
	}
	port = strconv.FormatUint(number, 10) // 0080 and 80 are one port
	switch ip, err := netip.ParseAddr(host); {
	case err == nil:
		host = ip.String() // so that one address has one spelling
	case host != "" && !isHostName(host):
		return Address{}, notAnAddress(text)
	case strings.HasPrefix(text, "["):
		return Address{}, notAnAddress(text)
	}
	return Address{Network: "tcp", Address: net.JoinHostPort(host, port)}, nil
}

func parseUnix(text, path string) (Address, error) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return Address{}, fmt.Errorf("%q: the path of a Unix socket must begin with /, as in unix:/run/pyro.sock", text)
	case len(path) > maxSocketPath:
		return Address{}, fmt.Errorf("%q: the path of a Unix socket is limited to %d bytes, and this has %d", text, maxSocketPath, len(path))
	case strings.ContainsRune(path, 0):
		return Address{}, fmt.Errorf("%q: the path of a Unix socket cannot hold a NUL", text)
	}
	return Address{Network: "unix", Address: path}, nil
}

func notAnAddress(text string) error {
	return fmt.Errorf("%q is not an address: write host:port, [::1]:port, :port or unix:/path", text)
}

// isHostName is deliberately lax: what looks like a name is left to the
// resolver, and what cannot be one (a URI, a path, a blank) is refused here.
func isHostName(host string) bool {
	if len(host) > 253 {
		return false
	}
	for _, c := range []byte(host) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// UnmarshalText is ParseAddress, except that an empty text is the zero
// Address: whether one is needed depends on the key.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	parsed, err := ParseAddress(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// String returns the address in the form that ParseAddress reads.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

// IsZero reports whether no address was given.
func (a Address) IsZero() bool { return a == Address{} }

// hostPort splits a TCP address; ok is false for any other.
func (a Address) hostPort() (host, port string, ok bool) {
	if a.Network != "tcp" {
		return "", "", false
	}
	host, port, err := net.SplitHostPort(a.Address)
	return host, port, err == nil
}

// clashesWith reports whether binding both addresses is sure to fail. Port 0
// never clashes, and a name is equal only to itself.
func (a Address) clashesWith(b Address) bool {
	aHost, aPort, aTCP := a.hostPort()
	bHost, bPort, bTCP := b.hostPort()
	if !aTCP || !bTCP {
		return a == b && !a.IsZero()
	}
	return aPort == bPort && aPort != "0" && (aHost == bHost || isWildcard(aHost) || isWildcard(bHost))
}

// isWildcard reports whether a host stands for every local address.
func isWildcard(host string) bool {
	return host == "" || host == "0.0.0.0" || host == "::"
}
