package main

import (
	"net"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// at is a listener of which only the address counts.
type at struct {
	net.Listener
	addr net.Addr
}

func (a at) Addr() net.Addr { return a.addr }

func tcp(address string) at {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		panic(err)
	}
	return at{addr: a}
}

func unix(path string) at { return at{addr: &net.UnixAddr{Net: "unix", Name: path}} }

func TestRegistered(t *testing.T) {
	for _, c := range []struct {
		name      string
		given     string
		listeners []net.Listener
		host      string
		port      int
	}{
		{"given", "gate.lab:7000", []net.Listener{tcp("10.0.0.1:9999")}, "gate.lab", 7000},
		{"given, IPv6", "[2001:db8::1]:7000", []net.Listener{tcp("10.0.0.1:9999")}, "2001:db8::1", 7000},
		{"first listener", "", []net.Listener{tcp("10.0.0.1:9999"), tcp("10.0.0.2:9998")}, "10.0.0.1", 9999},
		{"first that is not a Unix socket", "", []net.Listener{unix("/run/d.sock"), tcp("10.0.0.2:9998")}, "10.0.0.2", 9998},
		{"IPv6", "", []net.Listener{tcp("[2001:db8::1]:9999")}, "2001:db8::1", 9999},
		{"every local address", "", []net.Listener{tcp("0.0.0.0:9999")}, "", 9999},
		{"every local address, of IPv6 too", "", []net.Listener{tcp("[::]:9999")}, "", 9999},
	} {
		t.Run(c.name, func(t *testing.T) {
			var given config.Address
			if c.given != "" {
				if err := given.UnmarshalText([]byte(c.given)); err != nil {
					t.Fatal(err)
				}
			}
			if host, port := registered(given, c.listeners); host != c.host || port != c.port {
				t.Errorf("%q, %d; want %q, %d", host, port, c.host, c.port)
			}
		})
	}
}

func TestCheckURL(t *testing.T) {
	for _, c := range []struct {
		name       string
		admin      net.Addr
		registered string
		want       string
	}{
		{"its own address", tcp("10.0.0.1:9990").addr, "gate.lab", "http://10.0.0.1:9990/readyz"},
		{"its own address, IPv6", tcp("[::1]:9990").addr, "", "http://[::1]:9990/readyz"},
		{"every address, registered at one", tcp("0.0.0.0:9990").addr, "10.0.0.1", "http://10.0.0.1:9990/readyz"},
		{"every address, registered at one of IPv6", tcp("[::]:9990").addr, "2001:db8::1", "http://[2001:db8::1]:9990/readyz"},
		{"every address, registered at that of the agent", tcp("[::]:9990").addr, "", "http://127.0.0.1:9990/readyz"},
		{"Unix socket", unix("/run/admin.sock").addr, "10.0.0.1", ""},
		{"off", nil, "10.0.0.1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := checkURL(c.admin, c.registered); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
