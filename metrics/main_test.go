package metrics_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md from what the code says now")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newSet makes a set with one of each thing that has collectors.
func newSet() *metrics.Set {
	s := metrics.New(metrics.Build{Version: "1.2.3", Revision: "abc", GoVersion: "go1"})
	s.Listener("front")
	s.Calls("cameras", "lab")
	s.Cluster("lab")
	s.Endpoint("lab", "192.0.2.1:9999")
	s.Source("lab", metrics.SourceDNS)
	s.Source("lab", metrics.SourceConsul)
	s.Source("", metrics.SourceCatalog)
	s.Source("", metrics.SourceRegistration)
	s.Source("lab", metrics.SourceNames)
	zero := func() int { return 0 }
	s.Names(10, zero)
	s.Topics(10, 10, func() bool { return true }, zero, zero, zero, zero)
	s.Ports("lab", 10, zero)
	s.Ports("", 10, zero)
	s.StoreFailures(metrics.StoreNames)
	s.StoreFailures(metrics.StoreTopics)
	s.StoreFailures(metrics.StorePorts)
	s.Buffer()
	s.Spill()
	s.Tracked(10, func() int { return 0 }, func() uint64 { return 0 })
	return s
}

// family is a metric of ours as it is gathered.
type family struct {
	name   string // without the namespace
	kind   string // counter, gauge or histogram
	help   string
	labels []string
	values map[string][]string // of each label
	bounds []float64           // of a histogram's buckets
	series map[string]float64  // by labels, as {a="b"}; a histogram's have the suffixes _count and _sum
}

const namespace = "pyro_dispatch_"

// gather returns our own metrics in the order of their names.
func gather(t *testing.T, g prometheus.Gatherer) (found []family) {
	t.Helper()
	all, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, mf := range all {
		name, ours := strings.CutPrefix(mf.GetName(), namespace)
		if !ours {
			continue
		}
		f := family{
			name:   name,
			kind:   strings.ToLower(mf.GetType().String()),
			help:   mf.GetHelp(),
			values: make(map[string][]string),
			series: make(map[string]float64),
		}
		for _, m := range mf.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetValue() == "" {
					continue // to Prometheus there is no such label
				}
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				if !slices.Contains(f.labels, l.GetName()) {
					f.labels = append(f.labels, l.GetName())
				}
				if !slices.Contains(f.values[l.GetName()], l.GetValue()) {
					f.values[l.GetName()] = append(f.values[l.GetName()], l.GetValue())
				}
			}
			key := "{" + strings.Join(labels, ",") + "}"
			if h := m.GetHistogram(); h != nil {
				f.series["_count"+key] = float64(h.GetSampleCount())
				f.series["_sum"+key] = h.GetSampleSum()
				f.bounds = nil
				for _, b := range h.GetBucket() {
					f.bounds = append(f.bounds, b.GetUpperBound())
				}
				continue
			}
			f.series[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		slices.Sort(f.labels)
		for _, values := range f.values {
			slices.Sort(values)
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		t.Fatal("no metrics of ours")
	}
	return found
}
