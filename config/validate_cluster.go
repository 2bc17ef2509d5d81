package config

import "time"

// The bounds of a cluster's numbers. They are wide: what they keep out is
// mistakes, and values that would overflow something.
const (
	maxConnections = 100_000
	maxQueue       = 1_000_000
	maxRetries     = 1000
	maxInARow      = 10_000
	maxCalls       = 1_000_000
	maxProbes      = 1000
	maxChecks      = 100
	maxWeight      = 65_535 // what SRV records and Consul allow
)

func (v *validator) clusters() {
	if len(v.Clusters) == 0 && !v.makesRoutes() {
		v.problem("clusters", "there are none: calls need at least one daemon to go to")
	}
	listening := make(map[Address]string) // its path
	for i, l := range v.Listeners {
		listening[l.Address] = index("listeners", i)
	}
	for i, l := range v.NameServer.Listeners {
		listening[l.Address] = index("name_server.listeners", i)
	}
	listeners := v.namesOf("listeners", len(v.Listeners), func(i int) string { return v.Listeners[i].Name })
	calls := v.callClusters()
	taken := make(names)
	for i := range v.Clusters {
		c := &v.Clusters[i]
		path := index("clusters", i)
		v.name(taken, path, c.Name, false)
		v.endpoints(path, c, listening)
		v.plain(join(path, "object"), c.Object)
		v.plain(join(path, "handshake"), c.Handshake)
		v.expose(path, c, &listeners)
		v.duration(join(path, "connect_timeout"), c.ConnectTimeout, minTimeout, maxTimeout)
		v.hashBy(join(path, "hash_by"), c)
		v.connections(path, c, calls[c.Name])
		v.waiting(path, c)
		v.pool(path, c)
		v.durationOrNone(join(path, "slow_start"), c.SlowStart, minTimeout, maxTimeout)
		v.healthCheck(join(path, "health_check"), c)
		v.breaker(join(path, "breaker"), &c.Breaker)
		v.outlier(join(path, "outlier"), &c.Outlier)
	}
}

// hashBy refuses a key that would have no effect.
func (v *validator) hashBy(path string, c *Cluster) {
	if v.source.has(path) && c.Balance != BalanceHash {
		v.problem(path, "means nothing with balance: %s, only with balance: %s", c.Balance, BalanceHash)
	}
}

// connections checks the bounds on an endpoint's connections with each other.
// A default gives way where it is too large; what was written does not.
func (v *validator) connections(path string, c *Cluster, call bool) {
	limit := join(path, "max_connections")
	v.count(limit, c.MaxConnections, 0, maxConnections)
	v.count(join(path, "nested_reserve"), c.NestedReserve, 0, maxConnections)
	v.count(join(path, "max_pinned"), c.MaxPinned, 0, maxConnections)
	v.count(join(path, "min_idle"), c.MinIdle, 0, maxConnections)
	most := c.Bounds(call).MaxConnections
	if most <= 0 || most > maxConnections || v.source.unread[limit] {
		return
	}
	v.below(join(path, "nested_reserve"), c.NestedReserve, most)
	v.below(join(path, "max_pinned"), c.MaxPinned, most)
	if c.MinIdle > most {
		v.problem(join(path, "min_idle"), "%d is more than max_connections, which is %d", c.MinIdle, most)
	}
}

func (v *validator) below(path string, n, most int) {
	if n > 0 && n >= most && v.source.has(path) {
		v.problem(path, "%d is not less than max_connections, which is %d", n, most)
	}
}

func (v *validator) waiting(path string, c *Cluster) {
	v.count(join(path, "queue"), c.Queue, 0, maxQueue)
	v.duration(join(path, "queue_timeout"), c.QueueTimeout, minTimeout, maxTimeout)
	v.count(join(path, "retries"), c.Retries, 0, maxRetries)
	v.durationOrNone(join(path, "ghost_timeout"), c.GhostTimeout, minTimeout, maxTimeout)
}

