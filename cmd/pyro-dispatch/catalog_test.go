package main

import (
	"context"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/discovery"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// catalogRig is a catalog that is told of services by the test. Nobody is where
// its clusters ask for their instances.
type catalogRig struct {
	*catalog
	t      *testing.T
	ctx    context.Context
	logged *observer.ObservedLogs
}

// newCatalogRig runs one beside the routes and clusters of a configuration, in a
// bubble, until the test ends.
func newCatalogRig(t *testing.T, more string) *catalogRig {
	t.Helper()
	cfg, err := config.Load("test.yaml", []byte(`
consul: {address: "unix:/nowhere/consul.sock", discover: {tag: lab}, register: {name: dispatch}}
listeners: [{name: main, address: ":9999"}]
`+more))
	if err != nil {
		t.Fatal(err)
	}
	if problems := cfg.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	core, logged := observer.New(zapcore.InfoLevel)
	f, err := newFleet(cfg, metrics.New(metrics.Build{}), zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &catalogRig{catalog: f.catalog, t: t, ctx: ctx, logged: logged}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return r
}

// finds tells of the services that there are now.
func (r *catalogRig) finds(services ...discovery.Service) { r.found(r.ctx, services) }

// route is where a client is sent.
func (r *catalogRig) route(object string, d wire.Dialect) *router.Route {
	return r.fleet.table.Load().Find(&router.Request{Listener: "main", Object: object, ObjectKnown: true, Dialect: d})
}

// reaches is the name of the route that a client gets.
func (r *catalogRig) reaches(object string, d wire.Dialect) string {
	if route := r.route(object, d); route != nil {
		return route.Name
	}
	return "none"
}

// forgotten collects garbage, as happens every two minutes of another time, and
// reports whether that makes a service forgotten. A stack may keep what is
// garbage for once.
func (r *catalogRig) forgotten() bool {
	before := r.count("service forgotten")
	for range 20 {
		runtime.GC()
		time.Sleep(2 * lookAfter)
		if r.count("service forgotten") > before {
			return true
		}
	}
	return false
}

// count is how often a message was logged.
func (r *catalogRig) count(message string) int { return r.logged.FilterMessage(message).Len() }

// series is how many series of a cluster there are.
func (r *catalogRig) series(cluster string) int {
	r.t.Helper()
	families, err := r.fleet.set.Registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "cluster" && l.GetValue() == cluster {
					n++
				}
			}
		}
	}
	return n
}

