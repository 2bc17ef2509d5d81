package metrics

import "github.com/prometheus/client_golang/prometheus"

// gaugeOf shows what a function says, under labels that do not change.
func (s *Set) gaugeOf(name, help string, labels prometheus.Labels, value func() int) {
	s.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: name, Help: help, ConstLabels: labels,
	}, func() float64 { return float64(value()) }))
}

func always(n int) func() int { return func() int { return n } }

// Names shows how many names are registered, of at most limit. It is called once.
func (s *Set) Names(limit int, names func() int) {
	s.gaugeOf("names", "Names that clients have registered; where there is a name server behind this one, those of its names that were asked for.", nil, names)
	s.gaugeOf("names_limit", "The limit of names.", nil, always(limit))
}

// Topics shows whether the topics are known, how many there are, how many listeners these
// have, how many the one with most of them has, and how many objects of listeners their
// daemons lack. It is called once.
func (s *Set) Topics(limit, listenersLimit int, known func() bool, topics, listeners, most, missing func() int) {
	s.gaugeOf("topics_known", "1 once the store has been asked who registered before; until then calls with a blob fail.", nil, func() int {
		if known() {
			return 1
		}
		return 0
	})
	s.gaugeOf("topics", "Topics that have listeners.", nil, topics)
	s.gaugeOf("topics_limit", "The limit of topics.", nil, always(limit))
	s.gaugeOf("topic_listeners", "Listeners of all topics.", nil, listeners)
	s.gaugeOf("topic_listeners_most", "Listeners of the topic that has most.", nil, most)
	s.gaugeOf("topic_listeners_limit", "The limit of topic_listeners_most.", nil, always(listenersLimit))
	s.gaugeOf("topic_objects_missing", "Objects of listeners that their daemons say not to have; they are dropped after forget_after.", nil, missing)
}

// Ports shows how many of limit ports are taken: by endpoints of a cluster, or by names,
// which are no cluster's. It is called once for each.
func (s *Set) Ports(cluster string, limit int, taken func() int) {
	labels := prometheus.Labels{"cluster": cluster}
	s.gaugeOf("ports", "Ports of a range that are taken, by endpoints of a cluster or, without one, by names.", labels, taken)
	s.gaugeOf("ports_limit", "How many ports the range has.", labels, always(limit))
}

// StoreKind is what a store keeps.
type StoreKind string

// The kinds of stores.
const (
	StoreNames  StoreKind = "names"  // What is registered at the name server.
	StoreTopics StoreKind = "topics" // Who listens to what.
	StorePorts  StoreKind = "ports"  // Whose the ports of names and endpoints are.
)

// StoreFailures counts what a store was asked for and did not do.
func (s *Set) StoreFailures(kind StoreKind) prometheus.Counter {
	return s.stores.WithLabelValues(string(kind))
}
