package config_test

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pyro-dispatch/pyro-dispatch/config"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

var update = flag.Bool("update", false, "rewrite the generated files from what the code says now")

// TestBad holds the exact messages: testdata/bad/*.yaml, each with what is said
// about it in the .txt beside it.
func TestBad(t *testing.T) {
	names, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no bad files (%v): this test would test nothing", err)
	}
	for _, name := range names {
		base := strings.TrimSuffix(filepath.Base(name), ".yaml")
		t.Run(base, func(t *testing.T) {
			doc, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := problemsOf(t, filepath.Base(name), doc).Error() + "\n"
			pyrotest.Golden(t, strings.TrimSuffix(name, ".yaml")+".txt", got, *update)
		})
	}
	// The other way round: an expectation whose input went is not tested.
	texts, _ := filepath.Glob("testdata/bad/*.txt")
	for _, text := range texts {
		if !slices.Contains(names, strings.TrimSuffix(text, ".txt")+".yaml") {
			t.Errorf("%s has no .yaml beside it", text)
		}
	}
}

// problemsOf returns all that is wrong with a document; something must be.
func problemsOf(t *testing.T, name string, doc []byte) config.Problems {
	t.Helper()
	c, err := config.Load(name, doc)
	if err != nil {
		var problems config.Problems
		if !errors.As(err, &problems) || len(problems) == 0 || c != nil {
			t.Fatalf("Load returned %v and %T %v: want nil and Problems", c, err, err)
		}
		return problems
	}
	problems := c.Validate()
	if len(problems) == 0 {
		t.Fatal("loads and validates")
	}
	return problems
}

func TestLoad(t *testing.T) {
	const doc = `
log: {level: warn, format: console}
admin: {address: ""}
drain_timeout: 0s
limits: {max_message_size: 1GiB, max_request_annotations: 1024, buffer_memory: "134217728"}
listeners:
  - address: "[::1]:09999"
    default_dialect: 48
    max_sessions: 5
  - {name: local, address: "unix:/run/pyro.sock"}
routes:
  - {name: cameras, match: {listener: local, object: "lab.*", dialect: [pyro4, 502], serializer: [json], source: ["10.0.0.0/8", "::1"]}, cluster: b}
  - {match: {object: ["x", '\*']}, cluster: cameras}
  - cluster: cameras
clusters:
  - name: cameras
    dialect: pyro4
    static: ["localhost:5555", {address: "[::1]:5555", dialect: pyro5, weight: 3}]
  - {name: b, static: ["unix:/run/cam.sock"], connect_timeout: 1m}
`
	want := config.Default()
	want.Log = config.Log{Level: config.LevelWarn, Format: config.FormatConsole}
	want.Admin, want.DrainTimeout = config.Admin{}, 0
	want.Limits = config.Limits{
		MaxMessageSize: config.GiB, MaxRequestAnnotations: config.KiB,
		MaxHandshake: config.MiB, StoreAndForward: 64 * config.KiB, BufferMemory: 128 * config.MiB,
		FanoutMemory: 64 * config.MiB, SpillThreshold: 4 * config.MiB, SpillBytes: config.GiB,
	}
	want.Listeners = []config.Listener{
		{Name: "[::1]:9999", Address: tcp("[::1]:9999"), DefaultDialect: config.Pyro4,
			HandshakeTimeout: 10 * time.Second, RequestTimeout: 30 * time.Second, MaxSessions: 5},
		{Name: "local", Address: unix("/run/pyro.sock"), DefaultDialect: config.Pyro5,
			HandshakeTimeout: 10 * time.Second, RequestTimeout: 30 * time.Second, MaxSessions: 10_000},
	}
	want.Routes = []config.Route{
		route("cameras", "b", config.Match{
			Listener: []string{"local"}, Object: []config.Pattern{"lab.*"},
			Dialect: []config.Dialect{config.Pyro4, config.Pyro5}, Serializer: []config.Serializer{config.JSON},
			Source: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}),
		route("cameras-2", "cameras", config.Match{Object: []config.Pattern{"x", `\*`}}),
		route("cameras-3", "cameras", config.Match{}),
	}
	cameras, b := config.DefaultCluster(), config.DefaultCluster()
	cameras.Name, cameras.Dialect = "cameras", config.Pyro4
	cameras.Static = []config.Endpoint{
		{Address: tcp("localhost:5555"), Dialect: config.Pyro4, Weight: 1},
		{Address: tcp("[::1]:5555"), Dialect: config.Pyro5, Weight: 3},
	}
	b.Name, b.ConnectTimeout = "b", time.Minute
	b.Static = []config.Endpoint{{Address: unix("/run/cam.sock"), Weight: 1}}
	want.Clusters = []config.Cluster{cameras, b}
	loads(t, doc, want)
}

