package discovery

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"github.com/pyro-dispatch/pyro-dispatch/pace"
)

// bench is a Consul source of service "cam" that runs, with everything around it.
type bench struct {
	*fakeConsul
	*listener
}

func startBench(t *testing.T, change ...func(*ConsulConfig)) *bench {
	b := &bench{newFakeConsul(), newListener()}
	b.fakeConsul.set("cam", entry(1), entry(2))
	b.start(t, change...)
	return b
}

// start runs one more source.
func (b *bench) start(t *testing.T, change ...func(*ConsulConfig)) {
	c := ConsulConfig{Cluster: "lab", Services: []string{"cam"}, Log: b.log, Events: b.events()}
	for _, f := range change {
		f(&c)
	}
	run(t, NewConsul(b.client(t, ClientConfig{}), c), b.listener.set)
	synctest.Wait()
}

// wantSets checks what was set since the last time.
func (b *bench) wantSets(t *testing.T, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, b.take()); diff != "" {
		t.Errorf("%s: memberships set (-want +got):\n%s", when, diff)
	}
}

// TestConsulFollows: what changes in Consul is set at once, and nothing else.
func TestConsulFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t)
		b.wantSets(t, "at first", ":1 :2")
		for _, step := range []struct {
			name    string
			entries []*api.ServiceEntry
			want    []string
		}{
			{"one more", []*api.ServiceEntry{entry(1), entry(2), entry(3)}, []string{":1 :2 :3"}},
			{"weighted", []*api.ServiceEntry{entry(1), entry(2, weighing(5, 1)), entry(3)}, []string{":1 :2*5 :3"}},
			{"another order", []*api.ServiceEntry{entry(3), entry(1), entry(2, weighing(5, 1))}, nil},
			{"output of a check", []*api.ServiceEntry{entry(3, checked("passing")), entry(1), entry(2, weighing(5, 1))}, nil},
			{"critical", []*api.ServiceEntry{entry(3, checked("critical")), entry(1), entry(2)}, []string{":1 :2"}},
			{"twice", []*api.ServiceEntry{entry(1), entry(1, weighing(9, 9))}, []string{":1"}},
			{"none", nil, []string{""}},
			{"back", []*api.ServiceEntry{entry(1)}, []string{":1"}},
		} {
			time.Sleep(time.Second)
			b.fakeConsul.set("cam", step.entries...)
			b.wantSets(t, step.name, step.want...)
		}
		if failures := b.failed(); len(failures) > 0 {
			t.Errorf("failures: %v", failures)
		}
		if b.members != 1 || b.answers < 8 {
			t.Errorf("told of %d members and %d answers", b.members, b.answers)
		}
		want := map[string]int{"members changed": 7}
		if diff := cmp.Diff(want, b.messages()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestConsulIndex: which index the next query has, after each answer.
func TestConsulIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []struct {
			index string // of the answer; "" is a failure
			next  string // in the query after it
		}{
			{"7", "7"},
			{"9", "9"},
			{"9", ""}, // nothing new: ask the servers
			{"9", "9"},
			{"12", "12"},
			{"4", ""}, // backwards
			{"4", "4"},
			{"", ""},
			{"30", "30"},
			{"0", ""}, // backwards
			{"0", "1"},
			{"none", ""}, // as if it were 0
			{"18446744073709551615", "18446744073709551615"},
		}
		i := 0
		b := &bench{newFakeConsul(), newListener()}
		b.answer(func(w http.ResponseWriter, r *http.Request) {
			if i == len(answers) {
				<-r.Context().Done()
				return
			}
			if answers[i].index == "" {
				w.WriteHeader(http.StatusInternalServerError)
			} else {
				ledBy(w, 0)
				w.Header().Set("X-Consul-Index", answers[i].index)
				reply(w, []*api.ServiceEntry{entry(1)})
			}
			i++
		})
		b.start(t)
		time.Sleep(30 * time.Second)
		queries := b.asked()
		if len(queries) != len(answers)+1 || queries[0].Get("index") != "" {
			t.Fatalf("asked %v", queries)
		}
		for i, a := range answers {
			if got := queries[i+1].Get("index"); got != a.next {
				t.Errorf("%d: after index %q asked with %q, want %q", i, a.index, got, a.next)
			}
		}
		for _, q := range queries {
			if q.Get("wait") != "60000ms" || q.Get("passing") != "1" || q.Has("ns") || q.Has("partition") || q.Has("dc") {
				t.Errorf("asked with %v", q)
			}
		}
	})
}

