// Package store keeps small values under keys, for names and topics: in memory, in
// a file, or in Consul, where any number of dispatchers share them.
//
// It does not know what the values mean.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// ErrConflict: the value is no longer what the caller took it for.
var ErrConflict = errors.New("changed meanwhile")

// ErrUnavailable: the store cannot be asked or changed now. A change that was asked
// for may have happened all the same, if its answer was lost.
var ErrUnavailable = errors.New("store unavailable")

// ErrTooLarge: a key or a value is larger than MaxKey or MaxValue.
var ErrTooLarge = errors.New("too large to be stored")

// ErrFull: the store holds as much as it may.
var ErrFull = errors.New("store is full")

// What one entry may have, in bytes. Consul takes 512 KiB in a transaction, which
// carries values in base64.
const (
	MaxKey   = 1 << 10
	MaxValue = 380 << 10
)

// fits says why an entry cannot be stored anywhere, if so.
func fits(key string, value []byte) error {
	if len(key) > MaxKey {
		return fmt.Errorf("a key of %d bytes is %w: at most %d", len(key), ErrTooLarge, MaxKey)
	}
	if len(value) > MaxValue {
		return fmt.Errorf("a value of %d bytes is %w: at most %d", len(value), ErrTooLarge, MaxValue)
	}
	return nil
}

// Entry is a value and its version, which changes with it. Version 0 is that of a
// key without a value, and none comes twice in the life of a store. Value must not
// be changed.
type Entry struct {
	Value   []byte
	Version uint64
}

func (e Entry) equal(o Entry) bool {
	return e.Version == o.Version && bytes.Equal(e.Value, o.Value)
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
	// Putting the value that is there already changes nothing, not even the version.
	// With nil as the error the value is kept as well as the store can. It is the
	// caller's again.
	Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error)
	// Delete removes key under the same condition. Removing what is not there is no error.
	Delete(ctx context.Context, key string, expect uint64) error
	// Watch calls changed with everything that is there, first as soon as that is known
	// and then after each change, by whomever, until ctx ends. The map must not be changed.
	// While the store cannot be asked, it keeps trying, and what was told last stands.
	Watch(ctx context.Context, changed func(map[string]Entry))
}