func (r *catalogRig) conflictsCounted() float64 {
	r.t.Helper()
	families, err := r.fleet.set.Registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "pyro_dispatch_source_conflicts_total" {
			for _, m := range f.GetMetric() {
				if strings.Contains(m.String(), `"catalog"`) {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	r.t.Fatal("conflicts are not counted")
	return 0
}

func service(name string, objects ...string) discovery.Service {
	return discovery.Service{Name: name, Objects: objects}
}

func in(d wire.Dialect, s discovery.Service) discovery.Service { s.Dialect = d; return s }

func TestServicesBecomeRoutes(t *testing.T) {
	const configured = `
routes: [{name: fixed, match: {object: "lab.fixed"}, cluster: old}]
clusters: [{name: old, static: ["192.0.2.1:5555"]}]
`
	for _, c := range []struct {
		name     string
		services []discovery.Service
		want     map[string][2]string // by object: the route of a Pyro4 client, and of a Pyro5 client
	}{
		{"none", nil, map[string][2]string{"lab.fixed": {"fixed", "fixed"}, "lab.cam": {"none", "none"}}},
		{"by object",
			[]discovery.Service{service("cam", "lab.cam*", "cam"), service("lens", "lens")},
			map[string][2]string{"lab.cam7": {"cam", "cam"}, "cam": {"cam", "cam"}, "lens": {"lens", "lens"}, "lab.lens": {"none", "none"}}},
		{"the configuration comes first",
			[]discovery.Service{service("all", "*")},
			map[string][2]string{"lab.fixed": {"fixed", "fixed"}, "lab.cam": {"all", "all"}}},
		{"names that are taken",
			[]discovery.Service{service("dispatch", "lab.a"), service("fixed", "lab.b"), service("free", "lab.c"), service("old", "lab.d")},
			map[string][2]string{"lab.a": {"none", "none"}, "lab.b": {"none", "none"}, "lab.c": {"free", "free"}, "lab.d": {"none", "none"}}},
		{"the same object in both dialects",
			[]discovery.Service{in(wire.V48, service("cam4", "lab.cam")), in(wire.V502, service("cam5", "lab.cam"))},
			map[string][2]string{"lab.cam": {"cam4", "cam5"}}},
		{"instances of the other dialect are reached as well",
			[]discovery.Service{in(wire.V48, service("cam", "lab.cam"))},
			map[string][2]string{"lab.cam": {"cam", "cam"}}},
		{"but only where no other service has the object",
			[]discovery.Service{in(wire.V48, service("cam", "*")), service("lens", "lens")},
			map[string][2]string{"lens": {"cam", "lens"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newCatalogRig(t, configured)
				r.finds(c.services...)
				got := make(map[string][2]string)
				for object := range c.want {
					got[object] = [2]string{r.reaches(object, wire.V48), r.reaches(object, wire.V502)}
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("routes of Pyro4 and Pyro5 clients (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestServiceChanges: clients keep the route and the cluster that they have, and
// others get the new route to the same cluster.
func TestServiceChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCatalogRig(t, "")
		cam := service("cam", "lab.cam")
		r.finds(cam, service("lens", "lens"))
		first, lens := r.route("lab.cam", wire.V502), r.route("lens", wire.V502)
		if first.Mode != router.ModeSession {
			t.Fatalf("the mode is %v", first.Mode)
		}
		cam.Mode, cam.Balance, cam.MaxConnections, cam.Objects = "call", "hash", 4, []string{"lab.cam2"}
		r.finds(cam, service("lens", "lens"))
		second := r.route("lab.cam2", wire.V502)
		switch {
		case second == nil || second.Mode != router.ModeCall:
			t.Errorf("the new route is %+v", second)
		case second.Cluster != first.Cluster:
			t.Error("the cluster is another one")
		case r.route("lab.cam", wire.V502) != nil:
			t.Error("the old object still has a route")
		case first.Mode != router.ModeSession:
			t.Error("the route of clients that are connected has changed")
		case r.route("lens", wire.V502) != lens:
			t.Error("a service that did not change has another route")
		}
		if got := len(r.fleet.all()); got != 2 {
			t.Errorf("there are %d clusters", got)
		}
		if r.count("service discovered") != 2 || r.count("service changed") != 1 {
			t.Errorf("logged %v", r.logged.All())
		}
	})
}

// TestServicesSaidOnce: what is wrong with a service is logged and counted when
// it begins, not at each change of some other one.
func TestServicesSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCatalogRig(t, "")
		own, cam := service("dispatch", "dispatch"), service("cam", "cam")
		counts := func(leftOut int) {
			t.Helper()
			if got := r.count("service left out"); got != leftOut || r.conflictsCounted() != float64(leftOut) {
				t.Errorf("left out %d, counted %v; want %d", got, r.conflictsCounted(), leftOut)
			}
		}
		r.finds(own, cam)
		counts(1)
		r.finds(own, service("lens", "lens"), cam)
		counts(1)
		cam.Mode = "call"
		r.finds(own, cam)
		counts(1)
		r.finds()
		r.finds(own, cam)
		counts(2)
	})
}

// TestServiceTimeout: the timeout in a service's meta is its route's, and all else
// is inherited, as by a route of the configuration.
func TestServiceTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCatalogRig(t, "defaults: {timeout: 1m, timeout_error: builtin, max_depth: 3}\n")
		for _, c := range []struct {
			timeout, want, margin time.Duration
		}{
			{0, router.Inherit, 200 * time.Millisecond},
			{5 * time.Second, 5 * time.Second, 200 * time.Millisecond},
			{400 * time.Millisecond, 400 * time.Millisecond, 100 * time.Millisecond},
			{0, router.Inherit, 200 * time.Millisecond},
		} {
			cam := in(wire.V48, service("cam", "cam"))
			cam.Timeout = c.timeout
			r.finds(cam)
			times := router.InheritAll()
			times.Call = c.want
			policy := router.Policy{TimeoutError: router.BuiltinTimeout, MaxDepth: 3, Margin: c.margin, MinBudget: 100 * time.Millisecond}
			for _, d := range []wire.Dialect{wire.V48, wire.V502} {
				if route := r.route("cam", d); route.Timeouts != times || route.Policy != policy {
					t.Errorf("pyro-timeout %v: a client of %v has %+v and %+v", c.timeout, d, route.Timeouts, route.Policy)
				}
			}
		}
	})
}

// TestServiceReturns: a service that is back before it is forgotten has its
// cluster again.
func TestServiceReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCatalogRig(t, "")
		r.finds(service("cam", "lab.cam"))
		cluster := r.route("lab.cam", wire.V502).Cluster
		r.finds()
		if got := r.reaches("lab.cam", wire.V502); got != "none" {
			t.Errorf("a new client of a service that is gone gets to %s", got)
		}
		time.Sleep(forgetAfter - time.Second)
		r.finds(service("cam", "lab.cam"))
		time.Sleep(time.Hour)
		if route := r.route("lab.cam", wire.V502); route == nil || route.Cluster != cluster {
			t.Error("it came back as another cluster")
		}
		if r.count("service gone: it gets no new clients") != 1 || r.count("service is back") != 1 || r.count("service forgotten") != 0 {
			t.Errorf("logged %v", r.logged.All())
		}
	})
}

