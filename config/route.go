package config

import (
	"net/netip"
	"time"
)

// Route sends the clients that match to a cluster.
type Route struct {
	// The name that logs and metrics use. Without one, it is the cluster's, or where
	// there is none, the object id of the match; with a number where several routes
	// would have the same.
	Name string `yaml:"name"`
	// What a client has to show. Without it, every client matches.
	Match Match `yaml:"match"`
	// The name of the cluster that serves the route. It is required, except with
	// `answer`.
	Cluster string `yaml:"cluster"`
	// `session`: each client has a connection to a daemon of its own, from its
	// CONNECT to its end, as without the dispatcher. `call`: clients share
	// connections, and each call is balanced by itself, so that thousands of
	// clients can be connected to a daemon with few threads. It requires that the
	// objects of this route keep nothing between the calls of one connection,
	// which only you can know: clients would share the instances of a class with
	// `instance_mode="session"` (the default of registered classes), as well as
	// tracked resources and all else that a daemon notes for a connection, and a
	// client's next call may reach another daemon. Calls of `Pyro.Daemon` look
	// like all others, and are balanced with them. A client that iterates over a
	// stream keeps one connection to itself (see `max_pinned` of the cluster).
	// Routes with `match.blob`, `match.annotation` or `answer` are always of mode
	// `call`, and need not say so.
	Mode Mode `yaml:"mode"`
	// Only with `mode: call`. `true`: a call that fails after its bytes have
	// reached a daemon is sent again to another, within the cluster's `retries`
	// and `retry_budget`. It means every method that this route reaches, as the
	// dispatcher does not see which one is called, and a call may run twice.
	// `false`: a call is sent again only while none of its bytes was written, and
	// so never runs twice.
	Idempotent bool `yaml:"idempotent"`
	// Only with `mode: call`. `true`: a daemon's answer to a CONNECT also answers
	// equal CONNECTs, from any client, for the cluster's `handshake_ttl`. What
	// equal means: all but sequence number, correlation id and signature; other
	// credentials always reach a daemon. `false`: a daemon validates the CONNECT
	// of each client, at the price of a connection for each new client, and of
	// waiting for one where `max_connections` are in use.
	CacheHandshake bool `yaml:"cache_handshake"`
	// Only with `match.blob`: another target for the call, which is written into its
	// annotation. The payload stays as it is.
	Rewrite Rewrite `yaml:"rewrite"`
	// Only with `match.blob`: who gets the call. `one`: one endpoint, as the cluster
	// balances. `all`: every endpoint that is well, at the same time. `first`: all as
	// well, but the first that answers without an exception answers the client.
	Delivery Delivery `yaml:"delivery"`
	// Only with `delivery: all`: for how many the client waits. `all`: for every one;
	// it gets `None`, or the first exception in the order of the endpoints. `none`:
	// for none; it gets `None` at once. `quorum N`: until so many have answered
	// without an exception; fewer than N endpoints are an error. `{quorum: N}` is the
	// same. N is from 1 to 1000.
	Wait Wait `yaml:"wait"`
	// Only with `match.blob` or `match.annotation`: what the client gets where the
	// cluster has no endpoints at all. `error`: an exception. `none`: `None`, as from
	// the dispatcher of Pyro's example.
	NoListener NoListener `yaml:"no_listener"`
	// The dispatcher's own answer to the CONNECT, for an object that no endpoint has,
	// so that its clients can make calls which other routes take by `match.blob`. It
	// needs exact object ids in `match.object`. Calls that no such route takes are
	// errors, so that the route needs no cluster. The list of methods alone may stand
	// in place of the mapping.
	Answer Answer `yaml:"answer"`
	// The time of a call. Without it, the listener's, and without that
	// `defaults.timeout`.
	Timeout *time.Duration `yaml:"timeout"`
	// The time for one endpoint, from dialing to its answer to the CONNECT.
	// Without it, the listener's, and without that the cluster's. `0s`: none. At
	// most 1h.
	ConnectTimeout *time.Duration `yaml:"connect_timeout"`
	// The time in which a client or daemon must take some bytes. Without it, the
	// listener's, and without that `defaults.send_timeout`.
	SendTimeout *time.Duration `yaml:"send_timeout"`
	// How long a client may be connected without a call. Without it, the
	// listener's, and without that `defaults.idle_timeout`.
	IdleTimeout *time.Duration `yaml:"idle_timeout"`
	// How long a call or client waits for a connection. Without it, the
	// listener's, and without that the cluster's. `0s`: for ever. At most 1h.
	QueueTimeout *time.Duration `yaml:"queue_timeout"`
	// Without it, `defaults.timeout_error`.
	TimeoutError *TimeoutError `yaml:"timeout_error"`
	// Without it, `defaults.circular`. That of the route counts by which the call
	// that closes the circle goes.
	Circular *Circular `yaml:"circular"`
	// Without it, `defaults.max_depth`.
	MaxDepth *int `yaml:"max_depth"`
	// Without it, `defaults.correlation`.
	Correlation *Correlation `yaml:"correlation"`
	// Without it, `defaults.call_annotation`.
	CallAnnotation *bool `yaml:"call_annotation"`
	// Without it, `defaults.budget_margin`. That of the nested call's route counts.
	BudgetMargin *time.Duration `yaml:"budget_margin"`
	// Without it, `defaults.min_budget`. That of the nested call's route counts.
	MinBudget *time.Duration `yaml:"min_budget"`
}

