package config

import "time"

// Cluster is a group of interchangeable daemons.
type Cluster struct {
	// The name that routes, logs and metrics use.
	Name string `yaml:"name,required"`
	// The daemons, by their addresses. Each is an address, or a mapping with the
	// keys below. A cluster needs at least one of `static`, `dns`, `consul` and
	// `name_server`; the endpoints of several are united.
	Static []Endpoint `yaml:"static"`
	// The daemons, by a name in DNS that is looked up again and again. The name
	// alone may stand in place of the mapping.
	DNS DNS `yaml:"dns"`
	// The daemons, as instances of services in Consul. A service's name alone, or
	// a list of them, may stand in place of the mapping. Where Consul cannot be
	// asked, the last known endpoints stay, for as long as it takes.
	Consul ConsulService `yaml:"consul"`
	// The daemons, as what is registered in a name server of Pyro. Where it cannot be
	// asked, the last known endpoints stay.
	NameServer NameSource `yaml:"name_server"`
	// The object id that calls are sent to which a route retargets (see `rewrite`),
	// for endpoints that state none themselves. Without it, the id in the call.
	Object string `yaml:"object"`
	// The handshake data of CONNECTs of the dispatcher's own, as a string: those for
	// calls that are retargeted or come by routes for single calls. The default is
	// Pyro's own.
	Handshake string `yaml:"handshake"`
	// A file with the HMAC key of its daemons, where those are Pyro4's, as
	// `hmac_key_file` of a listener. Health checks, and calls that are dispatched here,
	// are signed with it; calls that are not signed are not dispatched here. For clients
	// that sign with the same key, the listener needs none.
	HMACKeyFile string `yaml:"hmac_key_file"`
	// `per_endpoint`: each endpoint also has a port of its own, which stays the same,
	// for daemons that are started with NATHOST and NATPORT so that the proxies they
	// send inside of payloads work outside. The admin API lists the ports.
	Expose Expose `yaml:"expose"`
	// Only with `expose: per_endpoint`: the ports, as in `20000-20999`. An endpoint
	// beyond them has none.
	Ports PortRange `yaml:"ports"`
	// Only with `expose: per_endpoint`: the host at which the ports are. Without it,
	// that of the listener below.
	ExposeAddress string `yaml:"expose_address"`
	// Only with `expose: per_endpoint`: the name of the listener whose settings the
	// ports have, among them the host of `advertise`. Without it, the first that is
	// not a Unix socket.
	ExposeListener string `yaml:"expose_listener"`
	// The dialect of the endpoints that state none themselves. Without it, an
	// endpoint's dialect is learnt from its first answer.
	Dialect Dialect `yaml:"dialect"`
	// The time for one endpoint, from dialing to its answer to the CONNECT.
	// After it the next endpoint is tried. From 1ms to 1h.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// Which endpoint gets the next client (mode `session`) or call (mode `call`).
	// `least_request`: of two drawn at random, the one with fewer calls in flight
	// for its weight. `round_robin`: each in turn, by weight. `hash`: always the
	// same one for what has the same `hash_by`, as long as it is well; when
	// endpoints come and go, only their share moves.
	Balance Balance `yaml:"balance"`
	// Only with `balance: hash`: what is hashed. `object`: the object id of the
	// CONNECT. `source`: the client's address, without its port. `blob_info`: the
	// info of a blob call. `annotation:ABCD`: the value of the annotation with
	// these four characters. Where a call lacks it, the object id counts.
	HashBy HashBy `yaml:"hash_by"`
	// The most connections to one endpoint, those of sessions included. Keep it
	// below the daemon's THREADPOOL_SIZE, as each connection takes one thread.
	// `0`: 32 where a route of mode `call` leads to the cluster, since Pyro4's
	// daemons have 40 threads and Pyro5's 80, unless told otherwise; no limit
	// elsewhere. At most 100000.
	MaxConnections int `yaml:"max_connections"`
	// How many of `max_connections` are kept for nested calls, those that a
	// daemon makes while it serves one of ours. Without them such a call could
	// wait for a connection that is in use by the very call that waits for it.
	// Less than `max_connections`; the default gives way where that is 1. It
	// means nothing without a limit.
	NestedReserve int `yaml:"nested_reserve"`
	// Mode `call`: the most connections to one endpoint that clients with streams
	// may keep to themselves. Past it the connection of such a client is closed;
	// the client stays with the endpoint, and resumes where the daemon's
	// ITER_STREAM_LINGER allows it. Less than `max_connections`. `0`: half of it, at
	// least 1; no limit where that has none.
	MaxPinned int `yaml:"max_pinned"`
	// Mode `call`: how long a client with a stream may leave its connection idle.
	// Then it is closed as past `max_pinned`, since nothing tells when a stream
	// is finished. From 1s to 24h.
	StreamIdleTimeout time.Duration `yaml:"stream_idle_timeout"`
	// The most calls (mode `call`) and new clients that wait for a connection of
	// the cluster at one time. Those beyond are refused at once. Nested calls have
	// as many places of their own, so that those which wait for them cannot take
	// these. `0`: none waits. At most 1000000.
	Queue int `yaml:"queue"`
	// How long one of them waits before it is refused. From 1ms to 1h.
	QueueTimeout time.Duration `yaml:"queue_timeout"`
	// Mode `call`: how many idle connections, for each endpoint and handshake in
	// use, `idle_timeout` does not close. The daemon has a thread less for each.
	// At most `max_connections`.
	MinIdle int `yaml:"min_idle"`
	// Mode `call`: a shared connection that was idle this long is closed. Keep it
	// below the daemon's COMMTIMEOUT, if it has one: the daemon closes what is
	// idle longer. From 1s to 24h.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// Mode `call`: a shared connection of this age is closed when it is idle, so
	// that load reaches daemons that came later. Each has an age of its own, up to
	// 10 % off, so that they do not end together. From 1s to 720h; `0s`: no limit.
	MaxAge time.Duration `yaml:"max_age"`
	// Mode `call`: how long a daemon's answer to a CONNECT answers equal ones (see
	// `cache_handshake` of the route). It is forgotten earlier when an equal
	// CONNECT is refused, or when the last connection made with it is gone. From
	// 1s to 24h.
	HandshakeTTL time.Duration `yaml:"handshake_ttl"`
	// How many further endpoints are tried for one call or CONNECT after the
	// first has failed. `0`: none. At most 1000.
	Retries int `yaml:"retries"`
	// How many of the calls of idempotent routes may be sent again after their
	// bytes were written, in percent of all their calls of late. It keeps an
	// outage from multiplying the load. `0`: none.
	RetryBudget Percent `yaml:"retry_budget"`
	// How long a call whose client has left counts as load of its endpoint, at
	// most: its method goes on running there. `0s`: not at all. At most 1h.
	GhostTimeout time.Duration `yaml:"ghost_timeout"`
	// What becomes of the idle sessions (mode `session`) of an endpoint that is
	// found down. `keep`: nothing, as each may find it well again. `close`: they
	// are closed, so that their clients connect again, to another endpoint; to a
	// client with MAX_RETRIES 0 that is one failed call.
	OnDown OnDown `yaml:"on_down"`
	// How long an endpoint that is new, or well again, takes to get its full
	// share. `0s`: it gets it at once. At most 1h.
	SlowStart time.Duration `yaml:"slow_start"`
	// When fewer than this percentage of the endpoints are well, all are used as
	// if they were: the few would not bear the load of all. `0`: never.
	PanicThreshold Percent `yaml:"panic_threshold"`
	// Probes that tell which endpoints are up: a CONNECT and a PING, as a proxy
	// sends them.
	HealthCheck HealthCheck `yaml:"health_check"`
	// The breaker of each endpoint: after failures it gets no calls for a while,
	// then a few probes, and only after their success all calls again.
	Breaker Breaker `yaml:"breaker"`
	// Ejection of endpoints whose calls fail, for a time that grows. Unlike a
	// breaker it looks at all endpoints: it never ejects more than a part.
	Outlier Outlier `yaml:"outlier"`
}