// TestLoadCluster gives every key of a cluster that TestLoad leaves alone, and
// of Consul, another value than its default.
func TestLoadCluster(t *testing.T) {
	const doc = `
consul:
  address: https://consul.lab
  token_file: /etc/token
  datacenter: dc1
  namespace: ns
  partition: part
  tls: {ca_file: ca, cert_file: cert, key_file: key, server_name: consul, insecure_skip_verify: true}
  discover: {tag: pyro}
  register: {name: dispatch, address: "dispatch.lab:9999", tags: [a, b], check_interval: 1m, deregister_after: 2m}
listeners: [{address: ":1"}]
routes: [{cluster: c, mode: call, idempotent: true, cache_handshake: false}]
clusters:
  - name: c
    dns: {name: _pyro._tcp.lab, type: srv, interval: 1s}
    consul: {service: [x, y], tags: v2, warning: true, filter: 'Node.Meta.rack == "1"', datacenters: [dc2, dc1], near: _agent}
    balance: hash
    hash_by: annotation:ABCD
    name_server: {address: "ns.lab:9090", dialect: pyro4, prefix: cam., regex: 'cam\.\d+', metadata_all: [a], metadata_any: [b, c], interval: 1m}
    object: cam
    handshake: secret
    expose: per_endpoint
    ports: 20000-20999
    expose_address: "::"
    expose_listener: ":1"
    static: [{address: "a:1", object: cam-1}]
    max_connections: 16
    nested_reserve: 2
    max_pinned: 3
    stream_idle_timeout: 1m
    queue: 0
    queue_timeout: 1s
    min_idle: 4
    idle_timeout: 2s
    max_age: 0s
    handshake_ttl: 3s
    retries: 0
    retry_budget: 0
    ghost_timeout: 0s
    on_down: close
    slow_start: 0s
    panic_threshold: 100
    health_check: {enabled: false, interval: 1s, timeout: 1s, rise: 1, fall: 1, object: health, serializer: marshal, handshake: "pass word"}
    breaker: {enabled: false, consecutive_failures: 1, failure_ratio: 2, minimum_calls: 3, window: 4s, open: 5m, probes: 6}
    outlier: {enabled: false, consecutive_failures: 1, failure_ratio: 2, minimum_calls: 3, window: 4s, ejection: 5s, max_ejection: 6s, max_ejection_percent: 7}
`
	want := config.Default()
	want.Consul = config.Consul{
		Address:   config.ConsulAddress{Scheme: "https", Address: tcp("consul.lab:443")},
		TokenFile: "/etc/token", Datacenter: "dc1", Namespace: "ns", Partition: "part",
		TLS:      config.ConsulTLS{CAFile: "ca", CertFile: "cert", KeyFile: "key", ServerName: "consul", InsecureSkipVerify: true},
		Discover: config.Discover{Tag: "pyro"},
		Register: config.Register{Name: "dispatch", Address: tcp("dispatch.lab:9999"), Tags: []string{"a", "b"},
			CheckInterval: time.Minute, DeregisterAfter: 2 * time.Minute},
	}
	listener := config.DefaultListener()
	listener.Name, listener.Address = ":1", tcp(":1")
	want.Listeners = []config.Listener{listener}
	r := route("c", "c", config.Match{})
	r.Mode, r.Idempotent, r.CacheHandshake = config.ModeCall, true, false
	want.Routes = []config.Route{r}
	want.Clusters = []config.Cluster{{
		Name: "c",
		DNS:  config.DNS{Name: "_pyro._tcp.lab", Type: config.DNSTypeSRV, Interval: time.Second},
		Consul: config.ConsulService{Service: []string{"x", "y"}, Tags: []string{"v2"}, Warning: true,
			Filter: `Node.Meta.rack == "1"`, Datacenters: []string{"dc2", "dc1"}, Near: "_agent"},
		Static: []config.Endpoint{{Address: tcp("a:1"), Weight: 1, Object: "cam-1"}},
		NameServer: config.NameSource{Address: tcp("ns.lab:9090"), Dialect: config.Pyro4, Prefix: "cam.", Regex: `cam\.\d+`,
			MetadataAll: []string{"a"}, MetadataAny: []string{"b", "c"}, Interval: time.Minute},
		Object: "cam", Handshake: "secret",
		Expose: config.ExposePerEndpoint, Ports: config.PortRange{First: 20000, Last: 20999},
		ExposeAddress: "::", ExposeListener: ":1",
		ConnectTimeout: 5 * time.Second, Balance: config.BalanceHash, HashBy: "annotation:ABCD",
		MaxConnections: 16, NestedReserve: 2, MaxPinned: 3, StreamIdleTimeout: time.Minute,
		QueueTimeout: time.Second, MinIdle: 4, IdleTimeout: 2 * time.Second, HandshakeTTL: 3 * time.Second,
		OnDown: config.OnDownClose, PanicThreshold: 100,
		HealthCheck: config.HealthCheck{Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1,
			Object: "health", Serializer: config.Marshal, Handshake: "pass word"},
		Breaker: config.Breaker{ConsecutiveFailures: 1, FailureRatio: 2, MinimumCalls: 3, Window: 4 * time.Second,
			Open: 5 * time.Minute, Probes: 6},
		Outlier: config.Outlier{ConsecutiveFailures: 1, FailureRatio: 2, MinimumCalls: 3, Window: 4 * time.Second,
			Ejection: 5 * time.Second, MaxEjection: 6 * time.Second, MaxEjectionPercent: 7},
	}}
	loads(t, doc, want)
}

