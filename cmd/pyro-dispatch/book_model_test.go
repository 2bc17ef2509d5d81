package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// stand is all that a book says of what it has been told.
func stand(b *book) map[string]string {
	all := make(map[string]string)
	for name, p := range b.places {
		all["place of "+name] = p.String()
	}
	b.routes.Range(func(object, r any) bool {
		all["route of "+object.(string)] = r.(*router.Route).Cluster.Name()
		return true
	})
	for key, d := range b.clusters {
		if d.unused.IsZero() {
			all["cluster "+key] = fmt.Sprint(d.members)
		}
	}
	for port, key := range b.exposed {
		all["port "+port] = key
	}
	return all
}

func (p place) String() string {
	return fmt.Sprintf("shared %v, failed %v, port %s, own %v", p.shared, p.err != nil, p.port, p.own)
}

// withPorts has a book's names get ports, which nobody opens.
func withPorts(b *book) *book {
	b.ports = &namePorts{wake: make(chan struct{}, 1)}
	return b
}

// TestBookModel: however names come and go, the book says what one would that is told only
// of those that are there. With ports it may say more: a name that has got a port keeps it.
func TestBookModel(t *testing.T) {
	for _, ports := range []bool{false, true} {
		t.Run(fmt.Sprint("ports ", ports), func(t *testing.T) {
			fresh := func() *book {
				b := newTestBook(t, "routes: [{name: r, match: {object: taken}, cluster: c}]\nclusters: [{name: c, static: ['192.0.2.1:1']}]\n")
				if ports {
					withPorts(b)
				}
				return b
			}
			r := rand.New(rand.NewPCG(7, 7))
			b := fresh()
			have := make(map[string]names.Registration)
			for step := range 400 {
				for range 1 + r.IntN(3) {
					name := fmt.Sprint("n", r.IntN(8))
					if r.IntN(3) == 0 {
						delete(have, name)
						continue
					}
					group := []string{"", "", "/g", "/h"}[r.IntN(4)]
					object := []string{"a", "b", "c", "taken"}[r.IntN(4)]
					at := []string{"h:1", "h:2", "H:1", "192.0.2.9:9999", "./u:/s"}[r.IntN(5)]
					have[name] = registrations(t, names.Registered, name+group+"="+object+"@"+at)[0]
				}
				all := slices.SortedFunc(maps.Values(have), func(a, b names.Registration) int { return strings.Compare(a.Name, b.Name) })
				b.changed(all)
				if r.IntN(10) == 0 {
					b.reconsider()
				}
				oracle := fresh()
				oracle.changed(all)
				got, want := stand(b), stand(oracle)
				if ports {
					forgetKept(b, got, want)
				}
				if !maps.Equal(got, want) {
					t.Fatalf("step %d: it says\n%v, want\n%v", step, got, want)
				}
				for object, o := range b.objects {
					if len(o.names) == 0 {
						t.Fatalf("step %d: object %s is kept without a name", step, object)
					}
				}
			}
		})
	}
}

// forgetKept takes from what a book says the ports that names have only because they had them.
func forgetKept(b *book, got, want map[string]string) {
	for name, p := range b.places {
		line := "place of " + name
		if !p.own || want[line] == got[line] {
			continue
		}
		p.own = false
		got[line] = p.String()
		if want["port "+p.port] == "" {
			delete(got, "port "+p.port)
		}
	}
}

// BenchmarkRegister: the time of a registration, where there are many already.
func BenchmarkRegister(b *testing.B) {
	for _, there := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(there, "_names"), func(b *testing.B) {
			f, err := newFleet(loaded(b, "listeners: [{name: main, address: \":9999\"}]\nname_server: {listeners: [\"127.0.0.1:9090\"], max_names: 1000000}\n"), metrics.New(metrics.Build{}), zap.NewNop())
			if err != nil {
				b.Fatal(err)
			}
			k := newBook(f)
			k.at = func(control.Caller) (string, int) { return "192.0.2.9", 9999 }
			k.own = func(string, int) bool { return false }
			kept := store.NewMemory()
			d := names.NewDirectory(names.DirectoryConfig{Store: kept, Max: 1_000_000})
			server := names.NewServer(d, names.Config{})
			register := func(i int) {
				uri := fmt.Sprintf("PYRO:object%d@10.0.%d.%d:5555", i, i/250%250, i%250)
				if _, err := server.Call(b.Context(), control.Caller{}, "register", []values.Value{fmt.Sprint("name", i), uri, false}, nil); err != nil {
					b.Fatal(err)
				}
			}
			for i := range there {
				register(i)
			}
			d.Changed(k.changed)
			b.ResetTimer()
			for i := range b.N {
				register(there + i)
			}
		})
	}
}
