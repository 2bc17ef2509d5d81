package discovery

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/pyro-dispatch/pyro-dispatch/pace"
)

// TestConsulKeeps: an answer that says nothing changes nothing, however often it
// comes.
func TestConsulKeeps(t *testing.T) {
	list := func(entries ...*api.ServiceEntry) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { reply(w, entries) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Error(w, strings.Repeat("no ", 1000), code) }
	}
	text := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { ledBy(w, 50); fmt.Fprint(w, text) }
	}
	headed := func(key, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			ledBy(w, 50)
			w.Header().Set(key, value)
			fmt.Fprint(w, "[]")
		}
	}
	tests := []struct {
		name   string
		script http.HandlerFunc
		want   Reason
	}{
		{"broken", status(broken), ReasonUnreachable},
		{"no leader, 500", status(500), ReasonServer},
		{"overloaded", status(503), ReasonServer},
		{"ACL not found", status(403), ReasonDenied},
		{"too many connections", status(429), ReasonThrottled},
		{"bad filter", status(400), ReasonRequest},
		{"sent elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.66/", http.StatusMovedPermanently)
		}, ReasonNonsense},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ReasonTimeout},
		{"a web page", text("<!doctype html><p>[]"), ReasonNonsense},
		{"nothing", text(""), ReasonNonsense},
		{"null", text("null"), ReasonNonsense},
		{"another type", text(`{"members": []}`), ReasonNonsense},
		{"cut off", text(`[{"Node": {"Addr`), ReasonNonsense},
		{"a null instance", text(`[null]`), ReasonNonsense},
		{"an empty instance", text(`[{}]`), ReasonNonsense},
		{"a null check", text(`[{"Service":{"Port":1,"Address":"192.0.2.1"},"Checks":[null]}]`), ReasonNonsense},
		{"what the library panics at", text(`[{"Service":{"Port":1,"Address":"192.0.2.1"},"Checks":[{"Definition":null}]}]`), ReasonNonsense},
		{"an unknown state", list(entry(1, checked("fine, thanks"))), ReasonNonsense},
		{"no port", list(entry(0)), ReasonNonsense},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			ledBy(w, 50)
			fmt.Fprintf(w, "[{\"Node\":%q}]", strings.Repeat("x", 1<<16))
		}, ReasonNonsense},
		{"empty without headers", text0("[]"), ReasonNoLeader},
		{"empty without a leader", headed("X-Consul-KnownLeader", "false"), ReasonNoLeader},
		{"empty and stale", headed("X-Consul-LastContact", "3600000"), ReasonNoLeader},
		{"empty for this token", headed("X-Consul-Results-Filtered-By-ACLs", "true"), ReasonDenied},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := startBench(t)
				b.wantSets(t, "at first", ":1 :2")
				b.answer(test.script)
				b.change(func() {}) // the query that waits is answered, still by the catalogue
				time.Sleep(time.Hour)
				b.wantSets(t, "meanwhile")
				failures := b.failed()
				if failures[test.want] == 0 || len(failures) != 1 {
					t.Errorf("failures %v, want only %s", failures, test.want)
				}
				warned := b.messages()["discovery cannot ask: what was known stays in force"]
				if warned < 40 || warned > 61 {
					t.Errorf("%d warnings in an hour, want one a minute", warned)
				}
				for _, e := range b.logged.All() {
					if text := fmt.Sprint(e.ContextMap()["error"]); len(text) > 500 || strings.Contains(text, "ns=") {
						t.Fatalf("logged an error of %d bytes: %.500s", len(text), text)
					}
				}

				b.answer(nil)
				b.fakeConsul.set("cam", entry(1), entry(2), entry(3))
				time.Sleep(2 * time.Minute)
				b.wantSets(t, "afterwards", ":1 :2 :3")
				if n := b.messages()["discovery can ask again"]; n != 1 {
					t.Errorf("the end was logged %d times", n)
				}
			})
		})
	}
}

// text0 answers without any of Consul's headers.
func text0(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// TestConsulHangs: a Consul that is frozen is found out soon after the time for
// which it was asked to wait.
func TestConsulHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{newFakeConsul(), newListener()}
		b.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		b.start(t)
		time.Sleep(defaultWait + defaultWait/16 + slack - time.Millisecond)
		synctest.Wait()
		if failures := b.failed(); len(failures) > 0 {
			t.Errorf("too early: %v", failures)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if failures := b.failed(); failures[ReasonTimeout] != 1 {
			t.Errorf("failures %v", failures)
		}
	})
}

