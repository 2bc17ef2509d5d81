package config_test

import (
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

func TestParseAdvertise(t *testing.T) {
	for text, want := range map[string]config.Advertise{
		"pyro.example.org:5555": {Host: "pyro.example.org", Port: 5555},
		"pyro.example.org:0":    {Host: "pyro.example.org"},
		"pyro.example.org":      {Host: "pyro.example.org"},
		"10.0.0.1":              {Host: "10.0.0.1"},
		"10.0.0.1:1":            {Host: "10.0.0.1", Port: 1},
		"[0:0::1]:05555":        {Host: "::1", Port: 5555},
		"[2001:db8::1]":         {Host: "2001:db8::1"},
		"2001:db8:0::1":         {Host: "2001:db8::1"},
		":65535":                {Port: 65535},
		":0":                    {},
	} {
		got, err := config.ParseAdvertise(text)
		if err != nil || got != want {
			t.Errorf("ParseAdvertise(%q) = %+v, %v; want %+v", text, got, err, want)
		}
		var again config.Advertise
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got || got.IsZero() != (got.String() == "") {
			t.Errorf("%q does not survive its own String %q: %+v, %v", text, got.String(), again, err)
		}
	}
	const form = ` is not how others reach a listener: write host:port, host, [::1]:port or :port`
	for text, want := range map[string]string{
		"":                 form,
		":":                form,
		"host:":            form,
		"[host]:1":         form,
		"[::1":             form,
		"::1]":             form,
		"[10.0.0.1]":       form,
		"[10.0.0.1]:1":     form,
		"[::1]:":           form,
		"[::1]x":           form,
		"2001:db8::1:x":    form,
		"a:b:c":            form,
		"PYRO:obj@host:1":  form,
		"unix:/run/x":      `: port "/run/x" is not a number from 0 to 65535`,
		"two words":        form,
		"host:65536":       `: port "65536" is not a number from 0 to 65535`,
		"host:-1":          `: port "-1" is not a number from 0 to 65535`,
		"host:http":        `: port "http" is not a number from 0 to 65535`,
		"0.0.0.0:1":        `: nobody can connect to 0.0.0.0`,
		"::":               `: nobody can connect to ::`,
		"[ff02::1]:1":      `: nobody can connect to ff02::1`,
		"[fe80::1%eth0]:1": `: the zone eth0 means nothing to others`,
	} {
		got, err := config.ParseAdvertise(text)
		if err == nil || err.Error() != `"`+text+`"`+want {
			t.Errorf("ParseAdvertise(%q) = %+v, %v; want the error %s", text, got, err, want)
		}
	}
}

func TestPortRange(t *testing.T) {
	for text, want := range map[string]config.PortRange{
		"":              {},
		"20000-20999":   {First: 20000, Last: 20999},
		"20000 - 20999": {First: 20000, Last: 20999},
		"1-65535":       {First: 1, Last: 65535},
		"7":             {First: 7, Last: 7},
		"7-7":           {First: 7, Last: 7},
	} {
		var got, again config.PortRange
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%q does not survive its own String %q: %+v, %v", text, got.String(), again, err)
		}
	}
	const form = ` is not a range of ports: write it as in 20000-20999, with numbers from 1 to 65535`
	for text, want := range map[string]string{
		"0": form, "0-1": form, "1-65536": form, "-1": form, "1-": form, "-": form, "a-b": form, "1-2-3": form, "1,2": form, " ": form,
		"2-1": ": the range is the wrong way round",
	} {
		var got config.PortRange
		if err := got.UnmarshalText([]byte(text)); err == nil || err.Error() != `"`+text+`"`+want {
			t.Errorf("%q: got %+v, %v; want the error %s", text, got, err, want)
		}
	}
	for _, tt := range []struct {
		r      config.PortRange
		count  int
		in, on []int
	}{
		{config.PortRange{}, 0, nil, []int{-1, 0, 1}},
		{config.PortRange{First: 5, Last: 5}, 1, []int{5}, []int{0, 4, 6}},
		{config.PortRange{First: 5, Last: 7}, 3, []int{5, 6, 7}, []int{4, 8}},
	} {
		if got := tt.r.Count(); got != tt.count {
			t.Errorf("%q has %d ports", tt.r, got)
		}
		for _, port := range tt.in {
			if !tt.r.Contains(port) {
				t.Errorf("%q does not contain %d", tt.r, port)
			}
		}
		for _, port := range tt.on {
			if tt.r.Contains(port) {
				t.Errorf("%q contains %d", tt.r, port)
			}
		}
	}
}

// What is advertised has one spelling, and that one is read back as the same.
func FuzzParseAdvertise(f *testing.F) {
	seedsMustExist(f)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := config.ParseAdvertise(text)
		if err != nil {
			return
		}
		var again config.Advertise
		if err := again.UnmarshalText([]byte(a.String())); err != nil || again != a || a.Port < 0 || a.Port > 65535 {
			t.Errorf("%q is %+v, which is written %q, which is %+v (%v)", text, a, a, again, err)
		}
	})
}
