package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// TestStoreFailures: what a store could not do is counted, each kind on its own; that
// somebody else was faster is no failure.
func TestStoreFailures(t *testing.T) {
	for _, kind := range []metrics.StoreKind{metrics.StoreNames, metrics.StoreTopics, metrics.StorePorts} {
		t.Run(string(kind), func(t *testing.T) {
			f := newTestBoard(t, "topics: lab.topics\n")
			dir := filepath.Join(t.TempDir(), "state") // is made
			s, err := f.openStore(config.Storage{Kind: config.StorageFile, Path: filepath.Join(dir, "x.json")}, kind)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(t.Context(), "a", []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(t.Context(), "a", []byte("2"), 0); !errors.Is(err, store.ErrConflict) {
				t.Errorf("a conflict: %v", err)
			}
			wantGathered(t, f.set, map[[3]string]float64{{"store_failures_total", string(kind)}: 0})
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(t.Context(), "b", []byte("1"), 0); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("where the directory is gone: %v", err)
			}
			if err := s.Delete(t.Context(), "a", store.Any); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("where the directory is gone: %v", err)
			}
			if _, err := s.Get(t.Context(), "a"); err != nil {
				t.Errorf("what is in memory: %v", err)
			}
			wantGathered(t, f.set, map[[3]string]float64{
				{"store_failures_total", string(kind)}: 2, {"store_failures_total"}: 2,
			})
		})
	}
}
