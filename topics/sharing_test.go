package topics

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/store/storetest"
)

// shared makes two views of one store.
var shared = map[string]func(*testing.T) (a, b store.Store){
	"memory": func(*testing.T) (a, b store.Store) {
		m := store.NewMemory()
		return m, m
	},
	"consul": func(t *testing.T) (a, b store.Store) {
		c := storetest.NewConsul()
		return store.NewConsul(c.KV(t), "pyro/topics", nil), store.NewConsul(c.KV(t), "pyro/topics", nil)
	},
}

// settled waits until all watches have told what there is.
func settled() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestDispatchersShareRegistrations(t *testing.T) {
	for name, views := range shared {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sa, sb := views(t)
				a, b := New(Config{Store: sa}), New(Config{Store: sb})
				run(t, a)
				stop := run(t, b)
				same := func(want string) {
					t.Helper()
					settled()
					if ga, gb := describe(a.All()), describe(b.All()); ga != want || gb != want {
						t.Errorf("%s and %s\nwant %s", ga, gb, want)
					}
				}
				register(t, a, "t", "PYRO:x@10.0.0.7:1")
				time.Sleep(time.Millisecond) // of their time, which orders them
				register(t, b, "t", "PYRO:y@10.0.0.7:1")
				time.Sleep(time.Millisecond)
				register(t, a, int64(3), "PYRO:aü/@10.0.0.7:1")
				same(`"t"=x@10.0.0.7:1 "t"=y@10.0.0.7:1 3=aü/@10.0.0.7:1`)
				register(t, b, "t", "PYRO:x@10.0.0.7:1") // keeps its place
				same(`"t"=x@10.0.0.7:1 "t"=y@10.0.0.7:1 3=aü/@10.0.0.7:1`)
				unregister(t, b, "t", "PYRO:x@10.0.0.7:1")
				same(`"t"=y@10.0.0.7:1 3=aü/@10.0.0.7:1`)

				stop()
				unregister(t, a, "t", "PYRO:y@10.0.0.7:1")
				b = New(Config{Store: sb})
				run(t, b)
				same(`3=aü/@10.0.0.7:1`)
				if len(a.pending)+len(b.pending) != 0 {
					t.Errorf("%v and %v wait to be told", a.pending, b.pending)
				}
			})
		})
	}
}

// What a call answers holds at once where it was made, whatever a watch has yet to say.
func TestARegistrationHoldsWhenItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := storetest.NewConsul()
		r := New(Config{Store: store.NewConsul(c.KV(t), "pyro/topics", nil)})
		var told []string
		r.Changed(func(all []Listener) { told = append(told, describe(all)) })
		run(t, r)
		settled()
		for i := range 20 { // more than the watch's pace lets pass
			uri := fmt.Sprintf("PYRO:x@10.0.0.7:%d", i+1)
			register(t, r, "t", uri)
			want := fmt.Sprintf(`"t"=x@10.0.0.7:%d`, i+1)
			if got := describe(r.All()); got != want || told[len(told)-1] != want {
				t.Errorf("registered %s, but there is %s and was told %s", want, got, told[len(told)-1])
			}
			unregister(t, r, "t", uri)
			if got := describe(r.All()); got != "" {
				t.Errorf("unregistered, but there is %s", got)
			}
		}
		settled()
		if len(told) != 40 || describe(r.All()) != "" {
			t.Errorf("told %q", told)
		}
	})
}

// Whoever is about to remove a listener notices by the version that it is there.
func TestRegisteringAgainIsAChangeOfTheStore(t *testing.T) {
	s := store.NewMemory()
	at := time.Unix(1_700_000_000, 0)
	r := New(Config{Store: s, Now: func() time.Time { return at }})
	register(t, r, "t", "PYRO:x@10.0.0.7:1")
	key := r.All()[0].key()
	first := all(t, s)[key].Version
	register(t, r, "t", "PYRO:x@10.0.0.7:1")
	if again := all(t, s)[key].Version; again == first {
		t.Errorf("the version stays %d", again)
	}
}

