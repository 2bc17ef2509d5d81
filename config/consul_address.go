package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// ConsulAddress is where Consul's HTTP API is.
type ConsulAddress struct {
	Scheme string // "http" or "https"; "http" for a Unix socket
	Address
}

// ParseConsulAddress reads host:port, http://host, https://host, both also
// with a port, or unix:/path. It also reads unix:///path, which is how Consul
// writes the last.
func ParseConsulAddress(text string) (ConsulAddress, error) {
	if rest, found := strings.CutPrefix(text, "unix://"); found {
		text = "unix:" + rest
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "http", text
		if rest != "" && !strings.Contains(rest, ":") {
			return ConsulAddress{}, fmt.Errorf("%q has no port: Consul's is 8500, as in %s:8500", text, text)
		}
	} else {
		u, err := url.Parse(text)
		if err != nil || scheme != "http" && scheme != "https" || u.Host == "" || strings.TrimSuffix(rest, "/") != u.Host {
			return ConsulAddress{}, notAConsulAddress(text)
		}
		rest = u.Host
		if u.Port() == "" {
			rest = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[scheme])
		}
	}
	address, err := ParseAddress(rest)
	if err != nil {
		return ConsulAddress{}, notAConsulAddress(text)
	}
	if host, port, tcp := address.hostPort(); tcp && (isWildcard(host) || port == "0") {
		return ConsulAddress{}, fmt.Errorf("%q names no place to connect to: give host and port, as in 127.0.0.1:8500", text)
	}
	return ConsulAddress{Scheme: scheme, Address: address}, nil
}

func notAConsulAddress(text string) error {
	return fmt.Errorf("%q is not an address of Consul: write host:port, https://host:port or unix:/path", text)
}

// UnmarshalText is ParseConsulAddress.
func (a *ConsulAddress) UnmarshalText(text []byte) error {
	parsed, err := ParseConsulAddress(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// String returns the address in the form that ParseConsulAddress reads, and
// Consul's own API as well, except for Unix sockets.
func (a ConsulAddress) String() string {
	if a.Scheme == "https" {
		return "https://" + a.Address.String()
	}
	return a.Address.String()
}
