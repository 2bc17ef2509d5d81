package names

import (
	"net/netip"
	"testing"
)

func TestParseAdvertise(t *testing.T) {
	for text, want := range map[string]Advertise{
		"": {}, "h": {"h", 0}, "h:5": {"h", 5}, ":5": {"", 5}, "h:0": {"h", 0}, "192.0.2.1:9090": {"192.0.2.1", 9090},
		"[2001:db8::1]:5": {"2001:db8::1", 5}, "[2001:db8::1]": {"2001:db8::1", 0}, "2001:db8::1": {"2001:db8::1", 0},
		"a-b.example": {"a-b.example", 0},
	} {
		got, err := ParseAdvertise(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := ParseAdvertise(got.String()); err != nil || again != got {
			t.Errorf("%q: %q is read as %+v, %v", text, got.String(), again, err)
		}
	}
	for _, text := range []string{"h:", ":", "h:x", "h:65536", "h:-1", "[::1", "[h]:5", "[::1]5", "[::1]:", "a:b:c", "[127.0.0.1]:5", "h h", "h/x:1", "a@b", "[]"} {
		if got, err := ParseAdvertise(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func TestAdvertiseFor(t *testing.T) {
	at := netip.MustParseAddrPort
	for _, c := range []struct {
		a     Advertise
		local netip.AddrPort
		host  string
		port  int
	}{
		{Advertise{}, at("192.0.2.7:9090"), "192.0.2.7", 9090},
		{Advertise{}, at("[::ffff:192.0.2.7]:9090"), "192.0.2.7", 9090},
		{Advertise{}, at("[fe80::1%eth0]:7"), "fe80::1", 7},
		{Advertise{"h", 0}, at("192.0.2.7:9090"), "h", 9090},
		{Advertise{"", 5}, at("[2001:db8::1]:7"), "2001:db8::1", 5},
		{Advertise{"h", 5}, netip.AddrPort{}, "h", 5},
		{Advertise{}, netip.AddrPort{}, "localhost", 9090},
		{Advertise{}, at("0.0.0.0:7"), "localhost", 7},
	} {
		if host, port := c.a.For(c.local); host != c.host || port != c.port {
			t.Errorf("%+v for %v: %s %d", c.a, c.local, host, port)
		}
	}
}
