package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Endpoint counts what happens at one endpoint of a cluster. It looks up every
// series when it is made, also those of its methods, so that what is counted
// late, when the endpoint has been removed, does not bring a series back.
type Endpoint struct {
	set               *Set
	cluster, endpoint string

	Connections, Leases, Ghosts     prometheus.Gauge
	Pinned, Up, Ejected, Draining   prometheus.Gauge
	Saturated, Ejections, Explained prometheus.Counter

	failures      map[ConnectFailure]prometheus.Counter
	breaker       map[string]breakerSeries // by state
	checks        map[string]prometheus.Counter
	checkDuration prometheus.Observer
}

// breakerSeries are the series of one state of a breaker.
type breakerSeries struct {
	is     prometheus.Gauge
	became prometheus.Counter
}

// Endpoint gives the collectors of an endpoint, named by its address.
func (s *Set) Endpoint(cluster, endpoint string) *Endpoint {
	v := &s.clusters
	e := &Endpoint{
		set: s, cluster: cluster, endpoint: endpoint,
		Connections: s.endpoints.WithLabelValues(cluster, endpoint),
		Leases:      v.leases.WithLabelValues(cluster, endpoint),
		Ghosts:      v.ghosts.WithLabelValues(cluster, endpoint),
		Pinned:      v.pinned.WithLabelValues(cluster, endpoint),
		Up:          v.up.WithLabelValues(cluster, endpoint),
		Ejected:     v.ejected.WithLabelValues(cluster, endpoint),
		Draining:    v.draining.WithLabelValues(cluster, endpoint),
		Saturated:   v.saturated.WithLabelValues(cluster, endpoint),
		Ejections:   v.ejections.WithLabelValues(cluster, endpoint),
		Explained:   v.explained.WithLabelValues(cluster, endpoint),

		failures:      make(map[ConnectFailure]prometheus.Counter, len(connectFailures)),
		breaker:       make(map[string]breakerSeries, len(breakerStates)),
		checks:        make(map[string]prometheus.Counter, len(checkResults)),
		checkDuration: v.checkDuration.WithLabelValues(cluster),
	}
	for _, reason := range connectFailures {
		e.failures[reason] = s.failures.WithLabelValues(cluster, endpoint, string(reason))
	}
	for _, state := range breakerStates {
		e.breaker[state] = breakerSeries{
			is:     v.breakerState.WithLabelValues(cluster, endpoint, state),
			became: v.breakerTransitions.WithLabelValues(cluster, endpoint, state),
		}
	}
	for _, result := range checkResults {
		e.checks[result] = v.checkResults.WithLabelValues(cluster, endpoint, result)
	}
	e.Up.Set(1)
	e.setBreaker(breakerStates[0])
	return e
}

// ConnectFailed counts a failed connection or handshake.
func (e *Endpoint) ConnectFailed(reason ConnectFailure) { inc(e.failures[reason]) }

// BreakerChanged counts that the endpoint's breaker came to a state: "closed",
// "half-open" or "open".
func (e *Endpoint) BreakerChanged(state string) {
	inc(e.breaker[state].became)
	e.setBreaker(state)
}

func (e *Endpoint) setBreaker(state string) {
	for other, series := range e.breaker {
		if other == state {
			series.is.Set(1)
		} else {
			series.is.Set(0)
		}
	}
}

// Checked counts an active health check. result is one of health.Finding's; the
// value of its label is spelt as those of other labels are.
func (e *Endpoint) Checked(result string, seconds float64) {
	inc(e.checks[strings.ReplaceAll(result, " ", "_")])
	e.checkDuration.Observe(seconds)
}

// inc counts with one of the collectors of a list, nil where the list lacks it.
func inc(c prometheus.Counter) {
	if c != nil {
		c.Inc()
	}
}

// Remove ends the endpoint's series: it is no longer a member. Whatever is
// counted afterwards is lost. It names each series instead of looking for them
// among all endpoints', since many may go at once.
func (e *Endpoint) Remove() {
	s, v := e.set, &e.set.clusters
	for _, vec := range []interface{ DeleteLabelValues(...string) bool }{
		s.endpoints, v.leases, v.ghosts, v.pinned, v.up, v.ejected, v.draining, v.saturated, v.ejections, v.explained,
	} {
		vec.DeleteLabelValues(e.cluster, e.endpoint)
	}
	for reason := range e.failures {
		s.failures.DeleteLabelValues(e.cluster, e.endpoint, string(reason))
	}
	for state := range e.breaker {
		v.breakerState.DeleteLabelValues(e.cluster, e.endpoint, state)
		v.breakerTransitions.DeleteLabelValues(e.cluster, e.endpoint, state)
	}
	for result := range e.checks {
		v.checkResults.DeleteLabelValues(e.cluster, e.endpoint, result)
	}
}
