package handshake

import (
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestPython2: what Pyro4 sent on Python 2.7 is told from what it and Pyro5 send
// on Python 3, in all serializers but JSON.
func TestPython2(t *testing.T) {
	for _, f := range formats {
		seen := map[bool]int{}
		for _, s := range corpus(t, f) {
			if !strings.HasPrefix(s.Name, "pyro") || strings.Contains(s.Name, "/id-unicode") || strings.Contains(s.Name, "/no-") {
				continue // not what Pyro's own CONNECT looks like
			}
			want := strings.Contains(s.Name, "-py27") && f != wire.JSON
			got := Python2(f, s.Compressed, s.Payload, DefaultLimits())
			if got != want {
				t.Errorf("%s %s: %v", f, s.Name, got)
			}
			seen[want]++
		}
		if seen[false] == 0 || seen[true] == 0 && f != wire.JSON && f != wire.Dill && f != wire.Cloudpickle {
			t.Errorf("%s: samples %v", f, seen)
		}
	}
	for _, b := range []string{"", "\x80", "{", "\x81", "# serpent"} {
		for _, f := range formats {
			if Python2(f, false, []byte(b), DefaultLimits()) || Python2(f, true, []byte(b), DefaultLimits()) {
				t.Errorf("%s %q", f, b)
			}
		}
	}
}