// TestEmptyHanded: a Consul that was away, or whose index went backwards, is not
// believed when it lacks something, until it has lacked it for the grace.
func TestEmptyHanded(t *testing.T) {
	type step struct {
		name string
		do   func(*bench)
		want []string
	}
	away := step{"away", func(b *bench) {
		b.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(broken) })
		b.change(func() {})
		time.Sleep(time.Minute)
	}, nil}
	back := func(name string, want []string, entries ...*api.ServiceEntry) step {
		return step{name, func(b *bench) {
			b.fakeConsul.set("cam", entries...)
			b.answer(nil)
			time.Sleep(time.Minute)
		}, want}
	}
	wait := func(d time.Duration, want ...string) step {
		return step{"after " + d.String(), func(*bench) { time.Sleep(d) }, want}
	}
	other := step{"something else changes, so that queries end at other times", func(b *bench) {
		time.Sleep(20 * time.Second)
		b.change(func() {})
	}, nil}
	restored := step{"restored from an old snapshot", func(b *bench) {
		b.change(func() { b.health["cam"] = []*api.ServiceEntry{entry(2)}; b.index = 2 })
		time.Sleep(2 * time.Minute) // the query that waits is not woken: its index is higher
	}, nil}

	tests := []struct {
		name  string
		steps []step
	}{
		{"empty, part, whole", []step{
			away, back("empty", nil), back("part", nil, entry(1)), back("whole", nil, entry(1), entry(2)),
			wait(time.Hour),
			back("none any more", []string{""}),
		}},
		{"part, and another", []step{
			away, back("part", []string{":1*7 :2 :3"}, entry(1, weighing(7, 1)), entry(3)),
			wait(DefaultGrace, ":1*7 :3"),
		}},
		{"empty for good", []step{
			away, back("empty", nil), other, wait(DefaultGrace - 3*time.Minute - 20*time.Second), wait(2*time.Minute+pace.MaxDelay+5*time.Second, ""),
			wait(time.Hour),
		}},
		{"empty, away again, empty", []step{
			away, back("empty", nil), wait(DefaultGrace - 2*time.Minute), away, back("empty", nil),
			wait(DefaultGrace - 2*time.Minute), wait(2*time.Minute, ""),
		}},
		{"seen again, and then gone", []step{
			away, back("whole", nil, entry(1), entry(2)), back("one gone", []string{":1"}, entry(1)),
		}},
		{"backwards", []step{
			restored, wait(DefaultGrace, ":2"),
		}},
		{"backwards and back", []step{
			restored, back("whole", nil, entry(1), entry(2)), wait(time.Hour),
		}},
		{"away only", []step{away, wait(48 * time.Hour), back("whole", nil, entry(1), entry(2))}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := startBench(t)
				b.wantSets(t, "at first", ":1 :2")
				for _, s := range test.steps {
					s.do(b)
					b.wantSets(t, s.name, s.want...)
				}
			})
		})
	}
}

// TestEmptyHandedObjects: an address with several objects is several members, of each
// of which a Consul that was away may lack knowledge.
func TestEmptyHandedObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t)
		b.wantSets(t, "at first", ":1 :2")
		cam, lamp := entry(1, meta("pyro-target", "cam")), entry(1, meta("pyro-target", "lamp"))
		b.fakeConsul.set("cam", cam, lamp)
		b.wantSets(t, "two objects", "cam@:1 lamp@:1")
		b.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(broken) })
		b.change(func() {})
		time.Sleep(time.Minute)
		b.fakeConsul.set("cam", lamp)
		b.answer(nil)
		time.Sleep(time.Minute)
		b.wantSets(t, "back without one")
		b.fakeConsul.set("cam")
		b.wantSets(t, "and without the one that it knew again", "cam@:1")
		time.Sleep(DefaultGrace)
		b.wantSets(t, "for long", "")
	})
}

// TestFirstAnswer: at the start nothing is known, so an empty answer counts, and
// one that says nothing does not.
func TestFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{newFakeConsul(), newListener()}
		b.answer(text0("[]"))
		b.start(t)
		time.Sleep(time.Minute)
		b.wantSets(t, "without a leader")
		b.answer(nil)
		time.Sleep(time.Minute)
		b.wantSets(t, "with one", "")
	})
}

// TestStreaming: an agent that answers from its own view knows of no leader.
// That it is empty must be confirmed by the servers.
func TestStreaming(t *testing.T) {
	for _, test := range []struct {
		name          string
		view, servers []*api.ServiceEntry
		want          []string
	}{
		{"lost its servers for a moment", []*api.ServiceEntry{}, []*api.ServiceEntry{entry(1), entry(2)}, nil},
		{"is right", []*api.ServiceEntry{}, []*api.ServiceEntry{}, []string{""}},
		{"has one less", []*api.ServiceEntry{entry(1)}, []*api.ServiceEntry{entry(1)}, []string{":1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := startBench(t)
				b.wantSets(t, "at first", ":1 :2")
				b.answer(func(w http.ResponseWriter, r *http.Request) {
					ledBy(w, 100)
					if r.URL.Query().Get("index") == "" {
						reply(w, test.servers)
						return
					}
					w.Header().Set("X-Consul-KnownLeader", "false")
					w.Header().Set("X-Consul-Query-Backend", "streaming")
					w.Header().Set("X-Consul-Index", "5") // it lags behind, for a service that never was
					reply(w, test.view)
				})
				b.change(func() {})
				time.Sleep(time.Second)
				b.wantSets(t, "then", test.want...)
				if failures, backwards := b.failed(), b.messages()["Consul's index went backwards"]; len(failures)+backwards > 0 {
					t.Errorf("failures: %v, %d times backwards", failures, backwards)
				}
			})
		})
	}
}

// TestNoToken: without a token, Consul does not say that it hides something.
func TestNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t)
		b.wantSets(t, "at first", ":1 :2")
		b.answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Default-Acl-Policy", "deny")
			b.serve(w, r)
		})
		b.fakeConsul.set("cam")
		b.wantSets(t, "the query that was under way", "")
		b.fakeConsul.set("cam", entry(3))
		b.wantSets(t, "found", ":3")
		b.fakeConsul.set("cam")
		time.Sleep(DefaultGrace - time.Second)
		b.wantSets(t, "hidden?")
		time.Sleep(10 * time.Second)
		b.wantSets(t, "for long", "")
	})
}

// TestStale: a server without a leader may not know all that there is.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t)
		b.wantSets(t, "at first", ":1 :2")
		entries := []*api.ServiceEntry{entry(1), entry(3)}
		b.answer(func(w http.ResponseWriter, r *http.Request) {
			ledBy(w, 50)
			w.Header().Set("X-Consul-KnownLeader", "false")
			reply(w, entries)
		})
		b.change(func() {})
		time.Sleep(time.Minute)
		b.wantSets(t, "one is missing", ":1 :2 :3")
		time.Sleep(DefaultGrace)
		b.wantSets(t, "for long", ":1 :3")
	})
}
