package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// loaded is a valid configuration.
func loaded(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, err := config.Load("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if problems := cfg.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	return cfg
}

// newTestBook makes a book whose common port is at 192.0.2.9:9999, beside more of a
// configuration. Nothing runs.
func newTestBook(t testing.TB, more string) *book {
	t.Helper()
	f, err := newFleet(loaded(t, `
listeners: [{name: main, address: ":9999"}]
name_server: {listeners: ["127.0.0.1:9090"], max_names: 3}
`+more), metrics.New(metrics.Build{}), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	b := newBook(f)
	b.at = func(control.Caller) (string, int) { return "192.0.2.9", 9999 }
	b.own = func(host string, port int) bool { return host == "192.0.2.9" }
	return b
}

// registrations makes those of NAME=OBJECT@LOCATION or NAME/GROUP=…
func registrations(t *testing.T, origin names.Origin, texts ...string) (all []names.Registration) {
	t.Helper()
	for _, text := range texts {
		name, uri, _ := strings.Cut(text, "=")
		name, group, _ := strings.Cut(name, "/")
		u, err := values.ParseURI("PYRO:" + uri)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, names.Registration{Name: name, URI: u, Group: group, Origin: origin})
	}
	return all
}

// found is what a client of the common port gets who asks for an object: the addresses
// of the route's cluster, or the name of a route that is not one of names.
func (b *book) found(object string) string {
	r := b.fleet.table.Load().Find(&router.Request{Listener: "main", Object: object, ObjectKnown: true})
	if r == nil {
		return "none"
	}
	if r.Name != "names" {
		return r.Name
	}
	var at []string
	for _, e := range r.Cluster.Status().Endpoints {
		at = append(at, e.Address)
	}
	return strings.Join(at, " ")
}

func TestBook(t *testing.T) {
	const cluster = "clusters: [{name: c, static: ['192.0.2.1:1']}]\n"
	for _, c := range []struct {
		name, config string
		registered   []string
		told         map[string]string // by name, what its URI becomes, or part of the error
		found        map[string]string // by object
	}{
		{"one", "", []string{"a=o@h:1"},
			map[string]string{"a": "PYRO:o@192.0.2.9:9999"}, map[string]string{"o": "h:1", "p": "none"}},
		{"two names of one object", "", []string{"a=o@h:1", "b=o@H:1"},
			map[string]string{"a": "PYRO:o@192.0.2.9:9999", "b": "PYRO:o@192.0.2.9:9999"}, map[string]string{"o": "h:1"}},
		{"two objects of one daemon", "", []string{"a=o@h:1", "b=p@h:1"},
			map[string]string{"b": "PYRO:p@192.0.2.9:9999"}, map[string]string{"o": "h:1", "p": "h:1"}},
		{"one object at two daemons", "", []string{"a=o@h:1", "b=o@h:2", "c=p@h:2"},
			map[string]string{"a": "cannot be told apart", "b": "h:1 and at h:2", "c": "PYRO:p@192.0.2.9:9999"},
			map[string]string{"o": "none", "p": "h:2"}},
		{"a group", "", []string{"a/g=o@h:1", "b/g=o@h:2"},
			map[string]string{"a": "PYRO:o@192.0.2.9:9999"}, map[string]string{"o": "h:1 h:2"}},
		{"a group, and one beside it", "", []string{"a/g=o@h:1", "b/g=o@h:2", "c=o@h:1"},
			map[string]string{"a": "cannot be told apart", "c": "cannot be told apart"}, map[string]string{"o": "none"}},
		{"a configured route has the object", "routes: [{name: r, match: {object: 'o*'}, cluster: c}]\n" + cluster, []string{"a=o@h:1", "b=p@h:1"},
			map[string]string{"a": "that of route r", "b": "PYRO:p@192.0.2.9:9999"}, map[string]string{"o": "r", "p": "h:1"}},
		{"a configured route takes all at the end", "routes: [{name: r, cluster: c}]\n" + cluster, []string{"a=o@h:1"},
			map[string]string{"a": "PYRO:o@192.0.2.9:9999"}, map[string]string{"o": "h:1", "p": "r"}},
		{"a configured route takes some of all", "routes: [{name: r, match: {dialect: pyro4}, cluster: c}]\n" + cluster, []string{"a=o@h:1"},
			map[string]string{"a": "that of route r"}, map[string]string{"o": "none"}},
		{"the topics have the object", "topics: o\n", []string{"a=o@h:1"},
			map[string]string{"a": "that of route topics-registry"}, map[string]string{"o": "topics-registry"}},
		{"our own address, and what cannot be called", "", []string{"a=o@192.0.2.9:9999", "b=o@h:0", "c=o@h:1"},
			map[string]string{"a": "PYRO:o@192.0.2.9:9999", "b": "PYRO:o@h:0", "c": "PYRO:o@192.0.2.9:9999"}, map[string]string{"o": "h:1"}},
		{"a socket", "", []string{"a=o@./u:/s"},
			map[string]string{"a": "PYRO:o@192.0.2.9:9999"}, map[string]string{"o": "unix:/s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTestBook(t, c.config)
			all := registrations(t, names.Registered, c.registered...)
			b.changed(all)
			for _, r := range all {
				want, ok := c.told[r.Name]
				if !ok {
					continue
				}
				uri, err := b.Expose(t.Context(), r, control.Caller{})
				if got := uri.String(); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s is told as %s (%v), want %s", r.Name, got, err, want)
				}
			}
			for object, want := range c.found {
				if got := b.found(object); got != want {
					t.Errorf("%s leads to %s, want %s", object, got, want)
				}
			}
		})
	}
}

