package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// openStore opens what is kept of names, topics or ports. It is closed with the fleet.
func (f *fleet) openStore(s config.Storage, kind metrics.StoreKind) (store.Store, error) {
	failures := f.set.StoreFailures(kind)
	switch s.Kind {
	case config.StorageConsul:
		return countedStore{store.NewConsul(f.consul.KV(), s.Prefix, f.log), failures}, nil
	case config.StorageFile:
		if err := os.MkdirAll(filepath.Dir(s.Path), 0o700); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		file, err := store.OpenFile(s.Path, f.log)
		if err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		f.closers = append(f.closers, file)
		return countedStore{file, failures}, nil
	}
	return countedStore{store.NewMemory(), failures}, nil
}

// countedStore counts the failures of a store.
type countedStore struct {
	store.Store
	failures prometheus.Counter
}

func (s countedStore) count(err error) {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFull) {
		s.failures.Inc()
	}
}

func (s countedStore) All(ctx context.Context) (map[string]store.Entry, error) {
	all, err := s.Store.All(ctx)
	s.count(err)
	return all, err
}

func (s countedStore) Get(ctx context.Context, key string) (store.Entry, error) {
	e, err := s.Store.Get(ctx, key)
	s.count(err)
	return e, err
}

func (s countedStore) Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error) {
	version, err := s.Store.Put(ctx, key, value, expect)
	s.count(err)
	return version, err
}

func (s countedStore) Delete(ctx context.Context, key string, expect uint64) error {
	err := s.Store.Delete(ctx, key, expect)
	s.count(err)
	return err
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
