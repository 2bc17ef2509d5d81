package router_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func globs(t testing.TB, patterns ...string) (all []router.Glob) {
	t.Helper()
	for _, p := range patterns {
		g, err := router.CompileGlob(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	return all
}

func TestTable(t *testing.T) {
	table := router.NewTable([]*router.Route{
		{Name: "side", Listeners: []string{"side", "other"}},
		{Name: "cameras", Objects: globs(t, "lab.camera*", "cam?")},
		{Name: "pyro4 pickle", Dialects: []wire.Dialect{wire.V48}, Serializers: []wire.Serializer{wire.Pickle, wire.Dill}},
		{Name: "office", Sources: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
		{Name: "named", Objects: globs(t, "*"), Dialects: []wire.Dialect{wire.V502}},
		{Name: "default", Dialects: []wire.Dialect{wire.V48}},
	})
	elsewhere := netip.MustParseAddr("203.0.113.1")
	tests := []struct {
		want string
		q    router.Request
	}{
		{"side", router.Request{Listener: "side"}},
		{"side", router.Request{Listener: "other", Object: "lab.camera", ObjectKnown: true}},
		{"cameras", router.Request{Object: "lab.camera.1", ObjectKnown: true, Dialect: wire.V48, Serializer: wire.Pickle}},
		{"cameras", router.Request{Object: "cam7", ObjectKnown: true, Dialect: wire.V502}},
		{"named", router.Request{Object: "cam", ObjectKnown: true, Dialect: wire.V502}},
		{"named", router.Request{Object: "", ObjectKnown: true, Dialect: wire.V502}},
		{"pyro4 pickle", router.Request{Object: "x", ObjectKnown: true, Dialect: wire.V48, Serializer: wire.Dill}},
		{"default", router.Request{Object: "x", ObjectKnown: true, Dialect: wire.V48, Serializer: wire.Serpent, Source: elsewhere}},
		{"default", router.Request{Dialect: wire.V48, Serializer: wire.Serpent}},
		{"", router.Request{Dialect: wire.V502, Serializer: wire.Pickle}},
		{"", router.Request{Object: "lab.camera", Dialect: wire.V502}}, // not known
		{"office", router.Request{Source: netip.MustParseAddr("198.51.100.7"), Dialect: wire.V502}},
		{"office", router.Request{Source: netip.MustParseAddr("::ffff:198.51.100.7")}},
		{"office", router.Request{Source: netip.MustParseAddr("2001:db8::1%eth0")}},
		{"", router.Request{Source: elsewhere}},
	}
	for _, test := range tests {
		got := ""
		if r := table.Find(&test.q); r != nil {
			got = r.Name
		}
		if got != test.want {
			t.Errorf("%+v takes route %q, want %q", test.q, got, test.want)
		}
	}
	if r := router.NewTable(nil).Find(&router.Request{}); r != nil {
		t.Errorf("an empty table gives route %q", r.Name)
	}
}

// TestSessionRoute: what a session knows of its client decides the route.
func TestSessionRoute(t *testing.T) {
	plain := func(d wire.Dialect, s wire.Serializer, object string) []byte {
		return pyrotest.ConnectMessage(d, s, object, "hello").Bytes()
	}
	tests := []struct {
		name    string
		connect []byte
		want    string
		object  string
	}{
		{"object", plain(wire.V502, wire.Serpent, "lab.camera"), "camera", "lab.camera"},
		{"serializer", plain(wire.V502, wire.Marshal, "x"), "marshal", "x"},
		{"source and dialect", plain(wire.V502, wire.JSON, "x"), "here", "x"},
		{"another object", plain(wire.V48, wire.Serpent, "x"), "default", "x"},
		{"METADATA off", plain(wire.V48, wire.Serpent, ""), "default", ""},
		{"unreadable", messages{wire.V48}.message(wire.Connect, 30).Bytes(), "default", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(1)
			route := func(r router.Route) *router.Route {
				r.Cluster, r.Calls = w.cluster, w.set.Calls(r.Name, "cluster")
				return &r
			}
			table := router.NewTable([]*router.Route{
				route(router.Route{Name: "elsewhere", Sources: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}),
				route(router.Route{Name: "side", Listeners: []string{"side"}}),
				route(router.Route{Name: "camera", Objects: globs(t, "*camera")}),
				route(router.Route{Name: "marshal", Serializers: []wire.Serializer{wire.Marshal}}),
				route(router.Route{Name: "here", Dialects: []wire.Dialect{wire.V502}, Sources: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}}),
				route(router.Route{Name: "default"}),
			})
			w.env.Table = func() *router.Table { return table }
			h := newHarness(t, w)
			if h.session.Route() != nil || h.session.Dialect() != 0 {
				t.Error("route or dialect before the first byte")
			}
			h.says(test.connect)
			r := h.session.Route()
			if r == nil || r.Name != test.want {
				t.Fatalf("took route %+v, want %s", r, test.want)
			}
			sum := h.session.Summary()
			head, _ := wire.ParseHead(test.connect)
			if sum.Object != test.object || sum.Serializer != head.Serializer() || h.session.Dialect() != head.Dialect {
				t.Errorf("object %q, %s, %s", sum.Object, sum.Serializer, h.session.Dialect())
			}
			h.finish()
		})
	}
}

// A client that comes by a Unix socket has no source to match.
func TestNoSource(t *testing.T) {
	table := router.NewTable([]*router.Route{{Sources: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}})
	if table.Find(&router.Request{}) != nil {
		t.Error("no address matches a prefix")
	}
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			var routes []*router.Route
			for i := range n {
				routes = append(routes, &router.Route{Objects: globs(b, fmt.Sprintf("lab.*.camera%d", i))})
			}
			table := router.NewTable(routes)
			q := router.Request{Object: fmt.Sprintf("lab.west.camera%d", n-1), ObjectKnown: true, Dialect: wire.V502}
			b.ReportAllocs()
			for b.Loop() {
				if table.Find(&q) == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}