// route is one with the defaults of a route.
func route(name, cluster string, m config.Match) config.Route {
	r := config.DefaultRoute()
	r.Name, r.Cluster, r.Match = name, cluster, m
	return r
}

func tcp(a string) config.Address  { return config.Address{Network: "tcp", Address: a} }
func unix(a string) config.Address { return config.Address{Network: "unix", Address: a} }

// loads wants a document to be a valid configuration, and which.
func loads(t *testing.T, doc string, want config.Config) {
	t.Helper()
	got, err := config.Load("good.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got, ignoreSource); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if problems := got.Validate(); len(problems) > 0 {
		t.Error(problems)
	}
}

// What may stand in place of a mapping, and what may be left out.
func TestGood(t *testing.T) {
	for name, doc := range map[string]string{
		"a service":            `{routes: [{cluster: c}], clusters: [{name: c, consul: x}]}`,
		"services":             `{routes: [{cluster: c}], clusters: [{name: c, consul: [x, y]}]}`,
		"a name in DNS":        `{routes: [{cluster: c}], clusters: [{name: c, dns: "x:1"}]}`,
		"all sources":          `{routes: [{cluster: c}], clusters: [{name: c, dns: "x:1", consul: y, static: ["z:1"]}]}`,
		"only discovery":       `{consul: {discover: {tag: x}}}`,
		"empty lists":          `{routes: [{cluster: c}], clusters: [{name: c, consul: {service: x, tags: [], datacenters: []}}], consul: {register: {tags: []}}}`,
		"registers as it is":   `{routes: [{cluster: c}], clusters: [{name: c, consul: x}], consul: {register: {name: x}}}`,
		"is never dropped":     `{routes: [{cluster: c}], clusters: [{name: c, consul: x}], consul: {register: {name: x, deregister_after: 0s}}}`,
		"one connection":       `{routes: [{cluster: c, mode: call}], clusters: [{name: c, consul: x, max_connections: 1}]}`,
		"no limit, so no half": `{routes: [{cluster: c}], clusters: [{name: c, consul: x, max_pinned: 100, nested_reserve: 100, min_idle: 100}]}`,
		"only a ratio":         `{routes: [{cluster: c}], clusters: [{name: c, consul: x, breaker: {consecutive_failures: 0}}]}`,
		"off by itself":        `{routes: [{cluster: c}], clusters: [{name: c, consul: x, breaker: {enabled: false, consecutive_failures: 0, failure_ratio: 0}}]}`,
		"pickle of pyro4":      `{routes: [{cluster: c}], clusters: [{name: c, consul: x, dialect: pyro4, health_check: {serializer: pickle}}]}`,
		"found ones may speak it": `{routes: [{match: {dialect: pyro4}, cluster: c}],
			clusters: [{name: c, static: [{address: "a:1", dialect: pyro5}], dns: "x:1"}]}`,
		"instances may state it": `{routes: [{match: {dialect: pyro4}, cluster: c}],
			clusters: [{name: c, static: ["a:1"], dialect: pyro5, consul: x}]}`,
		"only topics":            `{topics: x}`,
		"only a name server":     `{name_server: {listeners: [":9090"]}}`,
		"topics without storage": `{topics: {object: "", max_topics: 5}, name_server: {listeners: [], storage: file, ports: 1-2}, routes: [{cluster: c}], clusters: [{name: c, consul: x}]}`,
		"only an answer":         `{routes: [{match: {object: a}, answer: m}], clusters: [{name: c, consul: x}]}`,
		"calls of topics":        `{topics: x, routes: [{match: {object: x, blob: {info: a}}, cluster: c}], clusters: [{name: c, consul: x}]}`,
		"calls for discovery":    `{consul: {discover: {tag: x}}, routes: [{match: {annotation: {TENT: x}}, cluster: c}], clusters: [{name: c, consul: x}]}`,
		"found by name": `{routes: [{match: {dialect: pyro4}, cluster: c}],
			clusters: [{name: c, name_server: {address: "ns:9090", metadata_any: a}}]}`,
		"retargeted to itself": `{routes: [{match: {blob: {info: a}}, rewrite: {}, cluster: c}, {cluster: c}], clusters: [{name: c, consul: x}]}`,
		"ports elsewhere": `{routes: [{cluster: c}],
			clusters: [{name: c, consul: x, expose: per_endpoint, ports: 9990, expose_address: 10.0.0.1}, {name: d, consul: y, expose: per_endpoint, ports: 9990, expose_address: 10.0.0.2}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			c, err := config.Load("x", []byte(`{listeners: [{address: ":1"}], `+strings.TrimPrefix(doc, "{")))
			if err != nil {
				t.Fatal(err)
			}
			if problems := c.Validate(); len(problems) > 0 {
				t.Error(problems)
			}
		})
	}
}

var ignoreSource = cmp.Options{cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateComparable(netip.Prefix{})}

// A section whose keys are all commented out is as good as none.
func TestEmptySectionsKeepDefaults(t *testing.T) {
	got, err := config.Load("x", []byte("log:\nadmin: ~\nlimits: {}\nlisteners:\nroutes: null\nclusters: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), *got, ignoreSource); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLoadTooLarge(t *testing.T) {
	_, err := config.Load("/dev/zero", make([]byte, config.MaxDocument+1))
	const want = "/dev/zero: larger than 4MiB: this cannot be a configuration"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Routes that differ in what they match are all reachable.
func TestReachable(t *testing.T) {
	for name, routes := range map[string]string{
		"a pattern does not match a missing object": `[{match: {object: "*"}, cluster: c}, {cluster: c}]`,
		"narrow first":        `[{match: {source: 10.0.0.0/16}, cluster: c}, {match: {source: 10.0.0.0/8}, cluster: c}]`,
		"one of two":          `[{match: {object: a}, cluster: c}, {match: {object: [a, b]}, cluster: c}]`,
		"other families":      `[{match: {source: 0.0.0.0/0}, cluster: c}, {match: {source: "::/0"}, cluster: c}]`,
		"other keys":          `[{match: {dialect: pyro4}, cluster: c}, {match: {object: a}, cluster: c}]`,
		"calls and clients":   `[{cluster: c}, {match: {blob: {info: "*"}}, cluster: c}]`,
		"clients and calls":   `[{match: {blob: {info: "*"}}, cluster: c}, {cluster: c}]`,
		"numbers and text":    `[{match: {blob: {info: "*"}}, cluster: c}, {match: {blob: {info: [a, 7]}}, cluster: c}, {cluster: c}]`,
		"the same digits":     `[{match: {blob: {info: "7"}}, cluster: c}, {match: {blob: {info: 7}}, cluster: c}, {cluster: c}]`,
		"other parts":         `[{match: {blob: {info: a}}, cluster: c}, {match: {blob: {info.a: a}}, cluster: c}, {cluster: c}]`,
		"more conditions":     `[{match: {blob: {info: a, method: m}}, cluster: c}, {match: {blob: {info: a}}, cluster: c}, {cluster: c}]`,
		"only with a blob":    `[{match: {blob: {info: a}, annotation: {TENT: a}}, cluster: c}, {match: {annotation: {TENT: a}}, cluster: c}, {cluster: c}]`,
		"calls by connection": `[{match: {object: a, blob: {info: a}}, cluster: c}, {match: {blob: {info: a}}, cluster: c}, {cluster: c}]`,
		"pickle of pyro4":     `[{match: {dialect: [pyro5, pyro4], serializer: pickle}, cluster: c}]`,
	} {
		t.Run(name, func(t *testing.T) {
			c, err := config.Load("x", []byte(`{listeners: [{address: ":1"}], clusters: [{name: c, static: ["a:1"]}], routes: `+routes+`}`))
			if err != nil {
				t.Fatal(err)
			}
			if problems := c.Validate(); len(problems) > 0 {
				t.Error(problems)
			}
		})
	}
}

// Elements are compared with each other, so their number has a bound.
func TestTooManyElements(t *testing.T) {
	doc := `{listeners: [{address: ":1"}], routes: [{cluster: c}], clusters: [{name: c, static: [` + strings.Repeat("a, ", 10_001) + `]}]}`
	problems := problemsOf(t, "x", []byte(doc))
	if len(problems) != 1 || problems[0].Path != "clusters[0].static" || problems[0].Text != "has 10001 elements: at most 10000" {
		t.Error(problems)
	}
}
