package metrics

import "github.com/prometheus/client_golang/prometheus"

// Bounds of histograms in seconds.
var (
	waitBuckets  = []float64{.001, .005, .025, .1, .5, 1, 5, 15, 30, 60}
	checkBuckets = []float64{.001, .005, .025, .1, .5, 1, 2.5, 5, 10}
)

// clusterVecs are the collectors of what clusters and endpoints do besides
// connecting.
type clusterVecs struct {
	members, healthy, panicking      *prometheus.GaugeVec
	queued, queueLimit               *prometheus.GaugeVec
	queueWait, checkDuration         *prometheus.HistogramVec
	queueRefused, handshakeHits      *prometheus.CounterVec
	pinsRefused, streamTimeouts      *prometheus.CounterVec
	ejectionsRefused                 *prometheus.CounterVec
	resends, budgetExhausted         *prometheus.CounterVec
	leases, ghosts, pinned           *prometheus.GaugeVec
	up, ejected, breakerOpen         *prometheus.GaugeVec
	saturated, ejections, explained  *prometheus.CounterVec
	breakerTransitions, checkResults *prometheus.CounterVec
}

type (
	counterMaker func(name, help string, labels ...string) *prometheus.CounterVec
	gaugeMaker   func(name, help string, labels ...string) *prometheus.GaugeVec
	timesMaker   func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec
)

func newClusterVecs(counter counterMaker, gauge gaugeMaker, times timesMaker) clusterVecs {
	return clusterVecs{
		members:          gauge("cluster_endpoints", "Endpoints of the cluster.", "cluster"),
		healthy:          gauge("cluster_endpoints_healthy", "Endpoints that are neither down nor ejected.", "cluster"),
		panicking:        gauge("cluster_panic", "1 while fewer endpoints than panic_threshold are healthy, so that all are used.", "cluster"),
		queued:           gauge("queue_length", "Calls and clients waiting for an endpoint with room.", "cluster"),
		queueLimit:       gauge("queue_limit", "The most that may wait.", "cluster"),
		queueWait:        times("queue_wait_seconds", "Time that those waited who had to.", waitBuckets, "cluster"),
		queueRefused:     counter("queue_refused_total", "Calls and clients that got no endpoint: the queue was full, or queue_timeout passed.", "cluster", "reason"),
		handshakeHits:    counter("handshake_cache_hits_total", "CONNECTs answered with what a daemon answered to an equal one.", "cluster"),
		pinsRefused:      counter("pins_refused_total", "Streams whose connection was closed because max_pinned were held already.", "cluster"),
		streamTimeouts:   counter("stream_idle_timeouts_total", "Connections held by a stream that were closed after stream_idle_timeout.", "cluster"),
		ejectionsRefused: counter("ejections_refused_total", "Endpoints that failed enough to be ejected, and were not because of max_ejection_percent.", "cluster"),
		resends:          counter("resends_total", "Idempotent calls sent again after their bytes had been written.", "cluster"),
		budgetExhausted:  counter("resend_budget_exhausted_total", "Idempotent calls not sent again because retry_budget was used up.", "cluster"),

		leases:             gauge("endpoint_leases", "Calls (mode call) or sessions (mode session) at the endpoint.", "cluster", "endpoint"),
		ghosts:             gauge("endpoint_ghosts", "Calls given up that the endpoint may still be executing.", "cluster", "endpoint"),
		pinned:             gauge("endpoint_pinned", "Connections held by clients' streams.", "cluster", "endpoint"),
		up:                 gauge("endpoint_up", "1 unless active health checks found the endpoint down.", "cluster", "endpoint"),
		ejected:            gauge("endpoint_ejected", "1 while the endpoint is ejected for its failures.", "cluster", "endpoint"),
		breakerOpen:        gauge("endpoint_breaker_open", "1 while the endpoint's breaker is open, 0.5 while it is half-open.", "cluster", "endpoint"),
		saturated:          counter("endpoint_saturated_total", "Times that the endpoint had no free workers.", "cluster", "endpoint"),
		ejections:          counter("endpoint_ejections_total", "Times that the endpoint was ejected.", "cluster", "endpoint"),
		explained:          counter("endpoint_failures_explained_total", "Broken calls not held against the endpoint: a call that came from its host had failed before.", "cluster", "endpoint"),
		breakerTransitions: counter("endpoint_breaker_transitions_total", "Changes of the endpoint's breaker, by the state it came to.", "cluster", "endpoint", "state"),
		checkResults:       counter("health_checks_total", "Active health checks, by what they found.", "cluster", "endpoint", "result"),
		checkDuration:      times("health_check_duration_seconds", "Time that active health checks took.", checkBuckets, "cluster"),
	}
}