// HealthCheck probes the endpoints of a cluster.
type HealthCheck struct {
	// `false` turns probes off; endpoints then count as up until calls fail.
	Enabled bool `yaml:"enabled"`
	// The time between two probes of an endpoint, give or take 10 %. From 100ms
	// to 1h.
	Interval time.Duration `yaml:"interval"`
	// The time for one probe, from dialing to its last answer. One that runs out
	// of it while a call of ours runs there says nothing, and neither does a
	// refusal because all threads are taken. At least 1ms, at most `interval`.
	Timeout time.Duration `yaml:"timeout"`
	// How many probes in a row must succeed for an endpoint that is down to be up
	// again. From 1 to 100.
	Rise int `yaml:"rise"`
	// How many probes in a row must fail for an endpoint to be down. From 1 to
	// 100.
	Fall int `yaml:"fall"`
	// The object id in the CONNECT. Without one, `Pyro.Daemon`, which every daemon
	// has. An endpoint that does not know the object counts as down.
	Object string `yaml:"object"`
	// The serializer of the CONNECT; it must be one that the daemons accept.
	Serializer Serializer `yaml:"serializer"`
	// The handshake data of the CONNECT, as a string, for daemons whose
	// `validateHandshake` wants to see some. The default is Pyro's own.
	Handshake string `yaml:"handshake"`
}

