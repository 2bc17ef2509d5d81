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
	paused, draining                 *prometheus.GaugeVec
	connectionsLimit, pinnedLimit    *prometheus.GaugeVec
	queued, queueLimit               *prometheus.GaugeVec
	queueWait, checkDuration         *prometheus.HistogramVec
	queueRefused, handshakeHits      *prometheus.CounterVec
	pinsRefused, streamTimeouts      *prometheus.CounterVec
	ejectionsRefused                 *prometheus.CounterVec
	resends, budgetExhausted         *prometheus.CounterVec
	leases, ghosts, pinned           *prometheus.GaugeVec
	up, ejected, breakerState        *prometheus.GaugeVec
	saturated, ejections, explained  *prometheus.CounterVec
	breakerTransitions, checkResults *prometheus.CounterVec
}

// What makes collectors and registers them.
type (
	counterMaker func(name, help string, labels ...string) *prometheus.CounterVec
	gaugeMaker   func(name, help string, labels ...string) *prometheus.GaugeVec
	timesMaker   func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec
)

func newClusterVecs(counter counterMaker, gauge gaugeMaker, times timesMaker) clusterVecs {
	return clusterVecs{
		members:          gauge("cluster_endpoints", "Endpoints of the cluster.", "cluster"),
		healthy:          gauge("cluster_endpoints_healthy", "Endpoints that are neither down nor ejected nor draining.", "cluster"),
		panicking:        gauge("cluster_panic", "1 while fewer of the endpoints are healthy than panic_threshold asks for, so that all are used.", "cluster"),
		paused:           gauge("cluster_paused", "1 while an operator keeps calls and clients in the queue.", "cluster"),
		connectionsLimit: gauge("endpoint_connections_limit", "The most connections to each endpoint: max_connections; 0 is no limit.", "cluster"),
		pinnedLimit:      gauge("endpoint_pinned_limit", "The most connections of each endpoint that streams may hold: max_pinned.", "cluster"),
		queued:           gauge("queue_length", "Calls and clients waiting for an endpoint with room.", "cluster"),
		queueLimit:       gauge("queue_limit", "The most that may wait: the cluster's queue.", "cluster"),
		queueWait:        times("queue_wait_seconds", "Time that calls and clients waited, of those that had to, whether they got an endpoint or not.", waitBuckets, "cluster"),
		queueRefused:     counter("queue_refused_total", "Calls and clients that got no endpoint because there was no room, by reason.", "cluster", "reason"),
		handshakeHits:    counter("handshake_cache_hits_total", "CONNECTs answered with what a daemon answered to an equal one.", "cluster"),
		pinsRefused:      counter("pins_refused_total", "Streams whose connection was closed because max_pinned were held already.", "cluster"),
		streamTimeouts:   counter("stream_idle_timeouts_total", "Connections held by a stream that were closed after stream_idle_timeout.", "cluster"),
		ejectionsRefused: counter("ejections_refused_total", "Times that an endpoint failed enough to be ejected, and was not because of max_ejection_percent.", "cluster"),
		resends:          counter("resends_total", "Idempotent calls sent again after their bytes had been written.", "cluster"),
		budgetExhausted:  counter("resend_budget_exhausted_total", "Idempotent calls not sent again because retry_budget was used up.", "cluster"),

		leases:             gauge("endpoint_leases", "Calls (mode call) or sessions (mode session) at the endpoint.", "cluster", "endpoint"),
		ghosts:             gauge("endpoint_ghosts", "Calls given up that the endpoint may still be executing.", "cluster", "endpoint"),
		pinned:             gauge("endpoint_pinned", "Connections held by clients' streams.", "cluster", "endpoint"),
		up:                 gauge("endpoint_up", "1 unless active health checks found the endpoint down.", "cluster", "endpoint"),
		draining:           gauge("endpoint_draining", "1 while an operator lets nothing new go to the endpoint.", "cluster", "endpoint"),
		ejected:            gauge("endpoint_ejected", "1 while the endpoint is ejected for its failures.", "cluster", "endpoint"),
		breakerState:       gauge("endpoint_breaker_state", "1 for the state that the endpoint's breaker is in, 0 for the others.", "cluster", "endpoint", "state"),
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
	Paused                      prometheus.Gauge
	ConnectionsLimit            prometheus.Gauge
	PinnedLimit                 prometheus.Gauge
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
		Paused:           v.paused.WithLabelValues(name),
		ConnectionsLimit: v.connectionsLimit.WithLabelValues(name),
		PinnedLimit:      v.pinnedLimit.WithLabelValues(name),
		Queued:           v.queued.WithLabelValues(name),
		QueueLimit:       v.queueLimit.WithLabelValues(name),
		QueueWait:        v.queueWait.WithLabelValues(name),
		QueueFull:        v.queueRefused.WithLabelValues(name, string(queueFull)),
		QueueTimeouts:    v.queueRefused.WithLabelValues(name, string(queueTimeout)),
		HandshakeHits:    v.handshakeHits.WithLabelValues(name),
		PinsRefused:      v.pinsRefused.WithLabelValues(name),
		StreamTimeouts:   v.streamTimeouts.WithLabelValues(name),
		EjectionsRefused: v.ejectionsRefused.WithLabelValues(name),
		Resends:          v.resends.WithLabelValues(name),
		BudgetExhausted:  v.budgetExhausted.WithLabelValues(name),
	}
}
