package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.uber.org/zap"

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

// close closes what the fleet keeps open beside its clusters. It comes when nothing
// runs any more.
func (f *fleet) close() {
	for _, c := range f.closers {
		if err := c.Close(); err != nil {
			f.log.Error("state not closed", zap.Error(err))
		}
	}
	if f.consul != nil {
		f.consul.Close()
	}
}
