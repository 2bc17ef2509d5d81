package config_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// TestLoadCalls gives every key of routes for calls another value than its default.
func TestLoadCalls(t *testing.T) {
	const doc = `
limits: {fanout_memory: 1GiB}
state_dir: /var/lib/pyro-dispatch
listeners: [{address: ":1", advertise: "pyro.example.org:5555"}, {address: ":2", advertise: ":0"}]
routes:
  - match:
      object: "lab.*"
      blob: {info: [a, "b*", 7, 0.5, -1e3, "8"], "info.tenant": acme, 'info."a.b".0': 1, object: x, method: [m, n]}
      annotation: {TENT: ["acme-*", '\*'], "Ab.1": x}
    rewrite: {object: "listener.{info}", method: "{method}_{info.tenant}"}
    delivery: all
    wait: {quorum: 2}
    no_listener: none
    cluster: c
  - {match: {annotation: {TENT: other}}, no_listener: none, mode: call, cluster: c}
  - {match: {blob: {info: x}}, delivery: all, wait: quorum 3, cluster: c}
  - {match: {blob: {info: y}}, delivery: first, cluster: c}
  - {match: {object: ['a\*', b]}, answer: {methods: [m, n], oneway: n}}
  - {match: {object: c}, answer: [m, n], cluster: c}
  - {match: {object: d}, answer: m, mode: call}
clusters: [{name: c, static: ["a:1"]}]
`
	text := func(s string) config.Value { return config.Value{Text: s} }
	number := func(s string) config.Value { return config.Value{Number: true, Text: s} }
	want := config.Default()
	want.Limits.FanoutMemory, want.StateDir = config.GiB, "/var/lib/pyro-dispatch"
	want.Listeners = []config.Listener{config.DefaultListener(), config.DefaultListener()}
	want.Listeners[0].Name, want.Listeners[0].Address = ":1", tcp(":1")
	want.Listeners[0].Advertise = config.Advertise{Host: "pyro.example.org", Port: 5555}
	want.Listeners[1].Name, want.Listeners[1].Address = ":2", tcp(":2")
	call := func(name, cluster string, m config.Match, change func(*config.Route)) {
		r := route(name, cluster, m)
		r.Mode = config.ModeCall
		change(&r)
		want.Routes = append(want.Routes, r)
	}
	call("c", "c", config.Match{
		Object: []config.Pattern{"lab.*"},
		Blob: config.Conditions{
			{Key: "info", Any: []config.Value{text("a"), text("b*"), number("7"), number("0.5"), number("-1000"), text("8")}},
			{Key: "info.tenant", Any: []config.Value{text("acme")}},
			{Key: `info."a.b".0`, Any: []config.Value{number("1")}},
			{Key: "object", Any: []config.Value{text("x")}},
			{Key: "method", Any: []config.Value{text("m"), text("n")}},
		},
		Annotation: config.Conditions{
			{Key: "TENT", Any: []config.Value{text("acme-*"), text(`\*`)}},
			{Key: "Ab.1", Any: []config.Value{text("x")}},
		},
	}, func(r *config.Route) {
		r.Rewrite = config.Rewrite{Object: "listener.{info}", Method: "{method}_{info.tenant}"}
		r.Delivery, r.Wait, r.NoListener = config.DeliverAll, "quorum 2", config.NoListenerNone
	})
	call("c-2", "c", config.Match{Annotation: config.Conditions{{Key: "TENT", Any: []config.Value{text("other")}}}}, func(r *config.Route) {
		r.NoListener = config.NoListenerNone
	})
	call("c-3", "c", config.Match{Blob: config.Conditions{{Key: "info", Any: []config.Value{text("x")}}}}, func(r *config.Route) {
		r.Delivery, r.Wait = config.DeliverAll, "quorum 3"
	})
	call("c-4", "c", config.Match{Blob: config.Conditions{{Key: "info", Any: []config.Value{text("y")}}}}, func(r *config.Route) {
		r.Delivery = config.DeliverFirst
	})
	call("a*", "", config.Match{Object: []config.Pattern{`a\*`, "b"}}, func(r *config.Route) {
		r.Answer = config.Answer{Methods: []string{"m", "n"}, Oneway: []string{"n"}}
	})
	call("c-5", "c", config.Match{Object: []config.Pattern{"c"}}, func(r *config.Route) {
		r.Answer = config.Answer{Methods: []string{"m", "n"}}
	})
	call("d", "", config.Match{Object: []config.Pattern{"d"}}, func(r *config.Route) {
		r.Answer = config.Answer{Methods: []string{"m"}}
	})
	c := config.DefaultCluster()
	c.Name, c.Static = "c", []config.Endpoint{{Address: tcp("a:1"), Weight: 1}}
	want.Clusters = []config.Cluster{c}
	loads(t, doc, want)
}

