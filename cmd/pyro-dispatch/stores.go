package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// openStore opens what is kept of names, topics or ports. It is closed with the fleet.
func (f *fleet) openStore(s config.Storage) (store.Store, error) {
	switch s.Kind {
	case config.StorageConsul:
		return store.NewConsul(f.consul.KV(), s.Prefix, f.log), nil
	case config.StorageFile:
		if err := os.MkdirAll(filepath.Dir(s.Path), 0o700); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		file, err := store.OpenFile(s.Path, f.log)
		if err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		f.closers = append(f.closers, file)
		return file, nil
	}
	return store.NewMemory(), nil
}

// closeStores closes them.
func (f *fleet) closeStores() error {
	var errs []error
	for _, c := range f.closers {
		errs = append(errs, c.Close())
	}
	f.closers = nil
	return errors.Join(errs...)
}
