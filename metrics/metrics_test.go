package metrics_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sony/gobreaker/v2"

	"github.com/pyro-dispatch/pyro-dispatch/health"
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
// labels that are lists, before anything has happened. Where another package
// decides what is counted, its own names are what is wanted.
func TestEverySeriesExists(t *testing.T) {
	var all, rejected []string
	for _, r := range routerReasons(t) {
		all = append(all, string(r))
		if r.Rejected() {
			rejected = append(rejected, string(r))
		}
	}
	sources := values(constants(t, "source.go", "SourceKind"))
	want := map[string][]string{
		"calls_total outcome":                      values(constants(t, "handles.go", "Outcome")),
		"dispatched_legs_total outcome":            values(constants(t, "handles.go", "Outcome")),
		"circles_total certainty":                  {"certain", "possible"},
		"circles_total action":                     {"passed", "rejected"},
		"connect_failures_total reason":            values(constants(t, "reasons.go", "ConnectFailure")),
		"endpoint_breaker_state state":             breakerStates(),
		"endpoint_breaker_transitions_total state": breakerStates(),
		"health_checks_total result":               findings(),
		"queue_refused_total reason":               values(constants(t, "reasons.go", "queueRefusal")),
		"rejected_total reason":                    rejected,
		"relayed_bytes_total direction":            {"reply", "request"},
		"sessions_ended_total reason":              all,
		"store_failures_total store":               values(constants(t, "own.go", "StoreKind")),
		"source_failures_total reason":             values(constants(t, "../discovery/reason.go", "Reason")),
	}
	got := make(map[string][]string)
	for _, f := range gather(t, newSet().Registry) {
		if slices.Contains(f.labels, "source") {
			want[f.name+" source"] = sources
		}
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
	sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	if diff := cmp.Diff(want, got, sorted); diff != "" {
		t.Errorf("values of labels (-used +there from the start):\n%s", diff)
	}
}

// fixedValues reports whether a label's values come from a list in the code,
// not from the configuration or the build.
func fixedValues(label string) bool {
	return slices.Contains([]string{"outcome", "reason", "direction", "state", "result", "source", "store", "certainty", "action"}, label)
}

// routerReasons returns every router.Reason.
func routerReasons(t *testing.T) (reasons []router.Reason) {
	for _, c := range constants(t, "../router/reason.go", "Reason") {
		reasons = append(reasons, router.Reason(c.value))
	}
	return reasons
}

// breakerStates returns the names of gobreaker's states.
func breakerStates() (names []string) {
	for s := gobreaker.State(0); !strings.HasPrefix(s.String(), "unknown"); s++ {
		names = append(names, s.String())
	}
	return names
}

// findings returns the names of health's findings, spelt as label values are.
func findings() (names []string) {
	for f := health.Finding(1); f.String() != fmt.Sprintf("finding %d", f); f++ {
		names = append(names, strings.ReplaceAll(f.String(), " ", "_"))
	}
	return names
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