func (v *validator) pool(path string, c *Cluster) {
	v.duration(join(path, "stream_idle_timeout"), c.StreamIdleTimeout, time.Second, day)
	v.duration(join(path, "idle_timeout"), c.IdleTimeout, time.Second, day)
	v.durationOrNone(join(path, "max_age"), c.MaxAge, time.Second, 30*day)
	v.duration(join(path, "handshake_ttl"), c.HandshakeTTL, time.Second, day)
}

func (v *validator) healthCheck(path string, c *Cluster) {
	h := &c.HealthCheck
	v.duration(join(path, "interval"), h.Interval, 100*time.Millisecond, maxTimeout)
	v.duration(join(path, "timeout"), h.Timeout, minTimeout, maxTimeout)
	v.notLonger(path, "timeout", h.Timeout, "interval", h.Interval)
	v.count(join(path, "rise"), h.Rise, 1, maxChecks)
	v.count(join(path, "fall"), h.Fall, 1, maxChecks)
	v.plain(join(path, "object"), h.Object)
	v.plain(join(path, "handshake"), h.Handshake)
	if !h.Serializer.spokenBy(Pyro5) && c.Dialect != Pyro4 {
		v.problem(join(path, "serializer"), "%s is of Pyro4 only: the cluster needs dialect: pyro4", h.Serializer)
	}
}

// notLonger wants one of two keys of the mapping at path not to be longer than
// the other, and says so at the one that was written.
func (v *validator) notLonger(path, key string, d time.Duration, bound string, most time.Duration) {
	if d <= most || v.source.unread[join(path, bound)] || v.source.unread[join(path, key)] {
		return
	}
	if at := join(path, bound); v.source.has(at) && !v.source.has(join(path, key)) {
		v.problem(at, "%s is shorter than %s, which is %s", short(most), key, short(d))
		return
	}
	v.problem(join(path, key), "%s is longer than %s, which is %s", short(d), bound, short(most))
}

// maxText bounds what is sent to daemons or to Consul as it was written.
const maxText = 1024

// plain checks text that we send in a message of our own: Pyro2's strings, and
// those of our encoders, are ASCII.
func (v *validator) plain(path, text string) {
	if len(text) > maxText {
		v.problem(path, "has %d bytes: at most %d", len(text), maxText)
		return
	}
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			v.problem(path, "%q: only printable ASCII can be sent", text)
			return
		}
	}
}

func (v *validator) breaker(path string, b *Breaker) {
	v.failures(path, b.Enabled, b.ConsecutiveFailures, b.FailureRatio, b.MinimumCalls, b.Window)
	v.duration(join(path, "open"), b.Open, 100*time.Millisecond, maxTimeout)
	v.count(join(path, "probes"), b.Probes, 1, maxProbes)
}

func (v *validator) outlier(path string, o *Outlier) {
	v.failures(path, o.Enabled, o.ConsecutiveFailures, o.FailureRatio, o.MinimumCalls, o.Window)
	v.duration(join(path, "ejection"), o.Ejection, 100*time.Millisecond, day)
	v.duration(join(path, "max_ejection"), o.MaxEjection, 100*time.Millisecond, day)
	v.notLonger(path, "ejection", o.Ejection, "max_ejection", o.MaxEjection)
}

// failures checks what breakers and ejection share.
func (v *validator) failures(path string, enabled bool, inARow int, ratio Percent, calls int, window time.Duration) {
	v.count(join(path, "consecutive_failures"), inARow, 0, maxInARow)
	v.count(join(path, "minimum_calls"), calls, 1, maxCalls)
	v.duration(join(path, "window"), window, time.Second, maxTimeout)
	if enabled && inARow == 0 && ratio == 0 && !v.source.unreadWithin(path) {
		v.problem(path, "looks at nothing, with consecutive_failures and failure_ratio both 0: say enabled: false")
	}
}
