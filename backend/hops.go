package backend

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Hops remembers from where failed calls came. A daemon in whose method such a
// call failed closes the connection of the call that it was serving (Pyro sends
// no communication error back): so one dead daemon at the end of a chain makes
// every daemon above it look broken. That is not their fault.
//
// Addresses tell hosts apart, not the processes on them. Where the failed call's
// client and the daemon that closed are on one host, they may still be two
// programs, and a failure that was the daemon's own goes unpunished: it will
// fail again. All clusters of a process share one Hops, which is safe for
// concurrent use. A nil one explains nothing.
type Hops struct {
	mu     sync.Mutex
	failed map[netip.Addr]time.Time
}

const (
	// maxHops bounds what is remembered.
	maxHops = 4096
	// hopMemory is how long a failure explains another.
	hopMemory = time.Minute
)

// Failed says that a call from source failed just now. The zero Addr, of a Unix
// socket, stands for this machine.
func (h *Hops) Failed(source netip.Addr) {
	if h == nil {
		return
	}
	source = hostOf(source)
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == nil {
		h.failed = make(map[netip.Addr]time.Time)
	}
	if len(h.failed) >= maxHops {
		for a, at := range h.failed {
			if now.Sub(at) > hopMemory {
				delete(h.failed, a)
			}
		}
		if len(h.failed) >= maxHops {
			return
		}
	}
	h.failed[source] = now
}

// explains reports whether a call from the host at addr has failed since then,
// and not long ago.
func (h *Hops) explains(addr net.Addr, since time.Time) bool {
	if h == nil {
		return false
	}
	var ip netip.Addr
	if t, ok := addr.(*net.TCPAddr); ok {
		ip = t.AddrPort().Addr().Unmap()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.failed[hostOf(ip)]
	return ok && !at.Before(since) && time.Since(at) <= hopMemory
}

// hostOf makes all addresses of this machine's own loopback one.
func hostOf(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); !a.IsValid() || a.IsLoopback() {
		return netip.IPv6LinkLocalAllNodes() // no host has it
	}
	return a
}
