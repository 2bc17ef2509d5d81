package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const namespace = "pyro_dispatch"

// callBuckets are the upper bounds of the call duration histogram in seconds:
// from a local call to the long-running jobs that laboratories wait for.
var callBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 600}

// Set is all collectors of one process, in a registry of its own.
type Set struct {
	Registry *prometheus.Registry

	sessions        *prometheus.GaugeVec
	sessionsLimit   *prometheus.GaugeVec
	sessionsStarted *prometheus.CounterVec
	sessionsEnded   *prometheus.CounterVec
	rejected        *prometheus.CounterVec
	acceptErrors    *prometheus.CounterVec

	calls      *prometheus.CounterVec
	inFlight   *prometheus.GaugeVec
	duration   *prometheus.HistogramVec
	bytes      *prometheus.CounterVec
	refusals   *prometheus.CounterVec
	late       *prometheus.CounterVec
	circles    *prometheus.CounterVec
	legs       *prometheus.CounterVec
	legTime    *prometheus.HistogramVec
	unheard    *prometheus.CounterVec
	failures   *prometheus.CounterVec
	endpoints  *prometheus.GaugeVec
	clusters   clusterVecs
	sources    sourceVecs
	stores     *prometheus.CounterVec
	bufferUse  prometheus.Gauge
	bufferMax  prometheus.Gauge
	bufferWait prometheus.Counter
	spill      Spill

	vecs []*prometheus.MetricVec // all that have labels
}

// Build names the running program in the build_info metric.
type Build struct {
	Version, Revision, GoVersion string
}

// New makes the collectors and registers them, with those of the Go runtime
// and the process.
func New(b Build) *Set {
	s := &Set{Registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		s.register(v, v.MetricVec)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
		s.register(v, v.MetricVec)
		return v
	}
	times := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
		s.register(v, v.MetricVec)
		return v
	}
	s.sessions = gauge("sessions", "Client connections open now.", "listener")
	s.sessionsLimit = gauge("sessions_limit", "Client connections allowed at once: max_sessions, or less where descriptors are short.", "listener")
	s.sessionsStarted = counter("sessions_started_total", "Client connections accepted.", "listener")
	s.sessionsEnded = counter("sessions_ended_total", "Client connections ended, by reason.", "listener", "reason")
	s.rejected = counter("rejected_total", "Clients turned away for what they sent, failed to send, or for a limit, by reason.", "listener", "reason")
	s.acceptErrors = counter("accept_errors_total", "Errors of accept, after which the listener waits a moment and goes on.", "listener")

	s.calls = counter("calls_total", "Calls and pings ended, by outcome.", "route", "cluster", "outcome")
	s.inFlight = gauge("calls_in_flight", "Calls and pings sent to an endpoint and not yet answered.", "route", "cluster")
	s.duration = times("call_duration_seconds", "Time from the last byte of a request to the last byte of its reply.", callBuckets, "route", "cluster")
	s.bytes = counter("relayed_bytes_total", "Bytes sent on: request, from clients to endpoints; reply, back.", "route", "cluster", "direction")
	s.refusals = counter("connects_refused_total", "Handshakes refused by a daemon and passed on to the client.", "route", "cluster")
	s.late = counter("late_replies_total", "Replies that came after their calls had been answered with a timeout, and went to nobody.", "route", "cluster")
	s.circles = counter("circles_total", "Calls that close a circle of calls, each made for the next, by how certain that is and what was done.", "route", "cluster", "certainty", "action")
	s.legs = counter("dispatched_legs_total", "Requests to the targets of calls that are dispatched by what they are about, one for each target, by outcome.", "route", "cluster", "outcome")
	s.legTime = times("dispatched_leg_duration_seconds", "Time from the sending of such a request to its reply.", callBuckets, "route", "cluster")
	s.unheard = counter("dispatched_unheard_total", "Such calls that there was nobody for.", "route", "cluster")
	s.failures = counter("connect_failures_total", "Endpoints that could not be connected, or did not answer a handshake as they should, by reason.", "cluster", "endpoint", "reason")
	s.endpoints = gauge("endpoint_connections", "Connections open to an endpoint.", "cluster", "endpoint")
	s.clusters = newClusterVecs(counter, gauge, times)
	s.sources = newSourceVecs(counter, gauge)
	s.stores = counter("store_failures_total", "Questions and changes that a store could not answer or make: it cannot be reached or written, or is full.", "store")
	s.bufferUse = gauge("buffer_memory_bytes", "Memory reserved for requests that are not complete yet.").WithLabelValues()
	s.bufferMax = gauge("buffer_memory_limit_bytes", "The limit of buffer_memory_bytes.").WithLabelValues()
	s.bufferWait = counter("buffer_memory_waits_total", "Times that reading from a client paused until buffer memory was free.").WithLabelValues()

	s.spill = newSpill(counter, gauge)

	s.Registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	info := gauge("build_info", "Always 1; its labels name the build.", "version", "revision", "goversion")
	info.WithLabelValues(b.Version, b.Revision, b.GoVersion).Set(1)
	return s
}

func (s *Set) register(c prometheus.Collector, v *prometheus.MetricVec) {
	s.Registry.MustRegister(c)
	s.vecs = append(s.vecs, v)
}

// Forget ends all series of a cluster that there is no more. Whatever is counted
// of it afterwards is lost.
func (s *Set) Forget(cluster string) {
	for _, v := range s.vecs {
		v.DeletePartialMatch(prometheus.Labels{"cluster": cluster})
	}
}

// Tracked shows how many calls are kept account of, of at most limit, and how many
// there was no room for. It is called once.
func (s *Set) Tracked(limit int, tracked func() int, untracked func() uint64) {
	s.Registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "calls_tracked", Help: "Calls under way that are kept account of, to find circles and to share out time.",
		}, func() float64 { return float64(tracked()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "calls_tracked_limit", Help: "The limit of calls_tracked.",
		}, func() float64 { return float64(limit) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: namespace, Name: "calls_untracked_total", Help: "Calls that there was no room for in that account. They are sent on all the same.",
		}, func() float64 { return float64(untracked()) }),
	)
}

// Buffer is how the memory for incomplete requests is shown.
type Buffer struct {
	InUse, Limit prometheus.Gauge
	Waits        prometheus.Counter
}

// Buffer gives the collectors of the buffer memory.
func (s *Set) Buffer() Buffer {
	return Buffer{InUse: s.bufferUse, Limit: s.bufferMax, Waits: s.bufferWait}
}
