package config_test

import (
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// What is refused is in testdata/bad, with its message.

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]config.Address{
		":9999":                 {Network: "tcp", Address: ":9999"},
		"localhost:0":           {Network: "tcp", Address: "localhost:0"},
		"cam-1.lab_2.example:1": {Network: "tcp", Address: "cam-1.lab_2.example:1"},
		"10.0.0.1:65535":        {Network: "tcp", Address: "10.0.0.1:65535"},
		"[0:0::1]:05555":        {Network: "tcp", Address: "[::1]:5555"},
		"[fe80::1%eth0]:5555":   {Network: "tcp", Address: "[fe80::1%eth0]:5555"},
		"unix:/run/a b:c.sock":  {Network: "unix", Address: "/run/a b:c.sock"},
	} {
		got, err := config.ParseAddress(text)
		if err != nil || got != want {
			t.Errorf("ParseAddress(%q) = %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := config.ParseAddress(got.String()); err != nil || again != got {
			t.Errorf("%q does not survive its own String %q: %+v, %v", text, got.String(), again, err)
		}
	}
}

func TestParseConsulAddress(t *testing.T) {
	address := func(scheme, network, a string) config.ConsulAddress {
		return config.ConsulAddress{Scheme: scheme, Address: config.Address{Network: network, Address: a}}
	}
	for text, want := range map[string]config.ConsulAddress{
		"127.0.0.1:8500":          address("http", "tcp", "127.0.0.1:8500"),
		"http://consul.lab:08500": address("http", "tcp", "consul.lab:8500"),
		"http://consul.lab/":      address("http", "tcp", "consul.lab:80"),
		"https://consul.lab":      address("https", "tcp", "consul.lab:443"),
		"https://[0::1]":          address("https", "tcp", "[::1]:443"),
		"https://[::1]:8501":      address("https", "tcp", "[::1]:8501"),
		"unix:/run/consul.sock":   address("http", "unix", "/run/consul.sock"),
		"unix:///run/consul.sock": address("http", "unix", "/run/consul.sock"),
	} {
		got, err := config.ParseConsulAddress(text)
		if err != nil || got != want {
			t.Errorf("ParseConsulAddress(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestAnnotation(t *testing.T) {
	for text, want := range map[string]string{"object": "", "source": "", "blob_info": "", "annotation:AbC1": "AbC1"} {
		var h config.HashBy
		if err := h.UnmarshalText([]byte(text)); err != nil || string(h) != text {
			t.Errorf("%q: got %q, %v", text, h, err)
		}
		if id, ok := h.Annotation(); ok != (want != "") || ok && id != want {
			t.Errorf("%q: got %q, %t; want %q", text, id, ok, want)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "1": 1, "1024": config.KiB, "0KiB": 0, "64KiB": 65536, "1536KiB": 3 << 19, "1MiB": 1 << 20,
		"1GiB": 1 << 30, "2147483647": 1<<31 - 1, "9223372036854775807": 1<<63 - 1,
	} {
		var got config.Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for size, want := range map[config.Size]string{
		0: "0", 1: "1", 1025: "1025", 65536: "64KiB", 3 << 19: "1536KiB", 1 << 20: "1MiB", 5 << 30: "5GiB", 1<<31 - 1: "2147483647",
	} {
		if got := size.String(); got != want {
			t.Errorf("%d is written %q, want %q", size, got, want)
		}
	}
}

func TestDialect(t *testing.T) {
	for text, want := range map[string]config.Dialect{"pyro4": 48, "48": 48, "pyro5": 502, "502": 502} {
		var got config.Dialect
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for d, want := range map[config.Dialect]string{0: "", config.Pyro4: "pyro4", config.Pyro5: "pyro5", 46: "46"} {
		if got := d.String(); got != want {
			t.Errorf("Dialect(%d) is written %q, want %q", uint16(d), got, want)
		}
	}
}

func TestPattern(t *testing.T) {
	for _, text := range []string{
		"*", "?", "lab.camera*", "a/b.*", "[abc]", "[a-z0-9]", "[!a-z]", "[^x]x", `\[literal\]`, `[\]\-\\]`, `[\a-\z]`, "[[]", "[α-ω]*", "]", "-",
	} {
		var p config.Pattern
		if err := p.UnmarshalText([]byte(text)); err != nil || string(p) != text {
			t.Errorf("%q: got %q, %v", text, p, err)
		}
	}
}
