package names

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

func reg(name string, metadata ...string) Registration {
	return Registration{Name: name, URI: values.URI{Protocol: "PYRO", Object: "o", Host: "h", Port: 1}, Metadata: tags(metadata)}
}

func listed(d *Directory) []string {
	var all []string
	for _, r := range d.Registrations() {
		all = append(all, r.Name)
	}
	return all
}

func expectNames(t *testing.T, d *Directory, want ...string) {
	t.Helper()
	if got := listed(d); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lagging is a store whose Watch tells only what the test lets it, and that can fail.
type lagging struct {
	store.Store
	tell chan map[string]store.Entry
	down atomic.Bool
}

func (l *lagging) Watch(ctx context.Context, changed func(map[string]store.Entry)) {
	for {
		select {
		case all := <-l.tell:
			changed(all)
		case <-ctx.Done():
			return
		}
	}
}

func (l *lagging) Get(ctx context.Context, key string) (store.Entry, error) {
	if l.down.Load() {
		return store.Entry{}, store.ErrUnavailable
	}
	return l.Store.Get(ctx, key)
}

func (l *lagging) All(ctx context.Context) (map[string]store.Entry, error) {
	if l.down.Load() {
		return nil, store.ErrUnavailable
	}
	return l.Store.All(ctx)
}

func (l *lagging) Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error) {
	if l.down.Load() {
		return 0, store.ErrUnavailable
	}
	return l.Store.Put(ctx, key, value, expect)
}

func (l *lagging) Delete(ctx context.Context, key string, expect uint64) error {
	if l.down.Load() {
		return store.ErrUnavailable
	}
	return l.Store.Delete(ctx, key, expect)
}

func newLagging() *lagging {
	return &lagging{Store: store.NewMemory(), tell: make(chan map[string]store.Entry)}
}

// running gives a directory that follows l until the test ends.
func running(t *testing.T, l store.Store) *Directory {
	d := NewDirectory(DirectoryConfig{Store: l})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return d
}

func TestAnotherDispatchersNameIsFoundAtOnce(t *testing.T) {
	shared := store.NewMemory()
	a, b := NewDirectory(DirectoryConfig{Store: shared}), NewDirectory(DirectoryConfig{Store: shared})
	ctx := context.Background()
	must(t, a.register(ctx, reg("x/y", "m", "group:g"), true))
	r, err := b.lookup(ctx, "x/y")
	must(t, err)
	if r.Group != "g" || r.Text() != "PYRO:o@h:1" || !slices.Equal(r.Metadata, []string{"group:g", "m"}) {
		t.Errorf("%+v", r)
	}
	if err := b.register(ctx, reg("x/y"), true); described(err) != "errors.NamingError: name already registered: x/y" {
		t.Error(err)
	}
}

func TestSafeRegistrationHasOneWinner(t *testing.T) {
	shared := store.NewMemory()
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		d := NewDirectory(DirectoryConfig{Store: shared})
		for range 8 {
			wg.Go(func() {
				if d.register(context.Background(), reg("one"), true) == nil {
					won.Add(1)
				}
			})
		}
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d winners", won.Load())
	}
}

func TestMetadataOfOthersAreNotLost(t *testing.T) {
	shared := store.NewMemory()
	a := NewDirectory(DirectoryConfig{Store: shared})
	ctx := context.Background()
	must(t, a.register(ctx, reg("n"), false))
	var wg sync.WaitGroup
	var failed atomic.Int32
	for i := range 4 {
		d := NewDirectory(DirectoryConfig{Store: shared})
		wg.Go(func() {
			if d.setMetadata(ctx, "n", []string{fmt.Sprint("m", i)}) != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	b := NewDirectory(DirectoryConfig{Store: shared})
	r, err := b.lookup(ctx, "n")
	if err != nil || failed.Load() != 0 || len(r.Metadata) != 1 || r.Text() != "PYRO:o@h:1" {
		t.Errorf("%+v, %v, %d failed", r, err, failed.Load())
	}
}

func TestOwnChangesStayUntilTheStoreShowsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLagging()
		d := running(t, l)
		ctx := context.Background()
		before := map[string]store.Entry{}
		l.tell <- before
		must(t, d.register(ctx, reg("a"), false))
		expectNames(t, d, "a")
		l.tell <- before // still what it was before
		synctest.Wait()
		expectNames(t, d, "a")
		time.Sleep(10 * time.Second) // asked meanwhile, and confirmed
		expectNames(t, d, "a")
		all, _ := l.Store.All(ctx)
		l.tell <- all
		synctest.Wait()
		l.tell <- before // now it is news
		synctest.Wait()
		expectNames(t, d)
	})
}

func TestWhatOthersChangedMeanwhileIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLagging()
		d := running(t, l)
		ctx := context.Background()
		l.tell <- map[string]store.Entry{}
		must(t, d.register(ctx, reg("a"), false))
		must(t, l.Store.Delete(ctx, keyOf("a"), store.Any)) // by another, before Watch looked
		l.tell <- map[string]store.Entry{}
		time.Sleep(3 * time.Second)
		expectNames(t, d)

		must(t, d.register(ctx, reg("b"), false))
		stale, _ := l.Store.All(ctx)
		_, err := d.remove(ctx, "b")
		must(t, err)
		l.tell <- stale
		synctest.Wait()
		expectNames(t, d)
	})
}

func TestStoreUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLagging()
		d := running(t, l)
		ctx := context.Background()
		must(t, d.register(ctx, reg("a"), false))
		all, _ := l.Store.All(ctx)
		l.tell <- all
		synctest.Wait()
		l.down.Store(true)
		if _, err := d.lookup(ctx, "a"); err != nil {
			t.Error(err)
		}
		if _, err := d.lookup(ctx, "b"); described(err) != "errors.NamingError: unknown name: b" {
			t.Error(err)
		}
		const text = "errors.NamingError: the name server's storage is unavailable: "
		_, err := d.remove(ctx, "a")
		if described(err) != text+"remove failed" {
			t.Error(err)
		}
		if _, err = d.removeMatching(ctx, query{kind: byPrefix, arg: "a"}, nil); described(err) != text+"remove failed" {
			t.Error(err)
		}
		if err := d.register(ctx, reg("c"), false); described(err) != text+"register failed" {
			t.Error(err)
		}
		if err := d.setMetadata(ctx, "a", nil); described(err) != text+"set_metadata failed" {
			t.Error(err)
		}
		expectNames(t, d, "a")
	})
}

func TestPublished(t *testing.T) {
	d := NewDirectory(DirectoryConfig{Store: store.NewMemory(), Group: func(r Registration) string { return "by-" + r.Source }})
	ctx := context.Background()
	var told [][]Registration
	d.Changed(func(all []Registration) { told = append(told, all) })
	d.SetPublished("consul", []Registration{reg("p", "m"), reg("q"), reg(OwnName)})
	d.SetPublished("routes", []Registration{reg("q"), reg("r", "group:x")})
	d.SetPublished("routes", []Registration{reg("q"), reg("r", "group:x")}) // nothing new
	expectNames(t, d, "p", "q", "r")
	if len(told) != 3 {
		t.Errorf("told %d times", len(told))
	}
	if r, _ := d.lookup(ctx, "q"); r.Source != "consul" || r.Origin != Discovered || r.Group != "by-consul" {
		t.Errorf("%+v", r)
	}
	if r, _ := d.lookup(ctx, "r"); r.Group != "x" {
		t.Errorf("%+v", r)
	}
	const fixed = "errors.NamingError: name cannot be changed, it is published by consul: p"
	if _, err := d.remove(ctx, "p"); described(err) != fixed {
		t.Error(err)
	}
	if err := d.setMetadata(ctx, "p", nil); described(err) != fixed {
		t.Error(err)
	}
	if err := d.register(ctx, reg("p"), true); described(err) != "errors.NamingError: name already registered: p" {
		t.Error(err)
	}
	must(t, d.register(ctx, reg("p"), false))
	if len(told) != 4 || told[3][0].Origin != Registered {
		t.Errorf("told %d times; a change is told before its client is answered", len(told))
	}
	if n, err := d.removeMatching(ctx, query{kind: byPrefix, arg: values.Tuple{"p", "q"}}, nil); n != 1 || err != nil {
		t.Error(n, err)
	}
	if r, _ := d.lookup(ctx, "p"); r.Origin != Discovered {
		t.Errorf("%+v", r)
	}
	d.SetPublished("consul", nil)
	expectNames(t, d, "q", "r")
}