// TestConsulRate: a Consul that answers at once is not asked at once.
func TestConsulRate(t *testing.T) {
	for name, status := range map[string]int{"news": http.StatusOK, "failures": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bench{newFakeConsul(), newListener()}
				index := uint64(0)
				b.answer(func(w http.ResponseWriter, r *http.Request) {
					index++
					ledBy(w, index)
					w.WriteHeader(status)
					reply(w, []*api.ServiceEntry{entry(1)})
				})
				b.start(t)
				if n := len(b.asked()); status == http.StatusOK && n != pace.QueryBurst {
					t.Errorf("asked %d times at once, want %d", n, pace.QueryBurst)
				}
				time.Sleep(10 * time.Minute)
				most, least := 10*60*2+pace.QueryBurst, 10*60*2
				if status != http.StatusOK {
					most, least = 10*60/5+10, 10*60/10 // between half of pace.MaxDelay and all of it
				}
				if n := len(b.asked()); n > most || n < least {
					t.Errorf("asked %d times in 10 minutes, want %d to %d", n, least, most)
				}
			})
		})
	}
}

// TestServicesAndTags: several services are united, all tags are needed, and
// what is for Consul to judge is passed on.
func TestServicesAndTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{newFakeConsul(), newListener()}
		b.fakeConsul.set("cam", entry(1, tagged("a", "b")), entry(2, tagged("a")))
		b.fakeConsul.set("lens", entry(3, tagged("b", "a")), entry(1, tagged("a", "b"), weighing(4, 4)))
		b.start(t, func(c *ConsulConfig) {
			c.Services, c.Tags = []string{"cam", "lens"}, []string{"a", "b"}
			c.Filter, c.Near = `Node.Meta.rack == "1"`, "_agent"
		})
		if sets := b.take(); len(sets) == 0 || sets[len(sets)-1] != ":1 :3" {
			t.Errorf("set %q", sets)
		}
		for _, q := range b.asked() {
			if q.Get("filter") != `Node.Meta.rack == "1"` || q.Get("near") != "_agent" || !slices.Equal(q["tag"], []string{"a", "b"}) {
				t.Errorf("asked with %v", q)
			}
		}
		time.Sleep(time.Second)
		b.fakeConsul.set("cam")
		b.wantSets(t, "one empty", ":3 :1*4") // near: in Consul's order
	})
}

// TestDatacenters: the first that has members counts, and one that cannot be
// asked keeps what it had.
func TestDatacenters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{newFakeConsul(), newListener()}
		var down atomic.Value
		down.Store("near")
		b.answer(func(w http.ResponseWriter, r *http.Request) {
			if dc := r.URL.Query().Get("dc"); dc == down.Load() {
				http.Error(w, "No path to datacenter", http.StatusInternalServerError)
				return
			}
			b.serve(w, r)
		})
		b.fakeConsul.set("near/cam", entry(1))
		b.fakeConsul.set("far/cam", entry(2), entry(3))
		b.start(t, func(c *ConsulConfig) { c.Datacenters = []string{"near", "far", "farther"} })
		b.wantSets(t, "near never answered", ":2 :3")
		down.Store("")
		time.Sleep(pace.MaxDelay)
		b.wantSets(t, "near answers", ":1")
		down.Store("near")
		b.change(func() {})
		time.Sleep(time.Hour)
		b.wantSets(t, "near is away")
		down.Store("")
		time.Sleep(pace.MaxDelay)
		b.fakeConsul.set("near/cam", entry(1, checked("critical")))
		b.wantSets(t, "near has none", ":2 :3")
		b.fakeConsul.set("far/cam")
		time.Sleep(time.Second)
		b.wantSets(t, "nobody has any", "")
		b.fakeConsul.set("farther/cam", entry(4))
		time.Sleep(time.Second)
		b.wantSets(t, "farther has one", ":4")
		b.fakeConsul.set("near/cam", entry(1))
		time.Sleep(time.Second)
		b.wantSets(t, "near again", ":1")
		if n := b.messages()["members are taken from a datacenter"]; n != 6 {
			t.Errorf("%d messages about datacenters", n)
		}
	})
}

// TestFirstDatacenter: nobody is sent far away because the nearer datacenter is
// the slower to answer for the first time.
func TestFirstDatacenter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{newFakeConsul(), newListener()}
		b.answer(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("dc") == "near" {
				time.Sleep(5 * time.Second)
			}
			b.serve(w, r)
		})
		b.fakeConsul.set("near/cam", entry(1))
		b.fakeConsul.set("far/cam", entry(2))
		b.start(t, func(c *ConsulConfig) { c.Datacenters = []string{"near", "far"} })
		b.wantSets(t, "far answers")
		time.Sleep(5 * time.Second)
		b.wantSets(t, "near answers", ":1")
	})
}
