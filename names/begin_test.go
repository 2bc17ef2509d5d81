package names

import (
	"context"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Who was told of a name before a restart connects before the directory runs: whoever
// makes it callable hears of it from the beginning.
func TestNamesAreKnownFromTheBeginning(t *testing.T) {
	l := newLagging()
	must(t, NewDirectory(DirectoryConfig{Store: l}).register(context.Background(), reg("a", "group:g"), true))
	var told [][]Registration
	d := NewDirectory(DirectoryConfig{Store: l})
	d.Changed(func(all []Registration) { told = append(told, all) })
	if len(told) != 1 || len(told[0]) != 1 || told[0][0].Name != "a" || told[0][0].Group != "g" {
		t.Errorf("told %+v", told)
	}
}

func TestAStoreThatCannotBeAskedAtFirst(t *testing.T) {
	l := newLagging()
	must(t, NewDirectory(DirectoryConfig{Store: l}).register(context.Background(), reg("a"), true))
	l.down.Store(true)
	d := running(t, l)
	expectNames(t, d)
	l.down.Store(false)
	all, err := l.All(context.Background())
	must(t, err)
	l.tell <- all
	l.tell <- all // the first has been taken by then
	expectNames(t, d, "a")
}

// brimful is a store that takes nothing new.
type brimful struct{ store.Store }

func (brimful) Put(context.Context, string, []byte, uint64) (uint64, error) {
	return 0, store.ErrFull
}

// A store may hold less than max_names: that is something else than an outage.
func TestAFullStoreIsToldAsSuch(t *testing.T) {
	d := NewDirectory(DirectoryConfig{Store: brimful{store.NewMemory()}})
	err := d.register(context.Background(), reg("a"), false)
	if described(err) != "errors.NamingError: the name server's storage is full: register failed" {
		t.Error(err)
	}
}

// As long as the store has never been read, that a name is not known is no reason to say
// that it does not exist: who asks must be able to tell an outage from a typo.
func TestUnreadStorage(t *testing.T) {
	const unread = "errors.NamingError: the name server's storage is unavailable: the names are not known yet"
	for _, c := range []struct {
		name string
		// what comes after a start without the store
		then func(t *testing.T, l *lagging, d *Directory)
		read bool
	}{
		{"from the start", func(*testing.T, *lagging, *Directory) {}, false},
		{"a name was asked for", func(t *testing.T, l *lagging, d *Directory) {
			l.down.Store(false)
			_, err := d.lookup(t.Context(), "a")
			must(t, err)
		}, false},
		{"the names were asked for", func(t *testing.T, l *lagging, d *Directory) {
			l.down.Store(false)
			_, err := d.list(t.Context(), query{}, reg(OwnName))
			must(t, err)
		}, true},
		{"the store was followed", func(t *testing.T, l *lagging, d *Directory) {
			all, err := l.Store.All(t.Context())
			must(t, err)
			d.follow(all)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLagging()
			must(t, NewDirectory(DirectoryConfig{Store: l}).register(t.Context(), reg("a", "m"), true))
			l.down.Store(true)
			d := NewDirectory(DirectoryConfig{Store: l})
			d.SetPublished("routes", []Registration{reg("p")})
			c.then(t, l, d)
			l.down.Store(true)
			s := NewServer(d, Config{})
			for _, q := range []struct {
				method string
				args   []values.Value
				read   string // the error once the store was read, "" for none
			}{
				{"lookup", []values.Value{"typo"}, "errors.NamingError: unknown name: typo"},
				{"set_metadata", []values.Value{"typo", values.List{int64(1)}}, "errors.NamingError: unknown name: typo"},
				{"list", nil, ""},
				{"list", []values.Value{"a"}, ""},
				{"yplookup", []values.Value{values.List{"m"}}, ""},
				{"count", nil, ""},
			} {
				want := q.read
				if !c.read {
					want = unread
				}
				_, err := call(s, asker(wire.V502), q.method, q.args...)
				if err == nil && want != "" || err != nil && described(err) != want {
					t.Errorf("%s%v: %v, want %s", q.method, q.args, err, want)
				}
			}
			for _, name := range []string{"p", OwnName} {
				if _, err := call(s, asker(wire.V502), "lookup", name); err != nil {
					t.Errorf("lookup of %s, which is known: %v", name, err)
				}
			}
			if _, err := call(s, asker(wire.V502), "ping"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A lookup that waits for the store in vain is answered by what was told meanwhile.
func TestNamesToldDuringALookup(t *testing.T) {
	l := newLagging()
	must(t, NewDirectory(DirectoryConfig{Store: l}).register(t.Context(), reg("a"), true))
	all, err := l.Store.All(t.Context())
	must(t, err)
	l.down.Store(true)
	during := &interrupted{lagging: l}
	d := NewDirectory(DirectoryConfig{Store: during})
	during.get = func() { d.follow(all) }
	if r, err := d.lookup(t.Context(), "a"); err != nil || r.Name != "a" {
		t.Errorf("%+v, %v", r, err)
	}
}

// interrupted is a store to which something happens while it is asked for a name.
type interrupted struct {
	*lagging
	get func()
}

func (i *interrupted) Get(ctx context.Context, key string) (store.Entry, error) {
	i.get()
	return i.lagging.Get(ctx, key)
}