func TestNamesAreBounded(t *testing.T) {
	d := NewDirectory(DirectoryConfig{Store: store.NewMemory(), Max: 2})
	ctx := context.Background()
	must(t, d.register(ctx, reg("a"), false))
	must(t, d.register(ctx, reg("b"), false))
	must(t, d.register(ctx, reg("b"), false))
	if err := d.register(ctx, reg("c"), false); described(err) != "errors.NamingError: too many names: no more than 2 can be registered" {
		t.Error(err)
	}
}

func TestStoredNonsenseIsIgnored(t *testing.T) {
	s := store.NewMemory()
	ctx := context.Background()
	for _, key := range []string{"=a", "b", "=%zz", "=" + OwnName} {
		if _, err := s.Put(ctx, key, []byte(`{"uri":"nonsense"}`), store.Any); err != nil {
			t.Fatal(err)
		}
	}
	d := NewDirectory(DirectoryConfig{Store: s})
	if n, err := d.count(ctx); n != 1 || err != nil {
		t.Error(n, err)
	}
	if _, err := d.lookup(ctx, "a"); described(err) != "errors.NamingError: unknown name: a" {
		t.Error(err)
	}
	must(t, d.register(ctx, reg("a"), false))
	expectNames(t, d, "a")
}

// TestDirectoriesAgainstAModel has two directories on one store do what a map does.
func TestDirectoriesAgainstAModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		shared := store.NewMemory()
		dirs := []*Directory{NewDirectory(DirectoryConfig{Store: shared}), NewDirectory(DirectoryConfig{Store: shared})}
		follow := func() {
			all, _ := shared.All(context.Background())
			for _, d := range dirs {
				d.follow(all)
			}
		}
		model, published := map[string][]string{}, map[string][]string{}
		pool := []string{"", "a", "ab", "b", "%", "=", "a/b", "ü"}
		ctx := context.Background()
		for step := range 200 {
			d, name := dirs[rnd.IntN(2)], pool[rnd.IntN(len(pool))]
			metadata := []string{fmt.Sprint("m", rnd.IntN(3))}
			_, have := model[name]
			_, pub := published[name]
			switch rnd.IntN(5) {
			case 0:
				safe := rnd.IntN(2) == 0
				if err := d.register(ctx, reg(name, metadata...), safe); (err == nil) == (safe && (have || pub)) {
					t.Fatalf("seed %d step %d: register %q: %v", seed, step, name, err)
				} else if err == nil {
					model[name] = metadata
				}
			case 1:
				if err := d.setMetadata(ctx, name, metadata); (err == nil) != have {
					t.Fatalf("seed %d step %d: set_metadata %q: %v", seed, step, name, err)
				} else if err == nil {
					model[name] = metadata
				}
			case 2:
				if there, err := d.remove(ctx, name); there != have || (err != nil) != (!have && pub) {
					t.Fatalf("seed %d step %d: remove %q: %v %v", seed, step, name, there, err)
				}
				delete(model, name)
			case 3:
				clear(published)
				var list []Registration
				for _, p := range pool[:rnd.IntN(len(pool))] {
					published[p] = metadata
					list = append(list, reg(p, metadata...))
				}
				for _, d := range dirs {
					d.SetPublished("s", list)
				}
			case 4:
				follow()
			}
			want := maps.Clone(published)
			maps.Copy(want, model)
			got := map[string][]string{}
			follow()
			for _, r := range dirs[rnd.IntN(2)].Registrations() {
				got[r.Name] = r.Metadata
			}
			if !maps.EqualFunc(got, want, slices.Equal) {
				t.Fatalf("seed %d step %d: got %v, want %v", seed, step, got, want)
			}
		}
	}
}
