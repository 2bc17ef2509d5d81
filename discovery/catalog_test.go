package discovery

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// instancesOf makes instances of metas, each written as "key=value;key=value".
func instancesOf(metas ...string) (all []*api.CatalogService) {
	for i, text := range metas {
		m := make(map[string]string)
		for pair := range strings.SplitSeq(text, ";") {
			key, value, _ := strings.Cut(pair, "=")
			m[key] = value
		}
		all = append(all, &api.CatalogService{ServiceID: fmt.Sprint("i", i), ServiceMeta: m})
	}
	return all
}

var errBadPattern = errors.New("a [ is not closed")

func checkPattern(p string) error {
	if strings.Contains(p, "[") {
		return errBadPattern
	}
	return nil
}

func TestMerge(t *testing.T) {
	tests := []struct {
		name      string
		metas     []string
		want      Service // without its name
		nonsense  int
		conflicts int
	}{
		{"nothing", []string{"", ""}, Service{Objects: []string{"cam"}}, 0, 0},
		{"everything", []string{
			"pyro-object=lab.cam*;pyro-mode=call;pyro-timeout=1m30s;pyro-max-connections=4;pyro-balance=hash;pyro-dialect=pyro4",
		}, Service{Objects: []string{"lab.cam*"}, Mode: "call", Timeout: 90 * time.Second, MaxConnections: 4, Balance: "hash", Dialect: wire.V48}, 0, 0},
		{"one says it", []string{"", "pyro-mode=call", ""}, Service{Objects: []string{"cam"}, Mode: "call"}, 0, 0},
		{"several objects, in any order", []string{"pyro-object=b, a,", "pyro-object=a,b,b"}, Service{Objects: []string{"a", "b"}}, 0, 0},
		{"seconds", []string{"pyro-timeout=2.5", "pyro-timeout=2500ms"}, Service{Objects: []string{"cam"}, Timeout: 2500 * time.Millisecond}, 0, 0},
		{"the majority", []string{"pyro-mode=session", "pyro-mode=call", "pyro-mode=session"}, Service{Objects: []string{"cam"}, Mode: "session"}, 0, 1},
		{"a tie: the smallest", []string{"pyro-max-connections=40", "pyro-max-connections=9"}, Service{Objects: []string{"cam"}, MaxConnections: 9}, 0, 1},
		{"two ties", []string{"pyro-mode=session;pyro-timeout=10s", "pyro-mode=call;pyro-timeout=9s"}, Service{Objects: []string{"cam"}, Mode: "call", Timeout: 9 * time.Second}, 0, 2},
		{"nonsense does not vote", []string{"pyro-mode=CALL", "pyro-mode=CALL", "pyro-mode=session"}, Service{Objects: []string{"cam"}, Mode: "session"}, 2, 0},
		{"all nonsense", []string{
			"pyro-object=[;pyro-mode=both;pyro-timeout=soon;pyro-max-connections=-1;pyro-balance=none;pyro-dialect=pyro3",
			"pyro-object=, ,;pyro-timeout=0s;pyro-max-connections=1e9",
			"pyro-timeout=-5;pyro-max-connections=9999999999999999999",
			"pyro-timeout=NaN", "pyro-timeout=+Inf", "pyro-timeout=-Inf", "pyro-timeout=1e300", "pyro-timeout=25h",
		}, Service{Objects: []string{"cam"}}, 16, 0},
		{"blanks", []string{"pyro-mode= call ;pyro-object= "}, Service{Objects: []string{"cam"}, Mode: "call"}, 0, 0},
		{"keys of others", []string{"pyro-color=blue;version=2"}, Service{Objects: []string{"cam"}}, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := NewCatalog(nil, CatalogConfig{CheckPattern: checkPattern})
			got, problems := c.merge("cam", instancesOf(test.metas...))
			test.want.Name = "cam"
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("service (-want +got):\n%s", diff)
			}
			nonsense, conflicts := 0, 0
			for _, p := range problems {
				if p.conflict {
					conflicts++
				} else {
					nonsense++
				}
			}
			if nonsense != test.nonsense || conflicts != test.conflicts {
				t.Errorf("%d nonsense, %d conflicts: %v", nonsense, conflicts, problems)
			}
		})
	}
}

