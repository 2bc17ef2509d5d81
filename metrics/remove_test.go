package metrics_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

// TestEndpointRemove: of an endpoint that is gone no series is left, whatever is
// still counted of it. Its cluster's series, and those of an endpoint elsewhere
// with the same address, are.
func TestEndpointRemove(t *testing.T) {
	const gone = `{cluster="lab",endpoint="192.0.2.1:9999"`
	s := newSet()
	s.Cluster("roof")
	s.Endpoint("lab", "192.0.2.2:9999").Leases.Inc()
	s.Endpoint("roof", "192.0.2.1:9999").ConnectFailed(metrics.ConnectRefused)
	e := s.Endpoint("lab", "192.0.2.1:9999")
	use(e)

	want := series(t, s)
	maps.DeleteFunc(want, func(name string, _ float64) bool { return strings.Contains(name, gone) })
	e.Remove()
	if diff := cmp.Diff(want, series(t, s)); diff != "" {
		t.Errorf("after Remove (-want +got):\n%s", diff)
	}

	want[`health_check_duration_seconds_count{cluster="lab"}`]++ // is the cluster's
	use(e)
	if diff := cmp.Diff(want, series(t, s)); diff != "" {
		t.Errorf("counting brought series back (-want +got):\n%s", diff)
	}

	s.Endpoint("lab", "192.0.2.1:9999")
	back := series(t, s)
	for name, value := range series(t, newSet()) {
		if got, ok := back[name]; strings.Contains(name, gone) && (!ok || got != value) {
			t.Errorf("%s of an endpoint that came back is %v, want %v", name, got, value)
		}
	}
}

// use changes something of every kind.
func use(e *metrics.Endpoint) {
	e.Connections.Inc()
	e.Leases.Inc()
	e.Ghosts.Inc()
	e.Pinned.Inc()
	e.Up.Set(0)
	e.Ejected.Set(1)
	e.Saturated.Inc()
	e.Ejections.Inc()
	e.Explained.Inc()
	e.ConnectFailed(metrics.ConnectRefused)
	e.BreakerChanged("open")
	e.Checked(health.Alive.String(), 0)
}

// TestForget: of a cluster that is gone no series is left, and those of others
// are, among them those of no cluster.
func TestForget(t *testing.T) {
	s := newSet()
	want := series(t, s)
	cluster, source, calls := s.Cluster("roof"), s.Source("roof", metrics.SourceConsul), s.Calls("domes", "roof")
	e := s.Endpoint("roof", "192.0.2.1:9999")
	if diff := cmp.Diff(want, series(t, s)); diff == "" {
		t.Fatal("there is nothing to forget")
	}
	s.Forget("roof")
	if diff := cmp.Diff(want, series(t, s)); diff != "" {
		t.Errorf("after Forget (-want +got):\n%s", diff)
	}
	use(e)
	cluster.Queued.Inc()
	source.Failed("timeout")
	source.Answered()
	calls.Oneway(metrics.Sent)
	e.Remove()
	if diff := cmp.Diff(want, series(t, s)); diff != "" {
		t.Errorf("counting brought series back (-want +got):\n%s", diff)
	}
}