// TestLoadNames gives every key of topics and name server another value than its
// default, but for the one way of delivery in which something is waited for.
func TestLoadNames(t *testing.T) {
	const doc = `
listeners: [{name: main, address: ":1"}]
topics:
  object: example.blobdispatcher
  listener: main
  allow: [192.0.2.0/24, "::1"]
  allow_unix: true
  storage: {file: /a}
  max_listeners: 1
  max_topics: 2
  forget_after: 0s
  delivery: all
  wait: quorum 2
  no_listener: error
  timeout: 1s
  handshake: secret
name_server:
  listeners:
    - ":9090"
    - {name: out, address: "10.0.0.1:9099", advertise: "[2001:db8::1]:9090", trusted: false, broadcast: false}
    - {name: other, address: "10.0.0.1:9098", broadcast: "10.0.0.1:9097"}
  storage: {consul: lab/names/}
  listener: main
  ports: 21000-21999
  groups: [{prefix: cam., name: cams}, {prefix: cal, name: cals}, {prefix: mic., name: cams}]
  publish: false
  max_names: 3
`
	want := config.Default()
	l := config.DefaultListener()
	l.Name, l.Address = "main", tcp(":1")
	want.Listeners = []config.Listener{l}
	want.Topics = config.Topics{
		Object: "example.blobdispatcher", Listener: []string{"main"},
		Allow:     []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")},
		AllowUnix: true, Storage: config.StorageChoice{File: "/a"}, MaxListeners: 1, MaxTopics: 2,
		Delivery: config.DeliverAll, Wait: "quorum 2", NoListener: config.NoListenerError,
		Timeout: new(time.Second), Handshake: "secret",
	}
	want.NameServer = config.NameServer{
		Listeners: []config.NameListener{
			{Name: ":9090", Address: tcp(":9090"), Trusted: true, Broadcast: config.Broadcast{Enabled: true}},
			{Name: "out", Address: tcp("10.0.0.1:9099"), Advertise: config.Advertise{Host: "2001:db8::1", Port: 9090}},
			{Name: "other", Address: tcp("10.0.0.1:9098"), Trusted: true, Broadcast: config.Broadcast{Enabled: true, Address: tcp("10.0.0.1:9097")}},
		},
		Storage: config.StorageChoice{Consul: "lab/names/"}, Listener: "main",
		Ports: config.PortRange{First: 21000, Last: 21999},
		Groups: []config.NameGroup{
			{Prefix: "cam.", Name: "cams"}, {Prefix: "cal", Name: "cals"}, {Prefix: "mic.", Name: "cams"},
		},
		MaxNames: 3,
	}
	loads(t, doc, want)

	// The short forms, and an existing name server.
	want = config.Default()
	want.Listeners = []config.Listener{l}
	want.Topics.Object, want.Topics.Storage.Kind = "x", config.StorageMemory
	want.NameServer.Listeners = []config.NameListener{config.DefaultNameListener()}
	want.NameServer.Listeners[0].Name, want.NameServer.Listeners[0].Address = ":9090", tcp(":9090")
	want.NameServer.Upstream = config.NameUpstream{Address: tcp("ns.lab:9090"), Dialect: config.Pyro4}
	loads(t, `{listeners: [{name: main, address: ":1"}], topics: {object: x, storage: memory},
		name_server: {listeners: [":9090"], upstream: {address: "ns.lab:9090", dialect: pyro4}}}`, want)
}

func TestStorage(t *testing.T) {
	memory := config.Storage{Kind: config.StorageMemory}
	file := func(path string) config.Storage { return config.Storage{Kind: config.StorageFile, Path: path} }
	consul := func(prefix string) config.Storage {
		return config.Storage{Kind: config.StorageConsul, Prefix: prefix}
	}
	for _, tt := range []struct {
		name, doc            string
		names, topics, ports config.Storage
		usesConsul           bool
	}{
		{"nothing", ``, memory, memory, memory, false},
		{"a directory", `state_dir: /d`, file("/d/names.json"), file("/d/topics.json"), file("/d/ports.json"), false},
		{"an address of Consul", `consul: {address: "c:1"}, state_dir: /d, topics: x`,
			consul("pyro-dispatch/names"), consul("pyro-dispatch/topics"), consul("pyro-dispatch/ports"), true},
		{"a use of Consul", `consul: {discover: {tag: x}}`,
			consul("pyro-dispatch/names"), consul("pyro-dispatch/topics"), consul("pyro-dispatch/ports"), true},
		{"other settings of Consul", `consul: {token: x}`, memory, memory, memory, false},
		{"names of their own", `state_dir: /d, name_server: {listeners: [":9090"], storage: consul}`,
			consul("pyro-dispatch/names"), file("/d/topics.json"), file("/d/ports.json"), true},
		{"names nowhere", `state_dir: /d, name_server: {listeners: [], storage: consul}, topics: {object: y, storage: memory}`,
			consul("pyro-dispatch/names"), memory, file("/d/ports.json"), false},
		{"keys of their own", `topics: {object: y, storage: {consul: a/b/}}, name_server: {listeners: [":9090"], storage: {file: n}}`,
			file("n"), consul("a/b"), memory, true},
		{"a kind alone", `state_dir: d/, topics: {object: y, storage: file}, consul: {address: "c:1"}`,
			consul("pyro-dispatch/names"), file("d/topics.json"), consul("pyro-dispatch/ports"), false},
		{"ports only", `name_server: {listeners: [":9090"], storage: memory, ports: 1000-1001}, consul: {address: "c:1"}`,
			memory, consul("pyro-dispatch/topics"), consul("pyro-dispatch/ports"), true},
		{"an endpoint's ports only", `routes: [{cluster: c}], clusters: [{name: c, static: ["a:1"], expose: per_endpoint, ports: 5}], consul: {address: "c:1"}`,
			consul("pyro-dispatch/names"), consul("pyro-dispatch/topics"), consul("pyro-dispatch/ports"), true},
		{"upstream", `name_server: {listeners: [":9090"], upstream: "a:1"}, consul: {address: "c:1"}`,
			consul("pyro-dispatch/names"), consul("pyro-dispatch/topics"), consul("pyro-dispatch/ports"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Load("x", []byte(`{listeners: [{address: ":1"}], `+tt.doc+`}`))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]config.Storage{tt.names, tt.topics, tt.ports}, []config.Storage{c.NamesStorage(), c.TopicsStorage(), c.PortsStorage()}); diff != "" {
				t.Errorf("names, topics, ports: -want +got:\n%s", diff)
			}
			if got := c.UsesConsul(); got != tt.usesConsul {
				t.Errorf("uses Consul: %t", got)
			}
		})
	}
}

