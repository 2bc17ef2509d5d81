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
    static: ["localhost:5555", {address: "[::1]:5555", dialect: pyro5}]
  - {name: b, static: ["unix:/run/cam.sock"], connect_timeout: 1m}
`
	tcp := func(a string) config.Address { return config.Address{Network: "tcp", Address: a} }
	unix := func(a string) config.Address { return config.Address{Network: "unix", Address: a} }
	want := config.Config{
		Log: config.Log{Level: config.LevelWarn, Format: config.FormatConsole},
		Limits: config.Limits{
			MaxMessageSize: config.GiB, MaxRequestAnnotations: config.KiB,
			MaxHandshake: config.MiB, StoreAndForward: 64 * config.KiB, BufferMemory: 128 * config.MiB,
		},
		Listeners: []config.Listener{
			{Name: "[::1]:9999", Address: tcp("[::1]:9999"), DefaultDialect: config.Pyro4,
				HandshakeTimeout: 10 * time.Second, RequestTimeout: 30 * time.Second, MaxSessions: 5},
			{Name: "local", Address: unix("/run/pyro.sock"), DefaultDialect: config.Pyro5,
				HandshakeTimeout: 10 * time.Second, RequestTimeout: 30 * time.Second, MaxSessions: 10_000},
		},
		Routes: []config.Route{
			{Name: "cameras", Cluster: "b", Match: config.Match{
				Listener: []string{"local"}, Object: []config.Pattern{"lab.*"},
				Dialect: []config.Dialect{config.Pyro4, config.Pyro5}, Serializer: []config.Serializer{config.JSON},
				Source: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}},
			{Name: "cameras-2", Cluster: "cameras", Match: config.Match{Object: []config.Pattern{"x", `\*`}}},
			{Name: "cameras-3", Cluster: "cameras"},
		},
		Clusters: []config.Cluster{
			{Name: "cameras", Dialect: config.Pyro4, ConnectTimeout: 5 * time.Second, Static: []config.Endpoint{
				{Address: tcp("localhost:5555"), Dialect: config.Pyro4},
				{Address: tcp("[::1]:5555"), Dialect: config.Pyro5}}},
			{Name: "b", ConnectTimeout: time.Minute, Static: []config.Endpoint{{Address: unix("/run/cam.sock")}}},
		},
	}
	got, err := config.Load("good.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got, ignoreSource, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if problems := got.Validate(); len(problems) > 0 {
		t.Error(problems)
	}
}

var ignoreSource = cmpopts.IgnoreUnexported(config.Config{})

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
		"narrow first":    `[{match: {source: 10.0.0.0/16}, cluster: c}, {match: {source: 10.0.0.0/8}, cluster: c}]`,
		"one of two":      `[{match: {object: a}, cluster: c}, {match: {object: [a, b]}, cluster: c}]`,
		"other families":  `[{match: {source: 0.0.0.0/0}, cluster: c}, {match: {source: "::/0"}, cluster: c}]`,
		"other keys":      `[{match: {dialect: pyro4}, cluster: c}, {match: {object: a}, cluster: c}]`,
		"pickle of pyro4": `[{match: {dialect: [pyro5, pyro4], serializer: pickle}, cluster: c}]`,
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
