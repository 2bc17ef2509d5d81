package main

import (
	"slices"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

// gathered is the sum of a metric's series that have all the label values. It must have
// some.
func gathered(t *testing.T, set *metrics.Set, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := set.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range families {
		if f.GetName() != "pyro_dispatch_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if !slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(values, l) }) {
				found = true
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	if !found {
		t.Fatalf("there is no metric %s %q", name, labels)
	}
	return sum
}

// wantGathered compares metrics, each written as its name and label values.
func wantGathered(t *testing.T, set *metrics.Set, want map[[3]string]float64) {
	t.Helper()
	for key, v := range want {
		labels := slices.DeleteFunc(slices.Clone(key[1:]), func(l string) bool { return l == "" })
		if got := gathered(t, set, key[0], labels...); got != v {
			t.Errorf("%s %q is %v, want %v", key[0], labels, got, v)
		}
	}
}
