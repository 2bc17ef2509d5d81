package names

import (
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// The ordinary strings of Python 2 are bytes in two of the serializers.
func TestStringsOfPython2(t *testing.T) {
	b := func(text string) []byte { return []byte(text) }
	for _, serializer := range []wire.Serializer{wire.Marshal, wire.Msgpack} {
		s := NewServer(NewDirectory(DirectoryConfig{Store: store.NewMemory()}), Config{})
		from := control.Caller{Dialect: wire.V48, Serializer: serializer}
		_, err := call(s, from, "register", b("cam"), b("PYRO:o@h:1"), false, values.List{b("red"), "blue"})
		must(t, err)
		want := values.URI{Protocol: "PYRO", Object: "o", Host: "h", Port: 1}
		v, err := call(s, from, "lookup", b("cam"), true)
		expect(t, v, err, values.Tuple{want, values.List{"blue", "red"}})
		all := named("cam", "PYRO:o@h:1")
		for _, args := range [][]values.Value{
			{b("ca")}, {values.Tuple{b("x"), b("c")}}, {nil, b("c.m")}, {nil, nil, values.Tuple{b("red"), b("blue")}}, {nil, nil, nil, values.Set{b("red")}},
		} {
			v, err = call(s, from, "list", args...)
			expect(t, v, err, all)
		}
		_, err = call(s, from, "set_metadata", b("cam"), values.Set{b("green")})
		must(t, err)
		v, err = call(s, from, "remove", b("cam"))
		expect(t, v, err, int64(1))

		_, err = call(s, from, "register", b("\xff"), b("PYRO:o@h:1"))
		if described(err) != "builtins.TypeError: name must be a str" {
			t.Error(err)
		}
		from.Dialect = wire.V502 // of Python 3 alone
		if _, err = call(s, from, "register", b("cam"), "PYRO:o@h:1"); described(err) != "builtins.TypeError: name must be a str" {
			t.Error(err)
		}
	}
}
