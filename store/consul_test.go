package store

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pace"
	"github.com/pyro-dispatch/pyro-dispatch/store/storetest"
)

func consulStore(t *testing.T, f *storetest.Consul, prefix string) *Consul {
	return NewConsul(f.KV(t), prefix, nil)
}

func TestKeysInConsulAreLegibleAndHarmless(t *testing.T) {
	f := storetest.NewConsul()
	s := consulStore(t, f, "/pyro/names/")
	for _, key := range []string{"Pyro.NameServer", "names/a_b-c", "a/../b", "a b", "ü", ""} {
		put(t, s, key, "1", 0)
	}
	want := []string{"pyro/names/=", "pyro/names/=c3=bc", "pyro/names/Pyro.NameServer", "pyro/names/a=20b", "pyro/names/a=2f=2e=2e=2fb", "pyro/names/names/a_b-c"}
	if got := f.Keys(); !slices.Equal(got, want) {
		t.Errorf("keys %q\nwant %q", got, want)
	}
}

func TestKeysInConsulThatAreNotOursAreLeftOut(t *testing.T) {
	f := storetest.NewConsul()
	put(t, consulStore(t, f, ""), "pyro/namesake/x", "1", 0)
	foreign := consulStore(t, f, "pyro")
	put(t, foreign, "names", "1", 0)
	s := consulStore(t, f, "pyro/names")
	put(t, s, "a", "1", 0)
	for _, key := range []string{"pyro/names/", "pyro/names/a=", "pyro/names/a=2", "pyro/names/a=61", "pyro/names/a=2F", "pyro/names/ä", "pyro/names/a=zz"} {
		f.Set(key, "1")
	}
	if got := fmt.Sprint(content(t, s)); got != "map[a:1]" {
		t.Errorf("holds %s", got)
	}
}

func FuzzEscape(f *testing.F) {
	for _, key := range oddKeys {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if got, ok := unescape(escape(key)); !ok || got != key {
			t.Errorf("%q is escaped as %q and that unescaped as %q, %v", key, escape(key), got, ok)
		}
		if plain, ok := unescape(key); ok && escape(plain) != key {
			t.Errorf("%q and %q are both %q", key, escape(plain), plain)
		}
		for segment := range strings.SplitSeq("prefix/"+escape(key)+"/end", "/") {
			if segment == "" || segment == "." || segment == ".." || strings.Contains(segment, "%") {
				t.Errorf("%q is escaped as %q", key, escape(key))
			}
		}
	})
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, code) }
}

// consulTroubles are answers that say nothing.
var consulTroubles = map[string]http.HandlerFunc{
	"broken":         storetest.Broken,
	"no leader":      status(500, "No cluster leader"),
	"denied":         status(403, "Permission denied"),
	"a page":         status(502, strings.Repeat("<p>", 100_000)),
	"not Consul":     status(404, "404 page not found"),
	"not JSON":       status(200, "hello"),
	"null in a list": func(w http.ResponseWriter, _ *http.Request) { storetest.Led(w, 20); storetest.Reply(w, []any{nil}) },
	"hidden": func(w http.ResponseWriter, _ *http.Request) {
		storetest.Led(w, 20)
		w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
		w.WriteHeader(404)
	},
	"leaderless": func(w http.ResponseWriter, _ *http.Request) {
		storetest.Led(w, 20)
		w.Header().Del("X-Consul-KnownLeader")
		w.WriteHeader(404)
	},
	"too slow": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
}