// Cluster counts what happens in one cluster.
type Cluster struct {
	Members, Healthy, Panic     prometheus.Gauge
	Queued, QueueLimit          prometheus.Gauge
	QueueWait                   prometheus.Observer
	QueueFull, QueueTimeouts    prometheus.Counter
	HandshakeHits               prometheus.Counter
	PinsRefused, StreamTimeouts prometheus.Counter
	EjectionsRefused            prometheus.Counter
	Resends, BudgetExhausted    prometheus.Counter
}

// Cluster gives the collectors of a cluster.
func (s *Set) Cluster(name string) *Cluster {
	v := &s.clusters
	return &Cluster{
		Members:          v.members.WithLabelValues(name),
		Healthy:          v.healthy.WithLabelValues(name),
		Panic:            v.panicking.WithLabelValues(name),
		Queued:           v.queued.WithLabelValues(name),
		QueueLimit:       v.queueLimit.WithLabelValues(name),
		QueueWait:        v.queueWait.WithLabelValues(name),
		QueueFull:        v.queueRefused.WithLabelValues(name, "full"),
		QueueTimeouts:    v.queueRefused.WithLabelValues(name, "timeout"),
		HandshakeHits:    v.handshakeHits.WithLabelValues(name),
		PinsRefused:      v.pinsRefused.WithLabelValues(name),
		StreamTimeouts:   v.streamTimeouts.WithLabelValues(name),
		EjectionsRefused: v.ejectionsRefused.WithLabelValues(name),
		Resends:          v.resends.WithLabelValues(name),
		BudgetExhausted:  v.budgetExhausted.WithLabelValues(name),
	}
}

// Endpoint counts what happens at one endpoint of a cluster.
type Endpoint struct {
	set               *Set
	cluster, endpoint string

	Connections, Leases, Ghosts     prometheus.Gauge
	Pinned, Up, Ejected             prometheus.Gauge
	Saturated, Ejections, Explained prometheus.Counter
	checkDuration                   prometheus.Observer
}

// Endpoint gives the collectors of an endpoint, named by its address.
func (s *Set) Endpoint(cluster, endpoint string) *Endpoint {
	for _, reason := range connectFailures {
		s.failures.WithLabelValues(cluster, endpoint, string(reason))
	}
	v := &s.clusters
	for _, state := range breakerStates {
		v.breakerTransitions.WithLabelValues(cluster, endpoint, state)
	}
	for _, result := range checkResults {
		v.checkResults.WithLabelValues(cluster, endpoint, result)
	}
	v.breakerOpen.WithLabelValues(cluster, endpoint)
	e := &Endpoint{
		set: s, cluster: cluster, endpoint: endpoint,
		Connections:   s.endpoints.WithLabelValues(cluster, endpoint),
		Leases:        v.leases.WithLabelValues(cluster, endpoint),
		Ghosts:        v.ghosts.WithLabelValues(cluster, endpoint),
		Pinned:        v.pinned.WithLabelValues(cluster, endpoint),
		Up:            v.up.WithLabelValues(cluster, endpoint),
		Ejected:       v.ejected.WithLabelValues(cluster, endpoint),
		Saturated:     v.saturated.WithLabelValues(cluster, endpoint),
		Ejections:     v.ejections.WithLabelValues(cluster, endpoint),
		Explained:     v.explained.WithLabelValues(cluster, endpoint),
		checkDuration: v.checkDuration.WithLabelValues(cluster),
	}
	e.Up.Set(1)
	return e
}

// ConnectFailed counts a failed connection or handshake.
func (e *Endpoint) ConnectFailed(reason ConnectFailure) {
	e.set.failures.WithLabelValues(e.cluster, e.endpoint, string(reason)).Inc()
}

// BreakerChanged counts that the endpoint's breaker came to a state: "closed",
// "half-open" or "open".
func (e *Endpoint) BreakerChanged(state string) {
	v := &e.set.clusters
	v.breakerTransitions.WithLabelValues(e.cluster, e.endpoint, state).Inc()
	v.breakerOpen.WithLabelValues(e.cluster, e.endpoint).Set(map[string]float64{"open": 1, "half-open": .5}[state])
}

// Checked counts an active health check. result is one of health.Finding's.
func (e *Endpoint) Checked(result string, seconds float64) {
	e.set.clusters.checkResults.WithLabelValues(e.cluster, e.endpoint, result).Inc()
	e.checkDuration.Observe(seconds)
}

// Remove ends the endpoint's series: it is no longer a member. The receiver must
// not be used again.
func (e *Endpoint) Remove() {
	of := prometheus.Labels{"cluster": e.cluster, "endpoint": e.endpoint}
	v := &e.set.clusters
	for _, vec := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{
		e.set.failures, e.set.endpoints, v.leases, v.ghosts, v.pinned, v.up, v.ejected, v.breakerOpen,
		v.saturated, v.ejections, v.explained, v.breakerTransitions, v.checkResults,
	} {
		vec.DeletePartialMatch(of)
	}
}