// Match is what a route asks of a client. A key that is not given asks
// nothing, and one with several values is content with any of them; all the
// given keys must be met.
type Match struct {
	// Names of listeners.
	Listener []string `yaml:"listener,some"`
	// Patterns for the object id in the client's CONNECT. A client whose
	// CONNECT names no object (Pyro4 with METADATA off), or from which it
	// cannot be read, matches no pattern, not even `*`.
	Object []Pattern `yaml:"object,some"`
	// Dialects of the client.
	Dialect []Dialect `yaml:"dialect,some"`
	// Serializers of the client's CONNECT.
	Serializer []Serializer `yaml:"serializer,some"`
	// Networks that hold the client's address. No client of a Unix socket
	// matches.
	Source []netip.Prefix `yaml:"source,some"`
	// What a call has to say in the annotation of its SerializedBlob: a mapping with
	// the keys `info`, `object` and `method`, or a path into the info, as in
	// `info.tenant`, `info.0` or `info."a.b"` (in YAML's quotes). See
	// [Calls](#calls). Such a route is for single calls, whatever object their
	// connection was made for, and no CONNECT matches it.
	Blob Conditions `yaml:"blob"`
	// What a call has to have in its other annotations: a mapping with their ids, of
	// four characters, as in `{TENT: acme}`. See [Calls](#calls). With it too a route
	// is for single calls, and without `blob` also for those without a blob.
	Annotation Conditions `yaml:"annotation"`
}

// PerCall reports whether the match is for single calls, and not for CONNECTs.
func (m *Match) PerCall() bool { return len(m.Blob) > 0 || len(m.Annotation) > 0 }

// perCallKey returns the key that makes the match one for single calls.
func (m *Match) perCallKey() string {
	if len(m.Blob) > 0 {
		return "blob"
	}
	return "annotation"
}

// Answer is an answer to a CONNECT of the dispatcher's own. It is absent where
// Methods is empty.
type Answer struct {
	// The methods that the client is told the object has.
	Methods []string `yaml:"methods,required,short"`
	// Which of them are oneway: the client does not wait for their end.
	Oneway []string `yaml:"oneway"`
}

// IsZero reports whether the route has no answer of its own.
func (a *Answer) IsZero() bool { return len(a.Methods) == 0 }

// Rewrite is another target for a blob call. What is empty stays as it is.
type Rewrite struct {
	// The object id, for endpoints that state none themselves: one that does
	// (`object` of the cluster, of the static endpoint, or of its meta in Consul)
	// gets the call under that. Without either, it is the one in the call.
	Object Template `yaml:"object"`
	// The method. Without it, the one in the call.
	Method Template `yaml:"method"`
}

// IsZero reports whether nothing is rewritten.
func (r *Rewrite) IsZero() bool { return *r == Rewrite{} }

// DefaultRoute returns the defaults of one route, which still lacks its
// cluster.
func DefaultRoute() Route {
	return Route{
		Mode: ModeSession, CacheHandshake: true,
		Delivery: DeliverOne, Wait: WaitAll, NoListener: NoListenerError,
	}
}

// alwaysCall reports whether the route cannot be of mode session.
func (r *Route) alwaysCall() bool { return r.Match.PerCall() || !r.Answer.IsZero() }

// answered returns an object whose CONNECTs the dispatcher answers itself on this
// route, "" where it does not.
func (r *Route) answered() string {
	if r.Answer.IsZero() || len(r.Match.Object) == 0 {
		return ""
	}
	id, _ := r.Match.Object[0].Exact()
	return id
}
