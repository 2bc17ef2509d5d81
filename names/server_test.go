package names

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// exposer maps every URI to gate:PORT, but for names that begin with "un".
type exposer struct{ asked []Registration }

func (e *exposer) Expose(_ context.Context, r Registration, from control.Caller) (values.URI, error) {
	e.asked = append(e.asked, r)
	if strings.HasPrefix(r.Name, "un") {
		return values.URI{}, errors.New("no port is free for " + r.Name)
	}
	r.URI.Host, r.URI.Port = "gate-"+from.Listener, 7000
	return r.URI, nil
}

func named(pairs ...any) values.Dict {
	var d values.Dict
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, values.Pair{Key: pairs[i], Value: pairs[i+1]})
	}
	return d
}

func call(s control.Object, from control.Caller, method string, args ...values.Value) (values.Value, error) {
	return s.Call(context.Background(), from, method, args, nil)
}

func expect(t *testing.T, got values.Value, err error, want values.Value) {
	t.Helper()
	if err != nil || canonical(got) != canonical(want) {
		t.Errorf("got %s, %v; want %s", canonical(got), err, canonical(want))
	}
}

func TestExposedAddresses(t *testing.T) {
	e := &exposer{}
	s := NewServer(NewDirectory(DirectoryConfig{Store: store.NewMemory()}), Config{Exposer: e})
	from := control.Caller{Listener: "l", Dialect: wire.V502, Local: netip.MustParseAddrPort("[2001:db8::1]:9090")}
	for _, name := range []string{"ok", "unwell"} {
		_, err := call(s, from, "register", name, "PYRO:o@10.0.0.1:5", false, values.Set{"m"})
		must(t, err)
	}
	v, err := call(s, from, "lookup", "ok")
	expect(t, v, err, values.URI{Protocol: "PYRO", Object: "o", Host: "gate-l", Port: 7000})
	_, err = call(s, from, "lookup", "unwell")
	if described(err) != "errors.NamingError: no port is free for unwell" {
		t.Error(err)
	}
	const own = "PYRO:Pyro.NameServer@[2001:db8::1]:9090"
	v, err = call(s, from, "list")
	expect(t, v, err, named("ok", "PYRO:o@gate-l:7000", "unwell", "PYRO:o@10.0.0.1:5", OwnName, own))
	v, err = call(s, from, "yplookup", values.List{"m"})
	expect(t, v, err, named("ok", values.Tuple{"PYRO:o@gate-l:7000", values.Set{"m"}}))
	for _, r := range e.asked {
		if r.Name == OwnName {
			t.Error("asked for the name server itself")
		}
	}
	v, err = call(s, from, "lookup", OwnName)
	expect(t, v, err, values.URI{Protocol: "PYRO", Object: OwnName, Host: "2001:db8::1", Port: 9090})
}

func TestWhoMayRegister(t *testing.T) {
	s := NewServer(NewDirectory(DirectoryConfig{Store: store.NewMemory()}), Config{
		MayRegister: func(from control.Caller) bool { return from.Listener == "inside" },
	})
	in, out := control.Caller{Listener: "inside"}, control.Caller{Listener: "outside"}
	for _, m := range []string{"register", "set_metadata", "remove"} {
		args := []values.Value{"n", "PYRO:o@h:1"}
		if m == "set_metadata" {
			args[1] = values.List{"m"}
		}
		if _, err := call(s, out, m, args...); described(err) != "errors.SecurityError: "+m+" is not permitted from here" {
			t.Error(m, err)
		}
		if _, err := call(s, in, m, args...); err != nil {
			t.Error(m, err)
		}
	}
	v, err := call(s, out, "count")
	expect(t, v, err, int64(1))
}

func TestProtectedNames(t *testing.T) {
	d := NewDirectory(DirectoryConfig{Store: store.NewMemory()})
	s := NewServer(d, Config{Protected: []string{"core.*", "exact"}})
	must(t, d.register(context.Background(), reg("core.a"), false))
	must(t, d.register(context.Background(), reg("cost"), false))
	from := asker(wire.V48)
	for _, c := range []struct {
		method, name string
		arg          values.Value
	}{
		{"register", "core.a", "PYRO:o@h:1"}, {"register", "exact", "PYRO:o@h:1"}, {"register", OwnName, "PYRO:o@h:1"},
		{"set_metadata", "core.a", nil}, {"set_metadata", OwnName, values.List{"m"}}, {"remove", "core.a", nil},
	} {
		if _, err := call(s, from, c.method, c.name, c.arg); described(err) != "errors.NamingError: name is protected: "+c.name {
			t.Errorf("%s %s: %v", c.method, c.name, err)
		}
	}
	v, err := call(s, from, "remove", nil, "co")
	expect(t, v, err, int64(1))
	expectNames(t, d, "core.a")
}

