package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Advertise is how clients outside reach a listener. The zero value is the address
// that a client has connected to.
type Advertise struct {
	Host string // a name or an address, IPv6 without brackets; "": that of the client's connection
	Port int    // 0: that of the listener
}

// ParseAdvertise reads HOST:PORT, HOST, [v6]:PORT, [v6], v6 or :PORT. Port 0 is as
// good as none.
func ParseAdvertise(text string) (Advertise, error) {
	host, port := text, ""
	if _, zone, ok := strings.Cut(text, "%"); ok && strings.Contains(text, ":") {
		zone, _, _ = strings.Cut(zone, "]")
		return Advertise{}, fmt.Errorf("%q: the zone %s means nothing to others", text, zone)
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err == nil {
		// An address alone, of which one of the sixth version may have its brackets.
		if bare := a.Is6(); strings.HasPrefix(text, "[") != strings.HasSuffix(text, "]") || strings.HasPrefix(text, "[") && !bare {
			return Advertise{}, notAdvertised(text)
		}
		return advertised(text, a.String(), "")
	}
	if strings.Contains(text, ":") {
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil || port == "" {
			return Advertise{}, notAdvertised(text)
		}
		a, err := netip.ParseAddr(host)
		if strings.HasPrefix(text, "[") && (err != nil || !a.Is6()) {
			return Advertise{}, notAdvertised(text)
		}
		if err == nil {
			host = a.String()
		}
	}
	return advertised(text, host, port)
}

func advertised(text, host, port string) (Advertise, error) {
	a := Advertise{Host: host}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && (ip.IsUnspecified() || ip.IsMulticast()):
		return Advertise{}, fmt.Errorf("%q: nobody can connect to %s", text, host)
	case err != nil && !isHostName(host):
		return Advertise{}, notAdvertised(text)
	}
	if port == "" {
		if host == "" {
			return Advertise{}, notAdvertised(text)
		}
		return a, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Advertise{}, fmt.Errorf("%q: port %q is not a number from 0 to 65535", text, port)
	}
	a.Port = int(n)
	return a, nil
}

func notAdvertised(text string) error {
	return fmt.Errorf("%q is not how others reach a listener: write host:port, host, [::1]:port or :port", text)
}

// UnmarshalText is ParseAdvertise, except that an empty text is the zero Advertise.
func (a *Advertise) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Advertise{}
		return nil
	}
	parsed, err := ParseAdvertise(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// String returns what ParseAdvertise reads as the same, "" for the zero value.
func (a Advertise) String() string {
	switch {
	case a.Port != 0:
		return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
	case strings.Contains(a.Host, ":"):
		return "[" + a.Host + "]"
	}
	return a.Host
}

// IsZero reports whether nothing is advertised.
func (a Advertise) IsZero() bool { return a == Advertise{} }

// PortRange is a range of TCP ports, both ends included. The zero value is none.
type PortRange struct{ First, Last int }

// UnmarshalText accepts FIRST-LAST, or one port; an empty text is the zero PortRange.
func (r *PortRange) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = PortRange{}
		return nil
	}
	first, last, found := strings.Cut(string(text), "-")
	if !found {
		last = first
	}
	var ends [2]int
	for i, end := range []string{strings.TrimSpace(first), strings.TrimSpace(last)} {
		n, err := strconv.ParseUint(end, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is not a range of ports: write it as in 20000-20999, with numbers from 1 to 65535", text)
		}
		ends[i] = int(n)
	}
	if ends[1] < ends[0] {
		return fmt.Errorf("%q: the range is the wrong way round", text)
	}
	*r = PortRange{First: ends[0], Last: ends[1]}
	return nil
}

// String returns the range as UnmarshalText reads it.
func (r PortRange) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.First == r.Last:
		return strconv.Itoa(r.First)
	}
	return strconv.Itoa(r.First) + "-" + strconv.Itoa(r.Last)
}

// IsZero reports whether the range is none.
func (r PortRange) IsZero() bool { return r == PortRange{} }

// Count returns how many ports there are.
func (r PortRange) Count() int {
	if r.IsZero() {
		return 0
	}
	return r.Last - r.First + 1
}

// Contains reports whether port is one of them.
func (r PortRange) Contains(port int) bool { return r.First <= port && port <= r.Last && port > 0 }

func (r PortRange) overlaps(o PortRange) bool {
	return !r.IsZero() && !o.IsZero() && r.First <= o.Last && o.First <= r.Last
}
