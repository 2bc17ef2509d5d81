package main

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/names"
)

// Which addresses are ours, and which one is handed out.

// isOurs makes a test for addresses of ours, where calls come in.
func isOurs(cfg *config.Config, opened []net.Listener, exposures []*exposure) func(host string, port int) bool {
	hosts := make(map[string]bool)
	for _, a := range ownAddresses() {
		hosts[a.String()] = true
	}
	for _, h := range []string{"localhost", "127.0.0.1", "::1"} {
		hosts[h] = true
	}
	ports := make(map[int]bool)
	advertised := make(map[names.Advertise]bool)
	for i := range cfg.NameServer.Listeners {
		// Its own object is handed out as it is: through another port, it would be asked by
		// us and not by who asks.
		l := &cfg.NameServer.Listeners[i]
		_, port, err := net.SplitHostPort(l.Address.Address)
		n, numErr := strconv.Atoi(port)
		if l.Address.Network == "unix" || err != nil || numErr != nil || n == 0 {
			continue
		}
		ports[n] = true
		if l.Advertise.Host != "" {
			advertised[names.Advertise{Host: names.Host(l.Advertise.Host), Port: cmp.Or(l.Advertise.Port, n)}] = true
		}
	}
	for i, ln := range opened {
		if at, ok := ln.Addr().(*net.TCPAddr); ok {
			ports[at.Port] = true
			if a := cfg.Listeners[i].Advertise; !a.IsZero() {
				advertised[names.Advertise{Host: names.Host(a.Host), Port: cmp.Or(a.Port, at.Port)}] = true
			}
		}
	}
	return func(host string, port int) bool {
		host = names.Host(host)
		if advertised[names.Advertise{Host: host, Port: port}] || hosts[host] && ports[port] {
			return true
		}
		if r := cfg.NameServer.Ports; !r.IsZero() && r.Contains(port) && (hosts[host] || advertisedHost(cfg, host)) {
			return true
		}
		for _, e := range exposures {
			if e.cfg.Ports.Contains(port) && (host == names.Host(e.host) || hosts[host]) {
				return true
			}
		}
		return false
	}
}

// advertisedHost reports whether names are handed out with a host.
func advertisedHost(cfg *config.Config, host string) bool {
	for i := range cfg.NameServer.Listeners {
		if h := cfg.NameServer.Listeners[i].Advertise.Host; h != "" && names.Host(h) == host {
			return true
		}
	}
	l := cfg.NamesListener()
	return l != nil && l.Advertise.Host != "" && names.Host(l.Advertise.Host) == host
}

// ourAddress makes book.at of the configuration and the listener that names are reached
// through, which is open at the address.
func ourAddress(cfg *config.Config, opened net.Addr) func(control.Caller) (string, int) {
	l := cfg.NamesListener()
	tcp, _ := opened.(*net.TCPAddr)
	return func(from control.Caller) (string, int) {
		var a names.Advertise
		local := netip.AddrPort{}
		if tcp != nil {
			local = tcp.AddrPort()
		}
		if local.Addr().IsUnspecified() || !local.IsValid() {
			local = netip.AddrPortFrom(from.Local.Addr(), local.Port())
		}
		if l != nil {
			a = names.Advertise{Host: l.Advertise.Host, Port: l.Advertise.Port}
		}
		for i := range cfg.NameServer.Listeners {
			if nl := &cfg.NameServer.Listeners[i]; nl.Name == from.Listener && nl.Advertise.Host != "" {
				a.Host = nl.Advertise.Host // who finds the name server there finds us there
			}
		}
		return a.For(local)
	}
}