// TestBookForgets: a cluster outlives its names for a while, is the same when they come
// back by then, and is not there afterwards, with its metrics.
func TestBookForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBook(t, "")
		r := &catalogRig{t: t, catalog: &catalog{fleet: b.fleet}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); b.run(ctx) }()
		all := registrations(t, names.Registered, "a=o@./u:/nowhere")
		b.changed(all)
		synctest.Wait()
		first := b.clusters["names/unix:/nowhere"]
		b.changed(nil)
		if got := b.found("o"); got != "none" {
			t.Errorf("what is gone leads to %s", got)
		}
		time.Sleep(forgetAfter - time.Minute)
		b.changed(all)
		synctest.Wait()
		if b.clusters["names/unix:/nowhere"] != first {
			t.Error("it is another cluster")
		}
		time.Sleep(2 * forgetAfter)
		if got := b.found("o"); got != "unix:/nowhere" {
			t.Errorf("after it came back it leads to %s", got)
		}
		b.changed(nil)
		time.Sleep(forgetAfter + 2*lookAfter)
		synctest.Wait()
		if len(b.clusters) != 0 || len(b.fleet.all()) != 0 || r.series("names/unix:/nowhere") != 0 {
			t.Errorf("left are %d clusters, %d in the fleet and %d series", len(b.clusters), len(b.fleet.all()), r.series("names/unix:/nowhere"))
		}
		cancel()
		<-ended
		b.changed(all) // a client's last word, in flight
	})
}

// TestBookForeign: names of an upstream name server are known from when they are asked
// for, at the latest, until it has them no longer.
func TestBookForeign(t *testing.T) {
	b := newTestBook(t, "")
	all := registrations(t, names.Foreign, "a=o@h:1", "b=p@h:1", "c=q@h:1", "d=r@h:1")
	var upstream []names.Registration
	b.upstream = func(context.Context) ([]names.Registration, error) { return upstream, nil }
	for i, r := range all {
		if _, err := b.Expose(t.Context(), r, control.Caller{}); (err != nil) != (i == 3) {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	upstream = registrations(t, names.Foreign, "b=p@h:2", "c=q@h:1", "z=z@h:1")
	if err := b.review(t.Context()); err != nil {
		t.Fatal(err)
	}
	for object, want := range map[string]string{"o": "none", "p": "h:2", "q": "h:1", "z": "h:1"} {
		if got := b.found(object); got != want {
			t.Errorf("%s leads to %s, want %s", object, got, want)
		}
	}
	if _, err := b.Expose(t.Context(), all[3], control.Caller{}); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// TestBookAfterCatalog: what Consul's services have, names have not.
func TestBookAfterCatalog(t *testing.T) {
	b := newTestBook(t, "")
	b.changed(registrations(t, names.Registered, "a=o@h:1"))
	g := exactly("o")
	b.fleet.parts.catalog = []*router.Route{{Name: "service", Objects: []router.Glob{g}}}
	b.fleet.publish()
	b.reconsider()
	if _, err := b.Expose(t.Context(), registrations(t, names.Registered, "a=o@h:1")[0], control.Caller{}); err == nil || b.found("o") != "service" {
		t.Errorf("o leads to %s, and the name's error is %v", b.found("o"), err)
	}
}

// freePort is one that nobody listens at. It is not among those that systems give to
// connections, so that none takes it meanwhile.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 12_000+rand.IntN(8000)))
		if err == nil {
			defer ln.Close()
			return ln.Addr().(*net.TCPAddr).Port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// TestFailedStart: a start that fails leaves nothing open, whatever had been opened.
func TestFailedStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	main, ns, exposed := freePort(t), freePort(t), freePort(t)
	for what, at := range map[string][2]string{
		"the name server":  {taken.Addr().String(), ""},
		"the admin server": {fmt.Sprintf("127.0.0.1:%d", ns), taken.Addr().String()},
	} {
		t.Run(what, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			dir := t.TempDir()
			cfg := loaded(t, fmt.Sprintf(`
state_dir: %q
admin: {address: %q}
listeners: [{name: main, address: "127.0.0.1:%d"}]
topics: lab.topics
name_server: {listeners: [{address: %q, broadcast: false}], ports: 40000-40001}
routes: [{cluster: c}]
clusters: [{name: c, static: ["127.0.0.1:1"], expose: per_endpoint, ports: "%d"}]
`, dir, at[1], main, at[0], exposed))
			if err := serve(t.Context(), cfg, zap.NewNop(), "test"); err == nil {
				t.Fatal("it started")
			}
			for _, port := range []int{main, ns, exposed} {
				ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					t.Errorf("left open: %v", err)
					continue
				}
				ln.Close()
			}
			f, err := newFleet(cfg, metrics.New(metrics.Build{}), zap.NewNop()) // takes the stores' locks
			if err != nil {
				t.Fatalf("left open: %v", err)
			}
			f.close()
		})
	}
}

// TestPublishOrder: routes come in the order in which they count.
func TestPublishOrder(t *testing.T) {
	b := newTestBook(t, `
topics: lab.topics
routes: [{name: fixed, match: {object: "lab.*"}, cluster: c}, {name: rest, cluster: c}]
clusters: [{name: c, static: ["192.0.2.1:1"]}]
`)
	b.fleet.parts.catalog = []*router.Route{{Name: "service", Objects: []router.Glob{exactly("s")}, Cluster: new(backend.Cluster)}}
	b.fleet.publish()
	b.changed(registrations(t, names.Registered, "a=n@h:1", "b=s@h:1", "c=lab.x@h:1"))
	got := make([]string, 0, 5)
	for _, object := range []string{"lab.topics", "lab.x", "s", "n", "other"} {
		got = append(got, b.found(object))
	}
	if want := []string{ownCluster, "fixed", "service", "h:1", "rest"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
