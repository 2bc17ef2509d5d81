package admin_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/admin"
	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
)

// TestCalls: the calls under way and the circles that were found, the last first.
func TestCalls(t *testing.T) {
	g := inflight.New(10)
	epoch := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	handler := admin.Handler(func() []*backend.Cluster { return nil }, admin.Calls{Graph: g, Time: epoch.Add}, nil)
	s := server{handler}
	ask := func() (got map[string]any) {
		t.Helper()
		answer := s.ask("GET", "/api/calls")
		if answer.Code != http.StatusOK {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := map[string]any{"in_flight": 0.0, "untracked": 0.0, "circles": []any{}}
	if diff := cmp.Diff(want, ask()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	id := [16]byte{1, 15: 2}
	call := g.Begin(inflight.Origin{Correlation: id, Made: true}, inflight.Parents{}, inflight.Node{Name: "a:1"}, 0)
	defer call.End()
	g.Report(inflight.Circle{Correlation: id, Names: []string{"a:1", "b:1", "a:1"}}, inflight.Certain, time.Second, true)
	g.Report(inflight.Circle{Correlation: id, Names: []string{"b:1", "b:1"}}, inflight.Certain, time.Minute, false)
	const text = "01000000-0000-0000-0000-000000000002"
	want = map[string]any{"in_flight": 1.0, "untracked": 0.0, "circles": []any{
		map[string]any{"at": "2026-01-02T03:05:05Z", "correlation_id": text, "chain": []any{"b:1", "b:1"}, "rejected": false},
		map[string]any{"at": "2026-01-02T03:04:06Z", "correlation_id": text, "chain": []any{"a:1", "b:1", "a:1"}, "rejected": true},
	}}
	if diff := cmp.Diff(want, ask()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