func TestAConsulInTroubleIsUnavailable(t *testing.T) {
	for name, trouble := range consulTroubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := storetest.NewConsul()
				s := consulStore(t, f, "pyro")
				put(t, s, "a", "1", 0)
				told := watchAll(t, s)
				told.want(t, "map[a:1]")
				f.Answer(trouble)
				time.Sleep(2 * s.wait) // until the query that was kept is over
				check := func(what string, err error) {
					t.Helper()
					if !errors.Is(err, ErrUnavailable) || len(err.Error()) > 500 {
						t.Errorf("%s: %.600v", what, err)
					}
				}
				_, err := s.All(ctx)
				check("All", err)
				_, err = s.Get(ctx, "a")
				if name != "null in a list" { // the library takes that for nothing
					check("Get", err)
				}
				if name != "hidden" && name != "leaderless" { // which are about reading
					_, err = s.Put(ctx, "a", []byte("2"), Any)
					check("Put", err)
				}
				before := len(f.Requests())
				time.Sleep(time.Hour)
				if n := len(f.Requests()) - before; n > 800 || n < 40 {
					t.Errorf("%d requests in an hour of trouble", n)
				}
				told.want(t, "")
				f.Answer(nil)
				put(t, s, "a", "3", Any)
				time.Sleep(2 * s.wait)
				told.want(t, "map[a:3]")
			})
		})
	}
}

func TestAWatchOfConsulSurvivesALowerIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := storetest.NewConsul()
		f.Restart(1_000_000)
		s := consulStore(t, f, "pyro")
		put(t, s, "a", "1", 0)
		told := watchAll(t, s)
		told.want(t, "map[a:1]")
		f.Restart(3)
		put(t, s, "b", "2", 0)
		time.Sleep(2 * s.wait)
		told.want(t, "map[b:2]")
		put(t, s, "c", "3", 0)
		told.want(t, "map[b:2 c:3]")
	})
}

// Who asked for news since the old index would wait until a query is over.
func TestAWatchOfConsulBeginsAnewAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := storetest.NewConsul()
		f.Restart(1_000_000)
		s := consulStore(t, f, "pyro")
		put(t, s, "a", "1", 0)
		told := watchAll(t, s)
		told.want(t, "map[a:1]")
		f.Answer(storetest.Broken)
		time.Sleep(2 * s.wait)
		f.Restart(3)
		f.Answer(nil)
		time.Sleep(pace.MaxDelay)
		told.want(t, "map[]")
		put(t, s, "b", "2", 0)
		told.want(t, "map[b:2]")
	})
}

func TestAWatchOfConsulKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := storetest.NewConsul()
		s := consulStore(t, f, "pyro")
		told := watchAll(t, s)
		told.want(t, "map[]")
		before := len(f.Requests())
		for i := range 1000 {
			put(t, s, "a", fmt.Sprint(i), Any)
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(f.Requests()) - before - 1000; n > 30 {
			t.Errorf("%d queries in 10 s", n)
		}
		time.Sleep(time.Second)
		told.mu.Lock()
		if last := told.told[len(told.told)-1]; last != "map[a:999]" {
			t.Errorf("told last %s", last)
		}
		told.mu.Unlock()
		before = len(f.Requests())
		time.Sleep(time.Hour)
		if n := len(f.Requests()) - before; n > 70 {
			t.Errorf("%d queries in an hour without news", n)
		}
	})
}

func TestReadingFromConsulIsConsistent(t *testing.T) {
	f := storetest.NewConsul()
	s := consulStore(t, f, "pyro")
	content(t, s)
	s.Get(ctx, "a")
	for _, r := range f.Requests() {
		if !r.URL.Query().Has("consistent") {
			t.Errorf("asked %s", r.URL)
		}
	}
	if len(f.Requests()) != 2 {
		t.Errorf("asked %d times", len(f.Requests()))
	}
}

func TestATransactionThatIsRolledBackIsNotAlwaysAConflict(t *testing.T) {
	f := storetest.NewConsul()
	s := consulStore(t, f, "pyro")
	f.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		storetest.Reply(w, map[string]any{"Errors": []any{map[string]any{"OpIndex": 0, "What": "Permission denied"}}})
	})
	if _, err := s.Put(ctx, "a", nil, Any); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("error %v", err)
	}
	f.Answer(func(w http.ResponseWriter, _ *http.Request) { storetest.Reply(w, map[string]any{"Results": []any{}}) })
	if _, err := s.Put(ctx, "a", nil, Any); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a result: %v", err)
	}
}
