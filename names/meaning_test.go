package names

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// at is a registration of one object.
func at(t *testing.T, name, location, group string) Registration {
	t.Helper()
	u, err := values.ParseURI("PYRO:o@" + location)
	must(t, err)
	return Registration{Name: name, URI: u, Group: group}
}

func TestMeanings(t *testing.T) {
	tcp := func(addr string) Address { return Address{"tcp", addr} }
	for _, c := range []struct {
		name string
		all  []Registration
		want []Meaning
	}{
		{"nothing", nil, []Meaning{}},
		{"one", []Registration{at(t, "a", "h:1", "")},
			[]Meaning{{Key: "h:1", At: []Address{tcp("h:1")}, Names: []string{"a"}}}},
		{"two names of one daemon", []Registration{at(t, "b", "h:1", ""), at(t, "a", "H.:1", "")},
			[]Meaning{{Key: "h:1", At: []Address{tcp("h:1")}, Names: []string{"a", "b"}}}},
		{"one daemon in several writings", []Registration{at(t, "a", "[::FFFF:a00:1]:1", ""), at(t, "b", "10.0.0.1:1", ""), at(t, "c", "[FE80:0::1]:1", ""), at(t, "d", "[fe80::1]:1", "")},
			[]Meaning{
				{Key: "10.0.0.1:1", At: []Address{tcp("10.0.0.1:1")}, Names: []string{"a", "b"}},
				{Key: "[fe80::1]:1", At: []Address{tcp("[fe80::1]:1")}, Names: []string{"c", "d"}},
			}},
		{"two daemons", []Registration{at(t, "a", "h:2", ""), at(t, "b", "h:1", "")},
			[]Meaning{
				{Key: "h:1", At: []Address{tcp("h:1")}, Names: []string{"b"}},
				{Key: "h:2", At: []Address{tcp("h:2")}, Names: []string{"a"}},
			}},
		{"a group, and one that is not in it", []Registration{at(t, "a", "h:2", "g"), at(t, "b", "h:1", "g"), at(t, "c", "h:1", ""), at(t, "d", "h:2", "g")},
			[]Meaning{
				{Key: "group:g/o", Group: "g", At: []Address{tcp("h:1"), tcp("h:2")}, Names: []string{"a", "b", "d"}},
				{Key: "h:1", At: []Address{tcp("h:1")}, Names: []string{"c"}},
			}},
		{"two groups", []Registration{at(t, "a", "h:1", "g"), at(t, "b", "h:1", "g/x")},
			[]Meaning{
				{Key: "group:g%2Fx/o", Group: "g/x", At: []Address{tcp("h:1")}, Names: []string{"b"}},
				{Key: "group:g/o", Group: "g", At: []Address{tcp("h:1")}, Names: []string{"a"}},
			}},
		{"sockets, and a host and a group that look like them", []Registration{at(t, "a", "./u:/o", ""), at(t, "b", "unix:1", ""), at(t, "c", "h:1", "unix:"), at(t, "d", "group:1", "")},
			[]Meaning{
				{Key: "group:1", At: []Address{tcp("group:1")}, Names: []string{"d"}},
				{Key: "group:unix:/o", Group: "unix:", At: []Address{tcp("h:1")}, Names: []string{"c"}},
				{Key: "unix:/o", At: []Address{{"unix", "/o"}}, Names: []string{"a"}},
				{Key: "unix:1", At: []Address{tcp("unix:1")}, Names: []string{"b"}},
			}},
		{"what is nowhere", []Registration{at(t, "a", "h:0", ""), at(t, "b", "h:65536", ""), at(t, "c", "h:-1", ""),
			{Name: "d", URI: values.URI{Protocol: "PYRONAME", Object: "o", Host: "h", Port: 1}},
			{Name: "e", URI: values.URI{Protocol: "PYRO", Object: "\xff", Host: "h", Port: 1}}}, []Meaning{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Meanings("o", c.all)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestPortKeys: no two things that are not the same have the same key, and every key can
// be stored.
func TestPortKeys(t *testing.T) {
	long := strings.Repeat("o", 1000)
	keys := make(map[string]string)
	for what, key := range map[string]string{
		"a name":                       (&Meaning{Key: "h:1"}).PortKey("a"),
		"another name":                 (&Meaning{Key: "h:1"}).PortKey("a/o"),
		"a group":                      (&Meaning{Key: "group:a/b/o", Group: "a"}).PortKey("a"),
		"a group with a slash":         (&Meaning{Key: "group:a%2Fb/o", Group: "a/b"}).PortKey("a"),
		"a group with a long object":   (&Meaning{Key: "group:a/" + long, Group: "a"}).PortKey("a"),
		"a group with a longer object": (&Meaning{Key: "group:a/" + long + "o", Group: "a"}).PortKey("a"),
	} {
		if other, taken := keys[key]; taken {
			t.Errorf("%s and %s both have %s", what, other, key)
		}
		if keys[key] = what; len(key) > 512 {
			t.Errorf("%s has a key of %d bytes", what, len(key))
		}
	}
	group := &Meaning{Key: "group:g/o", Group: "g"}
	if group.PortKey("a") != group.PortKey("b") {
		t.Error("two names of a group have two ports")
	}
}