func TestBroadcastAddress(t *testing.T) {
	for _, tt := range []struct {
		listeners string
		want      []string
	}{
		{`":9090"`, []string{":9091"}},
		{`"10.0.0.1:19090"`, []string{":9091"}},
		{`"127.0.0.1:9090"`, []string{""}},
		{`"[::1]:9090"`, []string{""}},
		{`"localhost:9090"`, []string{""}},
		{`{address: "127.0.0.1:9090", broadcast: "127.0.0.1:9091"}`, []string{"127.0.0.1:9091"}},
		{`{address: ":9090", broadcast: false}`, []string{""}},
		{`{address: ":9090", broadcast: false}, ":9092"`, []string{"", ":9091"}},
		{`"10.0.0.1:9090", "10.0.0.2:9090"`, []string{":9091", ""}},
		{`"10.0.0.1:9090", {address: "10.0.0.2:9090", broadcast: ":9092"}`, []string{":9091", ":9092"}},
		{`"10.0.0.1:9090", {address: "10.0.0.2:9090", broadcast: "10.0.0.255:9091"}`, []string{"", "10.0.0.255:9091"}},
	} {
		c, err := config.Load("x", []byte(`{listeners: [{address: ":1"}], name_server: {listeners: [`+tt.listeners+`]}}`))
		if err != nil {
			t.Fatal(err)
		}
		if problems := c.Validate(); len(problems) > 0 {
			t.Error(problems)
		}
		var got []string
		for i := range c.NameServer.Listeners {
			got = append(got, c.BroadcastAddress(i).String())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tt.listeners, diff)
		}
	}
}

func TestListenersOfNames(t *testing.T) {
	for _, tt := range []struct {
		listeners, listener, exposed string
		names, through, host         string
	}{
		{`{name: a, address: "unix:/s"}, {name: b, address: "10.0.0.1:1"}, {name: c, address: ":2"}`, "", "", "b", "b", "10.0.0.1"},
		{`{name: b, address: "10.0.0.1:1"}, {name: c, address: ":2"}`, ", listener: c", ", expose_listener: c", "c", "c", ""},
		{`{name: b, address: "10.0.0.1:1"}`, "", `, expose_address: "::1"`, "b", "b", "::1"},
	} {
		c, err := config.Load("x", []byte(`{listeners: [`+tt.listeners+`], name_server: {listeners: [":9090"]`+tt.listener+`}, routes: [{cluster: x}],
			clusters: [{name: x, static: ["a:1"], expose: per_endpoint, ports: 20000-20001`+tt.exposed+`}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if problems := c.Validate(); len(problems) > 0 {
			t.Error(problems)
		}
		if got := c.NamesListener().Name; got != tt.names {
			t.Errorf("%s: names are reached through %s", tt.listeners, got)
		}
		if got := c.ExposeThrough(&c.Clusters[0]).Name; got != tt.through {
			t.Errorf("%s: ports are like %s", tt.listeners, got)
		}
		if got := c.ExposeHost(&c.Clusters[0]); got != tt.host {
			t.Errorf("%s: ports are at %q", tt.listeners, got)
		}
	}
	c := config.Default()
	if c.NamesListener() != nil || c.ExposeThrough(&config.Cluster{}) != nil || c.ExposeHost(&config.Cluster{}) != "" {
		t.Error("there is a listener without any")
	}
}
