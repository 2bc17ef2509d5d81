package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pace"
	"github.com/pyro-dispatch/pyro-dispatch/store/storetest"
)

// stores makes an empty one of each kind.
var stores = []struct {
	name string
	make func(t *testing.T) Store
}{
	{"memory", func(*testing.T) Store { return NewMemory() }},
	{"file", func(t *testing.T) Store { return openFile(t, filepath.Join(t.TempDir(), "store.json")) }},
	{"consul", func(t *testing.T) Store { return consulStore(t, storetest.NewConsul(), "pyro/names") }},
	{"prefixed", func(t *testing.T) Store {
		m := NewMemory()
		put(t, m, "topics/a", "not to be seen", 0)
		return Prefixed(m, "names/")
	}},
}

func openFile(t *testing.T, path string) *File {
	t.Helper()
	f, err := OpenFile(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func put(t *testing.T, s Store, key, value string, expect uint64) uint64 {
	t.Helper()
	v, err := s.Put(t.Context(), key, []byte(value), expect)
	if err != nil {
		t.Fatalf("Put(%q, %q, %d): %v", key, value, expect, err)
	}
	if v == 0 || v == Any {
		t.Fatalf("Put(%q) gave version %d", key, v)
	}
	return v
}

// content is what All and each Get say, which must be the same.
func content(t *testing.T, s Store) map[string]string {
	t.Helper()
	all, err := s.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, e := range all {
		if one, err := s.Get(t.Context(), key); err != nil || !one.equal(e) {
			t.Errorf("Get(%q) = %v, %v; All has %v", key, one, err, e)
		}
	}
	return texts(all)
}

func texts(all map[string]Entry) map[string]string {
	m := make(map[string]string)
	for key, e := range all {
		m[key] = string(e.Value)
	}
	return m
}

// steps are run on a store that holds "a" = "1" (version now) and once held it in
// another version (before).
var steps = []struct {
	name string
	run  func(s Store, now, before uint64) error
	err  error
	want string // the value of "a", or "-"
}{
	{"put over it", func(s Store, now, _ uint64) error { return ignore(s.Put(ctx, "a", []byte("2"), now)) }, nil, "2"},
	{"put over what was", func(s Store, _, before uint64) error { return ignore(s.Put(ctx, "a", []byte("2"), before)) }, ErrConflict, "1"},
	{"put what is there over what was", func(s Store, _, before uint64) error { return ignore(s.Put(ctx, "a", []byte("1"), before)) }, ErrConflict, "1"},
	{"put over nothing", func(s Store, _, _ uint64) error { return ignore(s.Put(ctx, "a", []byte("2"), 0)) }, ErrConflict, "1"},
	{"put over anything", func(s Store, _, _ uint64) error { return ignore(s.Put(ctx, "a", []byte("2"), Any)) }, nil, "2"},
	{"put nothing", func(s Store, now, _ uint64) error { return ignore(s.Put(ctx, "a", nil, now)) }, nil, ""},
	{"put over what is missing", func(s Store, now, _ uint64) error { return ignore(s.Put(ctx, "b", []byte("2"), now)) }, ErrConflict, "1"},
	{"put too much", func(s Store, now, _ uint64) error { return ignore(s.Put(ctx, "a", make([]byte, MaxValue+1), now)) }, ErrTooLarge, "1"},
	{"put under too long a key", func(s Store, _, _ uint64) error {
		return ignore(s.Put(ctx, strings.Repeat("k", MaxKey+1), []byte("1"), 0))
	}, ErrTooLarge, "1"},
	{"delete", func(s Store, now, _ uint64) error { return s.Delete(ctx, "a", now) }, nil, "-"},
	{"delete what was", func(s Store, _, before uint64) error { return s.Delete(ctx, "a", before) }, ErrConflict, "1"},
	{"delete nothing", func(s Store, _, _ uint64) error { return s.Delete(ctx, "a", 0) }, ErrConflict, "1"},
	{"delete anything", func(s Store, _, _ uint64) error { return s.Delete(ctx, "a", Any) }, nil, "-"},
	{"delete what is missing", func(s Store, now, _ uint64) error {
		return errors.Join(s.Delete(ctx, "b", now), s.Delete(ctx, "b", 0), s.Delete(ctx, "b", Any))
	}, nil, "1"},
	{"put after delete", func(s Store, now, _ uint64) error {
		if err := s.Delete(ctx, "a", now); err != nil {
			return err
		}
		return ignore(s.Put(ctx, "a", []byte("2"), now))
	}, ErrConflict, "-"},
	{"put anew after delete", func(s Store, now, before uint64) error {
		if err := s.Delete(ctx, "a", now); err != nil {
			return err
		}
		v, err := s.Put(ctx, "a", []byte("1"), 0)
		if v == now || v == before {
			return fmt.Errorf("version %d came again", v)
		}
		return err
	}, nil, "1"},
	{"put what is there", func(s Store, now, _ uint64) error {
		v, err := s.Put(ctx, "a", []byte("1"), now)
		if v != now {
			return fmt.Errorf("version %d became %d", now, v)
		}
		return err
	}, nil, "1"},
	{"put with an ended context", func(s Store, now, _ uint64) error {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return ignore(s.Put(ended, "a", []byte("2"), now))
	}, context.Canceled, "1"},
}

var ctx = context.Background()

func ignore(_ uint64, err error) error { return err }

func TestEveryStorePutsAndDeletesUnderTheSameConditions(t *testing.T) {
	for _, kind := range stores {
		for _, step := range steps {
			t.Run(kind.name+"/"+step.name, func(t *testing.T) {
				s := kind.make(t)
				before := put(t, s, "a", "0", 0)
				now := put(t, s, "a", "1", before)
				if now == before {
					t.Fatalf("the version stays %d", now)
				}
				if err := step.run(s, now, before); !errors.Is(err, step.err) {
					t.Errorf("error %v, want %v", err, step.err)
				}
				want := map[string]string{"a": step.want}
				if step.want == "-" {
					want = map[string]string{}
				}
				if got := content(t, s); !maps.Equal(got, want) {
					t.Errorf("holds %q, want %q", got, want)
				}
				if e, err := s.Get(t.Context(), "b"); err != nil || e.Version != 0 {
					t.Errorf("what is missing is %v, %v", e, err)
				}
			})
		}
	}
}

// oddKeys are different, and stay so.
var oddKeys = []string{
	"", " ", "/", "//", "a/b", "a//b", "/a", "a/", ".", "..", "a/../b", "a/./b", "a.b", "a..b", "%", "%2f", "%252f", "=", "=2f", "=2F",
	"A", "a", "ä", "名前", "\x00", "a?b", "a#b", "a&b=c", "a+b", "a b", `a\b`, "\"", "\n", "\xff", "\xfe", "Pyro.NameServer", "obj_0123", "é", "e\u0301",
	"names/a", strings.Repeat("ü", MaxKey/2),
}

func TestEveryStoreTakesAnyKeyAndValue(t *testing.T) {
	for _, kind := range stores {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.make(t)
			want := make(map[string]string)
			for i, key := range oddKeys {
				if kind.name == "prefixed" && len(key) > MaxKey-10 {
					continue
				}
				want[key] = fmt.Sprintf("\x00\xff %d", i)
				put(t, s, key, want[key], 0)
			}
			put(t, s, "large", strings.Repeat("\x80", MaxValue), 0)
			want["large"] = strings.Repeat("\x80", MaxValue)
			if got := content(t, s); !maps.Equal(got, want) {
				t.Errorf("holds %q\nwant %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
			for key := range want {
				if err := s.Delete(t.Context(), key, Any); err != nil {
					t.Errorf("Delete(%q): %v", key, err)
				}
			}
			if got := content(t, s); len(got) != 0 {
				t.Errorf("%q is left", slices.Sorted(maps.Keys(got)))
			}
		})
	}
}

func TestEveryStoreLetsOneOfManyWin(t *testing.T) {
	for _, kind := range stores {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.make(t)
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					for added := 0; added < 5; {
						e, err := s.Get(ctx, "count")
						if err != nil {
							t.Error(err)
							return
						}
						switch _, err := s.Put(ctx, "count", append(slices.Clone(e.Value), 'x'), e.Version); {
						case err == nil:
							added++
						case !errors.Is(err, ErrConflict):
							t.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			if got := content(t, s)["count"]; len(got) != 40 {
				t.Errorf("%d of 40 were counted", len(got))
			}
		})
	}
}

func TestEveryStoreTellsOfChanges(t *testing.T) {
	for _, kind := range stores {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := kind.make(t)
				put(t, s, "a", "1", 0)
				told := watchAll(t, s)
				told.want(t, "map[a:1]")
				put(t, s, "b", "2", 0)
				told.want(t, "map[a:1 b:2]")
				put(t, s, "b", "2", Any)
				told.want(t, "")
				if err := s.Delete(t.Context(), "a", Any); err != nil {
					t.Fatal(err)
				}
				told.want(t, "map[b:2]")
				time.Sleep(time.Hour) // whatever ends meanwhile, there is nothing new
				told.want(t, "")
			})
		})
	}
}

// listener notes what a watch tells.
type listener struct {
	mu   sync.Mutex
	told []string
}

// watchAll watches until the test ends.
func watchAll(t *testing.T, s Store) *listener {
	l := &listener{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(ctx, func(all map[string]Entry) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.told = append(l.told, fmt.Sprint(texts(all)))
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return l
}

// want waits until everybody rests, and compares what was told since the last time.
func (l *listener) want(t *testing.T, want string) {
	t.Helper()
	time.Sleep(2 * pace.QueryInterval)
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := strings.Join(l.told, " "); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	l.told = nil
}