func TestLimitsOfARegistration(t *testing.T) {
	s := NewServer(NewDirectory(DirectoryConfig{Store: store.NewMemory()}), Config{Limits: Limits{Name: 4, URI: 30, Tags: 2, Tag: 3, Pattern: 5}})
	from := asker(wire.V502)
	const uri = "PYRO:o@h:1"
	for want, args := range map[string][]values.Value{
		"name is longer than 4 bytes":        {"abcde", uri},
		"uri is longer than 30 bytes":        {"a", "PYRO:" + strings.Repeat("o", 30) + "@h:1"},
		"more than 2 metadata for one name":  {"a", uri, false, values.List{"1", "2", "3"}},
		"metadata longer than 3 bytes":       {"a", uri, false, values.List{"1234"}},
		"metadata must be valid Unicode":     {"a", uri, false, values.List{"\xff"}},
		"name and uri must be valid Unicode": {"\xff", uri},
	} {
		if _, err := call(s, from, "register", args...); described(err) != "builtins.ValueError: "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := call(s, from, "register", "a", uri, false, values.List{int64(5)}); described(err) != "builtins.TypeError: metadata must be strings, not int" {
		t.Error(err)
	}
	for _, m := range []string{"lookup", "set_metadata"} {
		args := []values.Value{"abcde", nil}
		if _, err := call(s, from, m, args...); described(err) != "errors.NamingError: unknown name: abcde" {
			t.Error(m, err)
		}
	}
	for _, pattern := range []string{"abcdef", "\xff"} {
		if _, err := call(s, from, "list", nil, pattern); described(err) != "errors.NamingError: invalid regex: too long, or not Unicode" {
			t.Error(err)
		}
	}
	if _, err := call(s, from, "shutdown"); !strings.HasPrefix(described(err), "builtins.AttributeError: ") {
		t.Error(err)
	}
}

// TestRegexSize has patterns that would grow beyond bounds.
func TestRegexSize(t *testing.T) {
	for _, pattern := range []string{"((a{99}){99}){99}", strings.Repeat("(", 200), strings.Repeat("(", 60) + strings.Repeat(")", 60),
		"a{2000}", "(?:" + strings.Repeat("a", 100) + "){100}"} {
		if _, err := compilePython(pattern); err == nil || !strings.Contains(err.Error(), "not supported") {
			t.Errorf("%.20s: %v", pattern, err)
		}
	}
}

// decodeValue makes any value of bytes, for the fuzzer.
func decodeValue(b []byte, depth int) (values.Value, []byte) {
	if len(b) == 0 || depth > 4 {
		return nil, nil
	}
	kind, b := b[0], b[1:]
	n := 0
	if len(b) > 0 {
		n = int(b[0]) % 5
	}
	text := string(b[:min(n, len(b))])
	many := func() (list []values.Value) {
		for range n {
			var v values.Value
			v, b = decodeValue(b, depth+1)
			list = append(list, v)
		}
		return list
	}
	switch kind % 20 {
	case 0:
		return nil, b
	case 1:
		return n > 2, b
	case 2:
		return int64(n), b
	case 3:
		return float64(n), b
	case 4:
		return []byte(text), b
	case 5:
		return values.Tuple(many()), b
	case 6:
		return values.List(many()), b
	case 7:
		return values.Set(many()), b
	case 8:
		d := values.Dict{}
		for _, v := range many() {
			d = append(d, values.Pair{Key: v, Value: v})
		}
		return d, b
	case 9:
		return values.URI{Protocol: text, Host: text, Port: n}, b
	case 10:
		return values.Proxy{}, b
	case 11:
		return values.Instance{Class: text}, b
	case 12:
		return &values.Exception{Class: text}, b
	case 13:
		return values.Exception{Class: text}, b
	case 14:
		return complex(float64(n), 0), b
	case 15:
		return n, b // no Value, but no reason to panic
	case 16:
		return OwnName, b
	case 17:
		return "PYRO:o@h:1", b
	}
	return text, b[min(n, len(b)):]
}

func FuzzArguments(f *testing.F) {
	f.Add([]byte{0, 3, 17, 17, 17, 6, 1, 18})
	f.Add([]byte{1, 2, 9, 2, 17, 7, 2})
	f.Add([]byte("\x05\x04(((((("))
	s := NewServer(NewDirectory(DirectoryConfig{Store: store.NewMemory()}), Config{})
	methods := append(s.Members().Methods, "other")
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, dialect := range []wire.Dialect{wire.V48, wire.V502, 0} {
			for _, method := range methods {
				var args []values.Value
				var kwargs values.Dict
				sig, _ := signatureOf(method, dialect)
				rest := b
				for i := 0; len(rest) > 0 && i < 6; i++ {
					var v values.Value
					v, rest = decodeValue(rest, 0)
					if i%3 == 2 && i < len(sig.params) {
						kwargs = append(kwargs, values.Pair{Key: sig.params[i], Value: v})
					} else {
						args = append(args, v)
					}
				}
				if _, err := s.Call(context.Background(), asker(dialect), method, args, kwargs); err != nil && broken(err) {
					t.Errorf("%s: no exception: %v", method, err)
				}
			}
		}
	})
}

func FuzzRegex(f *testing.F) {
	for _, p := range []string{"a{1,2}?", "(?P<n>[^\\W_])(?P=n)", "(?x) a # b\n c", "(?i-s:x)|(?#c)", "[]-a\\d]", "(?(1)a|b)", "\\N{x}\\400"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		if len(pattern) > 256 {
			return
		}
		re, err := compilePython(pattern)
		if (re == nil) == (err == nil) || err != nil && broken(err) {
			t.Fatalf("%v, %v", re, err)
		}
		if re != nil {
			re.MatchString("name.of.a \u00e9\n")
		}
	})
}
