package expose

import (
	"fmt"
	"net/netip"
	"strings"
)

// Advice is what to set in the environment of a daemon so that it publishes m's port
// at host, the dispatcher's name or address as clients see it, in place of its own
// address. Both libraries know these variables.
//
// They write host and port with a colon between them and nothing else (natLocationStr
// in Pyro4/core.py and Pyro5/server.py), so an IPv6 address gets its brackets here.
func Advice(host string, m Mapped) string {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("PYRO_NATHOST=%s PYRO_NATPORT=%d", host, m.Port)
}
