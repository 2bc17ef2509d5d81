// Package store keeps small values under keys, for names and topics: in memory, in
// a file, or in Consul, where any number of dispatchers share them.
//
// It does not know what the values mean.
package store

import (
	"context"
	"errors"
)

// ErrConflict: the value is no longer what the caller took it for.
var ErrConflict = errors.New("changed meanwhile")

// ErrUnavailable: the store cannot be asked or changed now.
var ErrUnavailable = errors.New("store unavailable")

// Entry is a value and its version, which changes with it. Version 0 is that of a
// key without a value. Value must not be changed.
type Entry struct {
	Value   []byte
	Version uint64
}

// Any is the version for whoever does not care what was there before.
const Any = ^uint64(0)

// Store is one name space. Its methods may be called concurrently.
type Store interface {
	// All gives everything that is there, as fresh as the store can tell: it asks the
	// servers where there are any. The map is the caller's.
	All(ctx context.Context) (map[string]Entry, error)
	// Get gives the entry of key, as fresh as All; that of a key without a value is zero.
	Get(ctx context.Context, key string) (Entry, error)
	// Put sets key, if its version is still expect (0: if it has no value), or in any
	// case with Any, and gives the new version. Otherwise the error is ErrConflict.
	Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error)
	// Delete removes key under the same condition. Removing what is not there is no error.
	Delete(ctx context.Context, key string, expect uint64) error
	// Watch calls changed with everything that is there, first as soon as that is known
	// and then after each change, by whomever, until ctx ends. The map must not be changed.
	// While the store cannot be asked, it keeps trying, and what was told last stands.
	Watch(ctx context.Context, changed func(map[string]Entry))
}