func TestAStoreThatIsGoneForAWhile(t *testing.T) {
	s := &breaking{Store: store.NewMemory()}
	r := New(Config{Store: s})
	before := all(t, s)
	register(t, r, "t", "PYRO:x@10.0.0.7:1")
	s.breakWith(fmt.Errorf("%w: no leader", store.ErrUnavailable))
	for _, method := range []string{"register", "unregister"} {
		_, raised := call(t, r, nearby, method, "t", "PYRO:y@10.0.0.7:1")
		if !strings.HasPrefix(raised, "errors.PyroError: the topic registry cannot be changed now") || strings.Contains(raised, "no leader") {
			t.Errorf("%s: %s", method, raised)
		}
	}
	r.follow(t.Context(), before)
	if got := describe(r.All()); got != `"t"=x@10.0.0.7:1` {
		t.Errorf("there is %s", got)
	}
	s.breakWith(nil)
	if err := s.Delete(t.Context(), r.All()[0].key(), store.Any); err != nil { // another dispatcher
		t.Fatal(err)
	}
	r.Age(t.Context(), nil)
	if got := describe(r.All()); got != "" || len(r.pending) != 0 {
		t.Errorf("after the outage there is still %s", got)
	}
}

func TestAConsulThatIsGoneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := storetest.NewConsul()
		r := New(Config{Store: store.NewConsul(c.KV(t), "pyro/topics", nil)})
		run(t, r)
		register(t, r, "t", "PYRO:x@10.0.0.7:1")
		c.Answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "No cluster leader", 500) })
		time.Sleep(10 * time.Minute)
		if _, raised := call(t, r, nearby, "register", "t", "PYRO:y@10.0.0.7:1"); !strings.HasPrefix(raised, "errors.PyroError") {
			t.Errorf("raised %s", raised)
		}
		if got := describe(r.All()); got != `"t"=x@10.0.0.7:1` {
			t.Errorf("there is %s", got)
		}
		c.Answer(nil)
		time.Sleep(time.Minute)
		register(t, r, "t", "PYRO:y@10.0.0.7:1")
		settled()
		if got := describe(r.All()); got != `"t"=x@10.0.0.7:1 "t"=y@10.0.0.7:1` {
			t.Errorf("there is %s", got)
		}
	})
}

func TestRegistrationsOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.json")
	open := func() *store.File {
		f, err := store.OpenFile(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	f := open()
	before := New(Config{Store: store.Prefixed(f, "topics/")})
	register(t, before, "t", "PYRO:x@10.0.0.7:1")
	register(t, before, "t", "PYRO:a@10.0.0.7:1")
	f.Close()
	synctest.Test(t, func(t *testing.T) {
		after := New(Config{Store: store.Prefixed(open(), "topics/")})
		run(t, after)
		settled()
		if a, b := fmt.Sprint(before.All()), fmt.Sprint(after.All()); a != b {
			t.Errorf("%s became %s", a, b)
		}
	})
}

// A blob that comes before the registry runs finds its listeners.
func TestListenersAreKnownFromTheBeginning(t *testing.T) {
	for name, views := range shared {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sa, sb := views(t)
				register(t, New(Config{Store: sa}), "t", "PYRO:x@10.0.0.7:1")
				r := New(Config{Store: sb})
				var told []string
				r.Changed(func(all []Listener) { told = append(told, describe(all)) })
				const want = `"t"=x@10.0.0.7:1`
				if got := describe(r.Listeners(Topic{Text: "t"})); got != want || len(told) != 1 || told[0] != want {
					t.Errorf("there is %q and was told %q, want %q", got, told, want)
				}
				run(t, r)
				settled()
				if len(told) != 1 {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}

func TestAStoreThatIsGoneAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &breaking{Store: store.NewMemory()}
		register(t, New(Config{Store: s}), "t", "PYRO:x@10.0.0.7:1")
		s.breakWith(store.ErrUnavailable)
		r := New(Config{Store: s})
		if got := describe(r.All()); got != "" {
			t.Errorf("there is %s", got)
		}
		s.breakWith(nil)
		run(t, r)
		settled()
		if got := describe(r.All()); got != `"t"=x@10.0.0.7:1` {
			t.Errorf("there is %s", got)
		}
	})
}

