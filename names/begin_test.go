package names

import (
	"context"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/store"
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
