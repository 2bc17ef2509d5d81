package store

import (
	"context"
	"maps"
	"strings"
)

// Prefixed is the part of s whose keys begin with prefix, under the rest of them. So
// several can share one store.
func Prefixed(s Store, prefix string) Store { return prefixed{s, prefix} }

type prefixed struct {
	store  Store
	prefix string
}

func (p prefixed) All(ctx context.Context) (map[string]Entry, error) {
	all, err := p.store.All(ctx)
	return p.mine(all), err
}

func (p prefixed) Get(ctx context.Context, key string) (Entry, error) {
	return p.store.Get(ctx, p.prefix+key)
}

func (p prefixed) Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error) {
	return p.store.Put(ctx, p.prefix+key, value, expect)
}

func (p prefixed) Delete(ctx context.Context, key string, expect uint64) error {
	return p.store.Delete(ctx, p.prefix+key, expect)
}

// Watch does not tell of changes of the others.
func (p prefixed) Watch(ctx context.Context, changed func(map[string]Entry)) {
	var last map[string]Entry
	p.store.Watch(ctx, func(all map[string]Entry) {
		mine := p.mine(all)
		if last != nil && maps.EqualFunc(last, mine, Entry.equal) {
			return
		}
		last = mine
		changed(mine)
	})
}

func (p prefixed) mine(all map[string]Entry) map[string]Entry {
	mine := make(map[string]Entry)
	for key, e := range all {
		if rest, ok := strings.CutPrefix(key, p.prefix); ok {
			mine[rest] = e
		}
	}
	return mine
}