func TestManyRegisterAtOnce(t *testing.T) {
	s := store.NewMemory()
	a, b := New(Config{Store: s, MaxListenersPerTopic: 30}), New(Config{Store: s})
	run(t, a)
	var group sync.WaitGroup
	var refused sync.Map
	for i := range 40 {
		group.Go(func() {
			if _, err := a.Call(context.Background(), nearby, "register", args("t", fmt.Sprintf("PYRO:x@10.0.0.7:%d", i+1)), nil); err != nil {
				refused.Store(i, err)
			}
		})
		group.Go(func() { // the same one, by two
			if _, err := b.Call(context.Background(), nearby, "register", args("u", "PYRO:x@10.0.0.7:1"), nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	n := 0
	refused.Range(func(any, any) bool { n++; return true })
	if len(a.Listeners(Topic{Text: "t"})) != 30 || n != 10 {
		t.Errorf("%d listeners, %d refused", len(a.Listeners(Topic{Text: "t"})), n)
	}
	if len(b.Listeners(Topic{Text: "u"})) != 1 {
		t.Errorf("there is %s", describe(b.All()))
	}
}

func TestWhatIsNoListenerInTheStoreIsLeftOut(t *testing.T) {
	s := store.NewMemory()
	r := New(Config{Store: s})
	register(t, r, "t", "PYRO:x@10.0.0.7:1")
	key := r.All()[0].key()
	good := string(all(t, s)[key].Value)
	for key, value := range map[string]string{
		"other key":                       good,
		"text t x@10.0.0.7:2":             "{",
		"text t x@10.0.0.7:3":             strings.Replace(strings.Replace(good, "10.0.0.7:1", "10.0.0.7:3", 1), `"dialect":48`, `"dialect":1`, 1),
		"text t x@10.0.0.7:x":             strings.Replace(good, "10.0.0.7:1", "10.0.0.7:x", 1),
		"number t x@10.0.0.7:1":           strings.Replace(good, `"topic":"t"`, `"topic":"t","number":true`, 1),
		"number 007 x@10.0.0.7:1":         strings.Replace(good, `"topic":"t"`, `"topic":"007","number":true`, 1),
		"text t x@8.8.8.8:1":              strings.Replace(good, "10.0.0.7:1", "8.8.8.8:1", 1), // another dispatcher allows it
		"text t x@./u:/run/d.sock":        strings.Replace(strings.Replace(good, "10.0.0.7:1", "/run/d.sock", 1), "tcp", "unix", 1),
		"text t x@[0:0:0:0:0:0:0:1]:9000": strings.Replace(good, "10.0.0.7:1", "[0:0:0:0:0:0:0:1]:9000", 1),
	} {
		if _, err := s.Put(t.Context(), key, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	fresh := New(Config{Store: s})
	fresh.follow(t.Context(), all(t, s))
	if got := describe(fresh.All()); got != `"t"=x@10.0.0.7:1` {
		t.Errorf("there is %s", got)
	}
	// A registration replaces what is in its way.
	register(t, fresh, "t", "PYRO:x@10.0.0.7:2")
	if got := describe(fresh.All()); got != `"t"=x@10.0.0.7:1 "t"=x@10.0.0.7:2` {
		t.Errorf("there is %s", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("text t x@10.0.0.7:1", []byte(`{"topic":"t","object":"x","network":"tcp","address":"10.0.0.7:1","dialect":48}`))
	f.Add("number 7 x@./u:/s", []byte(`{"topic":"7","number":true,"object":"x","network":"unix","address":"/s","dialect":502,"seen":"2026-01-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		h, err := read(key, store.Entry{Value: value, Version: 1})
		if err != nil {
			return
		}
		again, err := read(h.listener().key(), store.Entry{Value: h.bytes(), Version: 1})
		if err != nil || again != h || h.listener().key() != key {
			t.Errorf("%+v is read back as %+v, %v", h, again, err)
		}
	})
}
