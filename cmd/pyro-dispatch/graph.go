package main

import (
	"net"
	"net/netip"
)

// maxTracked bounds the calls that are kept account of, for circles and budgets. It
// is more than sessions there can be; an entry has some 400 bytes.
const maxTracked = 100_000

// ownAddresses are those of this machine. That there are none to be had is no harm:
// then it is less certain where calls come from.
func ownAddresses() (own []netip.Addr) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, ip.Unmap())
			}
		}
	}
	return own
}
