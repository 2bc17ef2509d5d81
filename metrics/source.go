package metrics

import "github.com/prometheus/client_golang/prometheus"

// sourceVecs are the collectors of whoever tells which endpoints there are.
type sourceVecs struct {
	updates, failures  *prometheus.CounterVec
	skipped, conflicts *prometheus.CounterVec
	members, answered  *prometheus.GaugeVec
}

func newSourceVecs(counter counterMaker, gauge gaugeMaker) sourceVecs {
	return sourceVecs{
		updates:   counter("source_updates_total", "Changes of what a source knows.", "cluster", "source"),
		failures:  counter("source_failures_total", "Attempts to ask a source that brought no answer of use, by reason. What it said last stays in force.", "cluster", "source", "reason"),
		skipped:   counter("source_skipped_total", "Entries, or values in them, that made no sense and were left out.", "cluster", "source"),
		conflicts: counter("source_conflicts_total", "Contradictions between instances of a service, or between services.", "cluster", "source"),
		members:   gauge("source_members", "Endpoints that a source knows; services, for the source catalog; 1 while registered, for registration.", "cluster", "source"),
		answered:  gauge("source_last_answer_timestamp_seconds", "When a source last gave an answer of use, in seconds since 1970; 0: it has not.", "cluster", "source"),
	}
}

// SourceKind is a kind of source.
type SourceKind string

// The kinds of sources.
const (
	SourceDNS          SourceKind = "dns"          // A cluster's DNS name.
	SourceConsul       SourceKind = "consul"       // A cluster's services in Consul.
	SourceNames        SourceKind = "name_server"  // The names of a Pyro name server that are a cluster's.
	SourceCatalog      SourceKind = "catalog"      // All services in Consul with the tag of consul.discover; of no cluster.
	SourceRegistration SourceKind = "registration" // The dispatcher's own entry in Consul; of no cluster.
)

// sourceFailures are the reasons of source_failures_total. Package discovery
// decides which one it is.
var sourceFailures = []string{
	"unreachable", // Not connected, or the connection broke.
	"timeout",     // Nothing came in time.
	"denied",      // The ACL token was refused, or does not show what was asked for.
	"token",       // The token file cannot be read.
	"server",      // Consul or a name server said that it failed.
	"request",     // Consul said that it was asked for something wrong.
	"throttled",   // Consul has too much to do.
	"no_leader",   // Consul's servers have no leader, so that nobody there knows.
	"nonsense",    // The answer is not what Consul says.
	"not_found",   // There is no such name in DNS, but that was not answered often enough to be believed.
}

// Source counts what becomes of asking one source.
type Source struct {
	Updates, Skipped, Conflicts prometheus.Counter
	Members                     prometheus.Gauge

	answered prometheus.Gauge
	failures map[string]prometheus.Counter
}

// Source gives the collectors of a source of a cluster, which is empty where it
// is none's.
func (s *Set) Source(cluster string, kind SourceKind) *Source {
	v, source := &s.sources, string(kind)
	m := &Source{
		Updates:   v.updates.WithLabelValues(cluster, source),
		Skipped:   v.skipped.WithLabelValues(cluster, source),
		Conflicts: v.conflicts.WithLabelValues(cluster, source),
		Members:   v.members.WithLabelValues(cluster, source),
		answered:  v.answered.WithLabelValues(cluster, source),
		failures:  make(map[string]prometheus.Counter, len(sourceFailures)),
	}
	for _, reason := range sourceFailures {
		m.failures[reason] = v.failures.WithLabelValues(cluster, source, reason)
	}
	return m
}

// Failed counts an attempt without an answer. reason is one of
// discovery.Reason's.
func (s *Source) Failed(reason string) { inc(s.failures[reason]) }

// Answered notes an answer of use.
func (s *Source) Answered() { s.answered.SetToCurrentTime() }