// TestServiceForgotten: a service that is gone for long is forgotten by itself,
// with its metrics, and those of one that has its name later stay.
func TestServiceForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCatalogRig(t, "")
		r.finds(service("cam", "lab.cam"), service("lens", "lens"))
		all := r.series("lens")
		if all == 0 || r.series("cam") != all {
			t.Fatalf("%d and %d series", r.series("cam"), all)
		}
		r.finds(service("lens", "lens"))
		if !r.forgotten() {
			t.Fatal("it is not forgotten")
		}
		if names := clusterNames(r.fleet); !slices.Equal(names, []string{"lens"}) {
			t.Errorf("the clusters are %v", names)
		}
		if got := r.series("cam"); got != 0 || r.series("lens") != all {
			t.Errorf("%d series are left of it, and %d of %d of the other", got, r.series("lens"), all)
		}
		r.finds(service("cam", "lab.cam"), service("lens", "lens"))
		time.Sleep(time.Hour)
		if got := r.series("cam"); got != all {
			t.Errorf("the new one has %d series, want %d", got, all)
		}
	})
}

// TestServiceInUse: a service is not forgotten before its clients are gone, of
// either mode.
func TestServiceInUse(t *testing.T) {
	for _, mode := range []string{"call", "session"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newCatalogRig(t, "")
				leave := r.connect(t, mode)
				r.finds()
				if r.forgotten() || r.series("cam") == 0 {
					t.Fatal("it is forgotten although a client is connected")
				}
				leave()
				leave = nil
				if !r.forgotten() || r.series("cam") != 0 {
					t.Errorf("%d series are left when the client is gone", r.series("cam"))
				}
			})
		})
	}
}

// connect discovers a service and lets a client in, which holds what sessions
// hold: in mode call its route, in mode session a connection. leave gives it back.
func (r *catalogRig) connect(t *testing.T, mode string) (leave func()) {
	t.Helper()
	cam := service("cam", "lab.cam")
	cam.Mode = mode
	r.finds(cam)
	route := r.route("lab.cam", wire.V502)
	if mode == "call" {
		return func() { runtime.KeepAlive(route) }
	}
	path := filepath.Join(t.TempDir(), "daemon.sock")
	daemon, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { daemon.Close() })
	route.Cluster.SetMembers(1, []backend.Member{{Address: backend.Address{Network: "unix", Addr: path}}})
	lease, err := route.Cluster.Acquire(t.Context(), &backend.Attempt{Dialect: wire.V502})
	if err != nil {
		t.Fatal(err)
	}
	route.Cluster.SetMembers(1, nil)
	return func() { lease.Done(backend.Cancelled) }
}

func clusterNames(f *fleet) []string {
	var names []string
	for _, c := range f.all() {
		names = append(names, c.Name())
	}
	return names
}
