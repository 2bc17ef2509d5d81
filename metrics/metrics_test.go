package metrics_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(newSet().Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestEverySeriesExists wants every metric to be there, with every value of the
// labels that are lists, before anything has happened.
func TestEverySeriesExists(t *testing.T) {
	var all, rejected []string
	for _, r := range routerReasons(t) {
		all = append(all, string(r))
		if r.Rejected() {
			rejected = append(rejected, string(r))
		}
	}
	var outcomes []string
	for _, c := range constants(t, "handles.go", "Outcome") {
		outcomes = append(outcomes, c.value)
	}
	var failures []string
	for _, c := range constants(t, "reasons.go", "ConnectFailure") {
		failures = append(failures, c.value)
	}
	want := map[string][]string{
		"calls_total outcome":           outcomes,
		"connect_failures_total reason": failures,
		"rejected_total reason":         rejected,
		"relayed_bytes_total direction": {"reply", "request"},
		"sessions_ended_total reason":   all,
	}
	got := make(map[string][]string)
	for _, f := range gather(t, newSet().Registry) {
		for label, values := range f.values {
			switch fixedValues(label) {
			case true:
				got[f.name+" "+label] = values
			case false:
				if len(values) != 1 {
					t.Errorf("%s: %s is %q from one name in the configuration", f.name, label, values)
				}
			}
		}
	}
	for _, m := range []map[string][]string{got, want} {
		for _, values := range m {
			slices.Sort(values)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values of labels (metrics/reasons.go lists them; -used +there from the start):\n%s", diff)
	}
}

// fixedValues reports whether a label's values come from a list in the code,
// not from the configuration or the build.
func fixedValues(label string) bool {
	return slices.Contains([]string{"outcome", "reason", "direction"}, label)
}

// routerReasons returns every router.Reason.
func routerReasons(t *testing.T) (reasons []router.Reason) {
	for _, c := range constants(t, "../router/reason.go", "Reason") {
		reasons = append(reasons, router.Reason(c.value))
	}
	return reasons
}

// TestLabels wants nothing to be a label that a client could choose: not an
// object, a source address or a correlation id.
func TestLabels(t *testing.T) {
	known := slices.Collect(maps.Keys(labelMeanings))
	for _, f := range gather(t, newSet().Registry) {
		for _, label := range f.labels {
			if !slices.Contains(known, label) {
				t.Errorf("%s has the label %s", f.name, label)
			}
		}
	}
}

// TestCounting checks which series each method changes, and by how much.
func TestCounting(t *testing.T) {
	const route = `{cluster="lab",route="cameras"}`
	calls := func(outcome string) string {
		return `calls_total{cluster="lab",outcome="` + outcome + `",route="cameras"}`
	}
	tests := []struct {
		name string
		do   func(*metrics.Set)
		want map[string]float64
	}{
		{
			"a call begins", func(s *metrics.Set) { s.Calls("cameras", "lab").Began() },
			map[string]float64{"calls_in_flight" + route: 1},
		},
		{
			"a call is answered", func(s *metrics.Set) {
				c := s.Calls("cameras", "lab")
				c.Began()
				c.Ended(metrics.Replied, 1.5)
			},
			map[string]float64{calls("ok"): 1, "call_duration_seconds_count" + route: 1, "call_duration_seconds_sum" + route: 1.5},
		},
		{
			"a call raises", func(s *metrics.Set) {
				c := s.Calls("cameras", "lab")
				c.Began()
				c.Ended(metrics.Raised, .25)
			},
			map[string]float64{calls("exception"): 1, "call_duration_seconds_count" + route: 1, "call_duration_seconds_sum" + route: .25},
		},
		{
			"calls fail: their time says nothing", func(s *metrics.Set) {
				c := s.Calls("cameras", "lab")
				for _, o := range []metrics.Outcome{metrics.BackendClosed, metrics.BackendProtocol, metrics.ClientClosed, metrics.Aborted} {
					c.Began()
					c.Ended(o, 7)
				}
			},
			map[string]float64{calls("backend_closed"): 1, calls("backend_protocol_error"): 1, calls("client_closed"): 1, calls("aborted"): 1},
		},
		{
			"a oneway call", func(s *metrics.Set) { s.Calls("cameras", "lab").Oneway(metrics.Sent) },
			map[string]float64{calls("oneway"): 1},
		},
		{
			"bytes", func(s *metrics.Set) {
				c := s.Calls("cameras", "lab")
				c.Request(100)
				c.Request(1 << 40)
				c.Reply(20)
			},
			map[string]float64{
				`relayed_bytes_total{cluster="lab",direction="request",route="cameras"}`: 1<<40 + 100,
				`relayed_bytes_total{cluster="lab",direction="reply",route="cameras"}`:   20,
			},
		},
		{
			"a handshake is refused", func(s *metrics.Set) { s.Calls("cameras", "lab").Refused() },
			map[string]float64{"connects_refused_total" + route: 1},
		},
		{
			"two handles of one route", func(s *metrics.Set) {
				s.Calls("cameras", "lab").Began()
				s.Calls("cameras", "lab").Began()
			},
			map[string]float64{"calls_in_flight" + route: 2},
		},
		{
			"a session", func(s *metrics.Set) {
				l := s.Listener("front")
				l.Limit.Set(10)
				l.Started.Inc()
				l.Sessions.Inc()
				l.AcceptErrors.Inc()
			},
			map[string]float64{
				`sessions_limit{listener="front"}`:         10,
				`sessions_started_total{listener="front"}`: 1,
				`sessions{listener="front"}`:               1,
				`accept_errors_total{listener="front"}`:    1,
			},
		},
		{
			"a session ends", func(s *metrics.Set) { s.Listener("front").Ended("client_closed") },
			map[string]float64{`sessions_ended_total{listener="front",reason="client_closed"}`: 1},
		},
		{
			"a client is rejected", func(s *metrics.Set) { s.Listener("front").Rejected("not_pyro") },
			map[string]float64{`rejected_total{listener="front",reason="not_pyro"}`: 1},
		},
		{
			"an endpoint", func(s *metrics.Set) {
				e := s.Endpoint("lab", "192.0.2.1:9999")
				e.Connections.Inc()
				e.ConnectFailed(metrics.ConnectTimeout)
			},
			map[string]float64{
				`endpoint_connections{cluster="lab",endpoint="192.0.2.1:9999"}`:                    1,
				`connect_failures_total{cluster="lab",endpoint="192.0.2.1:9999",reason="timeout"}`: 1,
			},
		},
		{
			"memory", func(s *metrics.Set) {
				b := s.Buffer()
				b.InUse.Add(5)
				b.Limit.Set(64)
				b.Waits.Inc()
			},
			map[string]float64{"buffer_memory_bytes{}": 5, "buffer_memory_limit_bytes{}": 64, "buffer_memory_waits_total{}": 1},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSet()
			before := series(t, s)
			test.do(s)
			got := make(map[string]float64)
			for name, value := range series(t, s) {
				was, existed := before[name]
				if value != was {
					got[name] = value - was
				}
				if !existed {
					t.Errorf("%s did not exist before", name)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// series returns the values of all series of ours.
func series(t *testing.T, s *metrics.Set) map[string]float64 {
	all := make(map[string]float64)
	for _, f := range gather(t, s.Registry) {
		for key, value := range f.series {
			all[f.name+key] = value
		}
	}
	return all
}

func TestBuildInfo(t *testing.T) {
	want := `# HELP pyro_dispatch_build_info Always 1; its labels name the build.
# TYPE pyro_dispatch_build_info gauge
pyro_dispatch_build_info{goversion="go1",revision="abc",version="1.2.3"} 1
`
	if err := testutil.GatherAndCompare(newSet().Registry, strings.NewReader(want), "pyro_dispatch_build_info"); err != nil {
		t.Error(err)
	}
}

// TestSetsAreApart: nothing is registered globally.
func TestSetsAreApart(t *testing.T) {
	a, b := newSet(), newSet()
	before := series(t, b)
	a.Calls("cameras", "lab").Began()
	if diff := cmp.Diff(before, series(t, b)); diff != "" {
		t.Errorf("a call in one set shows in another:\n%s", diff)
	}
}