// TestNameAsPattern: the name of a service without meta matches itself only.
func TestNameAsPattern(t *testing.T) {
	for name, want := range map[string]string{"cam": "cam", `a*b?[c]\d`: `a\*b\?\[c]\\d`, "a,b": "a?b"} {
		got, _ := NewCatalog(nil, CatalogConfig{}).merge(name, instancesOf(""))
		if diff := cmp.Diff([]string{want}, got.Objects); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOverlaps(t *testing.T) {
	services := []Service{
		{Name: "a", Objects: []string{"x", "y"}},
		{Name: "b", Objects: []string{"x"}, Dialect: wire.V48},
		{Name: "c", Objects: []string{"z"}, Dialect: wire.V48},
		{Name: "d", Objects: []string{"z"}, Dialect: wire.V502},
		{Name: "e", Objects: []string{"z", "y"}, Dialect: wire.V502},
		{Name: "f", Objects: []string{"z"}},
	}
	var got []string
	for _, p := range overlaps(services) {
		got = append(got, p.where+": "+p.what)
	}
	want := []string{
		"service b: object x is service a's as well, which counts",
		"service e: object z is service d's as well, which counts",
		"service e: object y is service a's as well, which counts",
		"service f: object z is service c's as well, which counts",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("overlaps (-want +got):\n%s", diff)
	}
}

// TestCatalog follows a catalogue through changes, nonsense and an outage.
func TestCatalog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, l := newFakeConsul(), newListener()
		found := func(services []Service) {
			var all []string
			for _, s := range services {
				all = append(all, s.Name+":"+s.Mode)
			}
			l.add(strings.Join(all, " "))
		}
		c := NewCatalog(f.client(t, ClientConfig{}), CatalogConfig{Tag: "Pyro", CheckPattern: checkPattern, Log: l.log, Events: l.events()})
		go c.Run(t.Context(), found)
		wants := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, l.take()); diff != "" {
				t.Errorf("%s: services found (-want +got):\n%s", when, diff)
			}
		}
		wants("at first", "")
		time.Sleep(time.Second)
		f.set("web", entry(1, tagged("http")))
		f.set("lens", entry(2, tagged("x", "Pyro"), meta("pyro-mode", "call")))
		wants("one", "lens:call")
		time.Sleep(time.Second)
		f.set("cam", entry(3, tagged("pyro")), entry(4, tagged("no"), meta("pyro-mode", "call")))
		time.Sleep(time.Second)
		wants("the tag's case does not count to Consul; an instance without it does not either", "cam: lens:call")
		f.set("cam", entry(3, tagged("Pyro"), meta("pyro-mode", "call")), entry(4, tagged("Pyro"), meta("pyro-mode", "session")), entry(5, tagged("Pyro"), meta("pyro-mode", "?")))
		wants("a conflict and nonsense", "cam:call lens:call")
		if l.conflicts != 1 || l.skipped != 1 || l.members != 2 {
			t.Errorf("%d conflicts, %d skipped, %d services", l.conflicts, l.skipped, l.members)
		}

		f.answer(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v1/catalog/service/") {
				w.WriteHeader(broken)
				return
			}
			f.serve(w, r)
		})
		f.change(func() {})
		time.Sleep(time.Hour)
		wants("half an answer")
		for _, nonsense := range []string{"null", "[null]", `[{"Checks":[{"Definition":null}]}]`} {
			f.answer(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/v1/catalog/service/") {
					ledBy(w, 90)
					fmt.Fprint(w, nonsense)
					return
				}
				f.serve(w, r)
			})
			time.Sleep(time.Minute)
			wants("instances " + nonsense)
		}
		for _, nonsense := range []string{"null", "[]", "<html>", `{"cam": 1}`} {
			f.answer(func(w http.ResponseWriter, _ *http.Request) { ledBy(w, 90); fmt.Fprint(w, nonsense) })
			time.Sleep(time.Minute)
			wants(nonsense)
		}
		f.answer(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
		time.Sleep(time.Minute)
		wants("empty without a leader")

		f.set("cam")
		f.set("lens", entry(2, tagged("Pyro"), meta("pyro-mode", "session")))
		f.answer(nil)
		time.Sleep(time.Minute)
		wants("back with a part", "cam:call lens:session")
		time.Sleep(DefaultGrace)
		wants("for long", "lens:session")
		f.set("lens")
		wants("none", "")
		if failures := l.failed(); failures[ReasonNoLeader] == 0 || failures[ReasonNonsense] == 0 || failures[ReasonUnreachable] == 0 || len(failures) != 3 {
			t.Errorf("failures %v", failures)
		}
	})
}

// TestCatalogHidden: that none with the tag can be seen may be the token's doing,
// that some others cannot is usual.
func TestCatalogHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, l := newFakeConsul(), newListener()
		f.set("cam", entry(1, tagged("Pyro")))
		f.set("lens", entry(2, tagged("Pyro")))
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
			f.serve(w, r)
		})
		c := NewCatalog(f.client(t, ClientConfig{Token: "t"}), CatalogConfig{Tag: "Pyro"})
		go c.Run(t.Context(), func(services []Service) {
			var names []string
			for _, s := range services {
				names = append(names, s.Name)
			}
			l.add(strings.Join(names, " "))
		})
		time.Sleep(time.Second)
		f.set("lens")
		time.Sleep(time.Second)
		f.set("cam")
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"cam lens", "cam"}, l.take()); diff != "" {
			t.Errorf("services found (-want +got):\n%s", diff)
		}
		time.Sleep(DefaultGrace)
		if diff := cmp.Diff([]string{""}, l.take()); diff != "" {
			t.Errorf("after the grace, services found (-want +got):\n%s", diff)
		}
	})
}

// FuzzMerge: whatever instances have in their meta, and in whatever order they
// come, a usable service comes of it.
func FuzzMerge(f *testing.F) {
	if seeds, _ := filepath.Glob("testdata/fuzz/FuzzMerge/*"); len(seeds) == 0 {
		f.Fatal("the seeds are gone")
	}
	f.Add("cam", "pyro-object=a,b", "pyro-timeout=1e-9;pyro-max-connections=007")
	f.Fuzz(func(t *testing.T, name, a, b string) {
		c := NewCatalog(nil, CatalogConfig{CheckPattern: checkPattern})
		one, problems := c.merge(name, instancesOf(a, b))
		other, again := c.merge(name, instancesOf(b, a))
		if !one.equal(other) || len(problems) != len(again) {
			t.Errorf("the order of instances counts: %+v, %+v; %v, %v", one, other, problems, again)
		}
		if len(one.Objects) == 0 && strings.TrimSpace(name) != "" {
			t.Error("no object")
		}
		for _, o := range one.Objects {
			if o == "" {
				t.Errorf("objects %q", one.Objects)
			}
		}
		if one.Timeout < 0 || one.Timeout > maxTimeout || one.MaxConnections < 0 || one.MaxConnections > maxMaxConnections {
			t.Errorf("got %+v", one)
		}
	})
}