// Breaker shields an endpoint that fails from calls, and calls from it.
type Breaker struct {
	// `false` turns the breakers of the cluster off.
	Enabled bool `yaml:"enabled"`
	// Opens after so many failures in a row. A failure is a broken connection, a
	// timeout or an answer that is not Pyro's; an exception of the method is an
	// answer like others, and so is the refusal of a daemon whose threads are all
	// taken. `0`: their number is not looked at. At most 10000.
	ConsecutiveFailures int `yaml:"consecutive_failures"`
	// Opens when at least this percentage of the calls within `window` failed.
	// `0`: their ratio is not looked at.
	FailureRatio Percent `yaml:"failure_ratio"`
	// How many calls within `window` make a ratio. From 1 to 1000000.
	MinimumCalls int `yaml:"minimum_calls"`
	// The time over which the ratio is taken. From 1s to 1h.
	Window time.Duration `yaml:"window"`
	// How long an open breaker lets no call through, before it tries. From 100ms
	// to 1h.
	Open time.Duration `yaml:"open"`
	// How many calls may then try at one time. When as many have succeeded, the
	// breaker closes; when one fails, it opens again. From 1 to 1000.
	Probes int `yaml:"probes"`
}

// Outlier ejects endpoints by how the calls to them went.
type Outlier struct {
	// `false` turns ejection off.
	Enabled bool `yaml:"enabled"`
	// Ejects after so many failures in a row; what a failure is, see `breaker`.
	// `0`: their number is not looked at. At most 10000.
	ConsecutiveFailures int `yaml:"consecutive_failures"`
	// Ejects when at least this percentage of the calls within `window` failed.
	// `0`: their ratio is not looked at.
	FailureRatio Percent `yaml:"failure_ratio"`
	// How many calls within `window` make a ratio. From 1 to 1000000.
	MinimumCalls int `yaml:"minimum_calls"`
	// The time over which the ratio is taken. From 1s to 1h.
	Window time.Duration `yaml:"window"`
	// How long the first ejection lasts; the second in a row lasts twice as long,
	// the third three times, and so on. From 100ms to 24h.
	Ejection time.Duration `yaml:"ejection"`
	// The longest ejection. At least `ejection`, at most 24h.
	MaxEjection time.Duration `yaml:"max_ejection"`
	// The largest part of the cluster's endpoints that may be ejected at one time,
	// in percent. `0`: none.
	MaxEjectionPercent Percent `yaml:"max_ejection_percent"`
}

// DefaultCluster returns the defaults of one cluster, which still lacks its
// name and endpoints.
func DefaultCluster() Cluster {
	return Cluster{
		DNS:               DNS{Type: DNSTypeA, Interval: 30 * time.Second},
		NameServer:        NameSource{Interval: 10 * time.Second},
		Handshake:         "hello",
		Expose:            ExposeNone,
		ConnectTimeout:    5 * time.Second,
		Balance:           BalanceLeastRequest,
		HashBy:            HashByObject,
		NestedReserve:     1,
		StreamIdleTimeout: 10 * time.Minute,
		Queue:             1024,
		QueueTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxAge:            time.Hour,
		HandshakeTTL:      5 * time.Minute,
		Retries:           10,
		RetryBudget:       20,
		GhostTimeout:      time.Minute,
		OnDown:            OnDownKeep,
		SlowStart:         30 * time.Second,
		PanicThreshold:    25,
		HealthCheck: HealthCheck{
			Enabled: true, Interval: 10 * time.Second, Timeout: 3 * time.Second, Rise: 2, Fall: 3,
			Serializer: Serpent, Handshake: "hello",
		},
		Breaker: Breaker{
			Enabled: true, ConsecutiveFailures: 5, FailureRatio: 50, MinimumCalls: 20, Window: 10 * time.Second,
			Open: 5 * time.Second, Probes: 1,
		},
		Outlier: Outlier{
			Enabled: true, ConsecutiveFailures: 5, FailureRatio: 50, MinimumCalls: 20, Window: 30 * time.Second,
			Ejection: 10 * time.Second, MaxEjection: 5 * time.Minute, MaxEjectionPercent: 50,
		},
	}
}
