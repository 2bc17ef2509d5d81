package metrics_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/discovery"
	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

// TestCounting checks which series each method changes, and by how much.
func TestCounting(t *testing.T) {
	const (
		route    = `{cluster="lab",route="cameras"}`
		cluster  = `{cluster="lab"}`
		endpoint = `{cluster="lab",endpoint="192.0.2.1:9999"}`
	)
	at := func(label, value string) string {
		return `{cluster="lab",endpoint="192.0.2.1:9999",` + label + `="` + value + `"}`
	}
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
			"calls get no endpoint", func(s *metrics.Set) {
				c := s.Calls("cameras", "lab")
				c.Oneway(metrics.NoEndpoint)
				for _, o := range []metrics.Outcome{metrics.QueueFull, metrics.QueueTimeout, metrics.HandshakeRefused} {
					c.Began()
					c.Ended(o, 7)
				}
			},
			map[string]float64{calls("no_endpoint"): 1, calls("queue_full"): 1, calls("queue_timeout"): 1, calls("handshake_refused"): 1},
		},
		{
			"a call begins anew elsewhere", func(s *metrics.Set) {
				c := s.Calls("cameras", "lab")
				c.Began()
				c.Undone()
				c.Began()
			},
			map[string]float64{"calls_in_flight" + route: 1},
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
			"a cluster", func(s *metrics.Set) {
				c := s.Cluster("lab")
				c.Members.Set(3)
				c.Healthy.Set(1)
				c.Panic.Set(1)
				c.HandshakeHits.Add(2)
				c.PinsRefused.Add(3)
				c.StreamTimeouts.Add(4)
				c.EjectionsRefused.Add(5)
				c.Resends.Add(6)
				c.BudgetExhausted.Add(7)
			},
			map[string]float64{
				"cluster_endpoints" + cluster:             3,
				"cluster_endpoints_healthy" + cluster:     1,
				"cluster_panic" + cluster:                 1,
				"handshake_cache_hits_total" + cluster:    2,
				"pins_refused_total" + cluster:            3,
				"stream_idle_timeouts_total" + cluster:    4,
				"ejections_refused_total" + cluster:       5,
				"resends_total" + cluster:                 6,
				"resend_budget_exhausted_total" + cluster: 7,
			},
		},
		{
			"a queue", func(s *metrics.Set) {
				c := s.Cluster("lab")
				c.QueueLimit.Set(1024)
				c.Queued.Inc()
				c.QueueWait.Observe(.5)
				c.QueueFull.Inc()
				c.QueueTimeouts.Add(2)
			},
			map[string]float64{
				"queue_limit" + cluster:                               1024,
				"queue_length" + cluster:                              1,
				"queue_wait_seconds_count" + cluster:                  1,
				"queue_wait_seconds_sum" + cluster:                    .5,
				`queue_refused_total{cluster="lab",reason="full"}`:    1,
				`queue_refused_total{cluster="lab",reason="timeout"}`: 2,
			},
		},
		{
			"an endpoint", func(s *metrics.Set) {
				e := s.Endpoint("lab", "192.0.2.1:9999")
				e.Connections.Inc()
				e.ConnectFailed(metrics.ConnectTimeout)
				e.Leases.Add(2)
				e.Ghosts.Add(3)
				e.Pinned.Add(4)
				e.Up.Set(0)
				e.Ejected.Set(1)
				e.Saturated.Add(5)
				e.Ejections.Add(6)
				e.Explained.Add(7)
			},
			map[string]float64{
				"endpoint_connections" + endpoint:                  1,
				"connect_failures_total" + at("reason", "timeout"): 1,
				"endpoint_leases" + endpoint:                       2,
				"endpoint_ghosts" + endpoint:                       3,
				"endpoint_pinned" + endpoint:                       4,
				"endpoint_up" + endpoint:                           -1,
				"endpoint_ejected" + endpoint:                      1,
				"endpoint_saturated_total" + endpoint:              5,
				"endpoint_ejections_total" + endpoint:              6,
				"endpoint_failures_explained_total" + endpoint:     7,
			},
		},
		{
			"a breaker opens", func(s *metrics.Set) { s.Endpoint("lab", "192.0.2.1:9999").BreakerChanged("open") },
			map[string]float64{
				"endpoint_breaker_transitions_total" + at("state", "open"): 1,
				"endpoint_breaker_state" + at("state", "open"):             1,
				"endpoint_breaker_state" + at("state", "closed"):           -1,
			},
		},
		{
			"a breaker opens and closes again", func(s *metrics.Set) {
				e := s.Endpoint("lab", "192.0.2.1:9999")
				for _, state := range []string{"open", "half-open", "open", "half-open", "closed"} {
					e.BreakerChanged(state)
				}
			},
			map[string]float64{
				"endpoint_breaker_transitions_total" + at("state", "open"):      2,
				"endpoint_breaker_transitions_total" + at("state", "half-open"): 2,
				"endpoint_breaker_transitions_total" + at("state", "closed"):    1,
			},
		},
		{
			"health checks", func(s *metrics.Set) {
				e := s.Endpoint("lab", "192.0.2.1:9999")
				e.Checked(health.Alive.String(), .5)
				e.Checked(health.OtherDialect.String(), 1)
				e.Checked(health.OtherDialect.String(), 2)
			},
			map[string]float64{
				"health_checks_total" + at("result", "alive"):         1,
				"health_checks_total" + at("result", "other_dialect"): 2,
				"health_check_duration_seconds_count" + cluster:       3,
				"health_check_duration_seconds_sum" + cluster:         3.5,
			},
		},
		{
			"a source", func(s *metrics.Set) {
				m := s.Source("lab", metrics.SourceConsul)
				m.Updates.Inc()
				m.Members.Set(2)
				m.Skipped.Add(3)
				m.Conflicts.Add(4)
				m.Failed(string(discovery.ReasonNoLeader))
			},
			map[string]float64{
				`source_updates_total{cluster="lab",source="consul"}`:                     1,
				`source_members{cluster="lab",source="consul"}`:                           2,
				`source_skipped_total{cluster="lab",source="consul"}`:                     3,
				`source_conflicts_total{cluster="lab",source="consul"}`:                   4,
				`source_failures_total{cluster="lab",reason="no_leader",source="consul"}`: 1,
			},
		},
		{
			"a source of no cluster", func(s *metrics.Set) { s.Source("", metrics.SourceRegistration).Members.Set(1) },
			map[string]float64{`source_members{source="registration"}`: 1},
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
		{
			"spilling", func(s *metrics.Set) {
				f := s.Spill()
				f.InUse.Add(7)
				f.Limit.Set(70)
				f.Files.Inc()
				f.Waits.Inc()
				f.Requests.Add(3)
				f.Failures.Add(2)
			},
			map[string]float64{
				"spill_bytes{}": 7, "spill_limit_bytes{}": 70, "spill_files{}": 1,
				"spill_waits_total{}": 1, "spill_requests_total{}": 3, "spill_failures_total{}": 2,
			},
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

// TestAnswered: the time of a source's last answer is that of the clock.
func TestAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const name = `source_last_answer_timestamp_seconds{cluster="lab",source="dns"}`
		s := newSet()
		if got := series(t, s)[name]; got != 0 {
			t.Errorf("before an answer it is %v", got)
		}
		for range 2 {
			time.Sleep(time.Minute)
			s.Source("lab", metrics.SourceDNS).Answered()
			if got, want := series(t, s)[name], float64(time.Now().Unix()); got != want {
				t.Errorf("after an answer it is %v, want %v", got, want)
			}
		}
	})
}
