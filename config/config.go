// Package config is the dispatcher's configuration: what may be written in the
// file, what each key defaults to, and every reason to refuse a file.
//
// The structs in config.go, defaults.go, route.go, blob.go, cluster.go, consul.go,
// topics.go, nameserver.go and storage.go are the schema. Load reads a YAML document
// into them and reports every problem of form at its line and column; Validate
// reports every problem of meaning. A Config without problems is one that the
// rest of the program may use without checking it again.
//
// The package keeps no state, opens no file and reads no environment: a caller
// hands it the bytes, and the name to call them by in messages. It imports
// none of the other packages here, so the numbers and names that it shares
// with them (dialects, serializers) are spelled out in it. It only checks the
// syntax of patterns and templates; what they match and make is not its business.
package config

import (
	"time"
)

// The field comments below are also the text of docs/configuration.md, which
// a test keeps equal to them. They are therefore written for operators, and do
// not begin with the field's name. In the tags, "required" marks a key that
// has no default, and "short" the key that a scalar in place of the mapping
// stands for, and "some" a list that must not be written empty. A list of
// scalars may be written as its only element. A pointer is a key that need not be
// given, and is nil then: what it inherits, its comment says.

// Config is a whole configuration. The zero value is not usable: begin with
// Default or Load.
type Config struct {
	// What the process writes to standard error.
	Log Log `yaml:"log"`
	// The HTTP server for metrics and health checks.
	Admin Admin `yaml:"admin"`
	// How long calls in flight may take to finish after SIGTERM or SIGINT.
	// What is left then is closed. `0s` closes everything at once.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// Bounds on what peers may make the process hold or forward.
	Limits Limits `yaml:"limits"`
	// How to reach Consul, and what to do there beside finding the endpoints of
	// clusters. It is needed only where its defaults are not right.
	Consul Consul `yaml:"consul"`
	// The directory, which must be there, for what is to survive a restart:
	// `names.json` of the name server, `topics.json` of the topics, and `ports.json`,
	// the ports of endpoints and names. Only one process may use it. Where Consul is
	// used for anything, or `consul.address` given, these are kept in its key-value
	// store instead, for all dispatchers together, and where there is neither, in
	// memory. Names and topics have a `storage` of their own, which counts before.
	StateDir string `yaml:"state_dir"`
	// What holds for every route and listener that says nothing else.
	Defaults Defaults `yaml:"defaults"`
	// Where clients connect. At least one.
	Listeners []Listener `yaml:"listeners,required"`
	// Which cluster a client is sent to: the first route that matches its
	// CONNECT. At least one; a client that matches none is refused with a
	// CONNECTFAIL that says so. Routes with `match.blob` or `match.annotation` are
	// for single calls instead, and are looked at for each. With
	// `consul.discover.tag`, `topics` or `name_server` there may be none: the object
	// of the topics comes before the routes of this file, and what is found in Consul
	// after them.
	Routes []Route `yaml:"routes,required"`
	// The daemons, in groups of interchangeable ones. At least one, except with
	// `consul.discover.tag`, `topics` or `name_server`.
	Clusters []Cluster `yaml:"clusters,required"`
	// The registry of who listens to which topic: an object of the dispatcher's own,
	// in place of the dispatcher that Pyro's example blob-dispatch has. Its object id
	// alone may stand in place of the mapping. Without it, there are no topics.
	Topics Topics `yaml:"topics"`
	// The dispatcher as a name server of Pyro, which gives clients addresses that
	// lead through its listeners. Without it, it is none.
	NameServer NameServer `yaml:"name_server"`

	source source
}

// Log chooses what is logged and how it is written.
type Log struct {
	// The least severe level that is written.
	Level Level `yaml:"level"`
	// `json`: one object a line, for machines. `console`: for people.
	Format Format `yaml:"format"`
}

// Admin is the HTTP server for operators.
type Admin struct {
	// Where the admin server listens. It asks nobody for a password, so keep
	// it on loopback or a private network. `""` turns it off.
	Address Address `yaml:"address"`
}

// Limits bound one message, and all sessions together. All sizes are bytes.
type Limits struct {
	// The largest message in either direction: annotations and data together,
	// as Pyro's own MAX_MESSAGE_SIZE counts. The default is the limit of
	// Pyro4's format, 2^31-1.
	MaxMessageSize Size `yaml:"max_message_size"`
	// The largest annotations of one request, all chunks together. Replies
	// may carry larger ones.
	MaxRequestAnnotations Size `yaml:"max_request_annotations"`
	// The largest CONNECT, header and annotations included: it is held in
	// memory until its object is known.
	MaxHandshake Size `yaml:"max_handshake"`
	// Requests up to this size are sent on only when they are complete, so
	// that a slow client does not hold a daemon. Larger ones are streamed.
	StoreAndForward Size `yaml:"store_and_forward"`
	// The memory for the incomplete messages of all clients together, a
	// quarter of it for CONNECTs and the rest for requests. When a part is used
	// up, reading from the clients that need it pauses. At least 4 times
	// `max_handshake`, and twice `store_and_forward` and
	// `max_request_annotations`.
	BufferMemory Size `yaml:"buffer_memory"`
	// The largest request that a route for single calls or the topics dispatch from
	// memory, and the largest answer to one: they are held in memory, which is that of
	// `buffer_memory`. A quarter of `buffer_memory` is a bound as well, and counts if
	// it is smaller. Larger requests go to disk. At least `store_and_forward` and
	// `max_request_annotations` together.
	FanoutMemory Size `yaml:"fanout_memory"`
	// Requests to be dispatched that are larger go to disk at once, to a file without a
	// name. So do those over `store_and_forward` that there is no memory for.
	SpillThreshold Size `yaml:"spill_threshold"`
	// The disk space for all such requests together, and so the largest that can be
	// dispatched, if `fanout_memory` is not larger. When it is used up, reading from the
	// clients that need it pauses. Each file counts as `spill_threshold` at least. `0`:
	// nothing goes to disk. Otherwise at least `spill_threshold`.
	SpillBytes Size `yaml:"spill_bytes"`
	// The directory of these files. `""`: that of temporary files. It should be on a disk:
	// where it is memory (tmpfs), nothing is won.
	SpillDir string `yaml:"spill_dir"`
}

// Listener is one address that clients connect to, in either dialect.
type Listener struct {
	// The name that routes, logs and metrics use. Without one, it is the
	// address.
	Name string `yaml:"name"`
	// Where to accept clients. `:9999` is every local address; port 0 lets
	// the system choose one.
	Address Address `yaml:"address,required"`
	// How clients outside reach this listener, through NAT or in a cluster: what the
	// URIs have that name server and topics give them. What is left out is that of
	// the address to which a client has connected.
	Advertise Advertise `yaml:"advertise"`
	// The dialect in which a peer is refused that showed no known one. A peer
	// that did is answered in its own.
	DefaultDialect Dialect `yaml:"default_dialect"`
	// The time from accepting a client to its complete CONNECT. A client that
	// needs longer is refused with a CONNECTFAIL.
	HandshakeTimeout time.Duration `yaml:"handshake_timeout"`
	// The time from the first byte of a stored request (see
	// `limits.store_and_forward`) to its last. It does not limit the call.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// The most clients at one time, at the ports of names and endpoints that belong to
	// the listener as well. The limit of open files may allow fewer, at two for each
	// client; the log says so then.
	MaxSessions int `yaml:"max_sessions"`
	// The most clients at one time from one source address. `0`: no limit
	// beyond `max_sessions`.
	MaxSessionsPerSource int `yaml:"max_sessions_per_source"`
	// The time of a call, for routes that give none. Without it,
	// `defaults.timeout`.
	Timeout *time.Duration `yaml:"timeout"`
	// The time for one endpoint, from dialing to its answer to the CONNECT, for
	// routes that give none. Without it, the cluster's. `0s`: none. At most 1h.
	ConnectTimeout *time.Duration `yaml:"connect_timeout"`
	// The time in which a client or daemon must take some bytes, for routes that
	// give none. Without it, `defaults.send_timeout`.
	SendTimeout *time.Duration `yaml:"send_timeout"`
	// How long a client may be connected without a call, for routes that give no
	// such time. Without it, `defaults.idle_timeout`.
	IdleTimeout *time.Duration `yaml:"idle_timeout"`
	// How long a call or client waits for a connection, for routes that give no
	// such time. Without it, the cluster's. `0s`: for ever. At most 1h.
	QueueTimeout *time.Duration `yaml:"queue_timeout"`
	// A file with the HMAC key that Pyro4's clients of this listener sign with
	// (`_pyroHmacKey`): its bytes, but for a newline at their end. With it, signed calls
	// are dispatched and retargeted, and answers of the dispatcher's own to clients that
	// sign are signed; Pyro4's calls that are not signed are not dispatched. All other
	// calls pass as they came, and their daemon looks at the signature. Pyro5 has no
	// signatures. Without a key, signed calls only pass, unless a cluster has it.
	HMACKeyFile string `yaml:"hmac_key_file"`
}

// Default returns a configuration with every default filled in, and without
// listeners, routes and clusters, for which there are none.
func Default() Config {
	return Config{
		Log:          Log{Level: LevelInfo, Format: FormatJSON},
		Admin:        Admin{Address: Address{Network: "tcp", Address: "127.0.0.1:9990"}},
		DrainTimeout: 30 * time.Second,
		Limits: Limits{
			MaxMessageSize:        1<<31 - 1,
			MaxRequestAnnotations: 64 * KiB,
			MaxHandshake:          1 * MiB,
			StoreAndForward:       64 * KiB,
			BufferMemory:          64 * MiB,
			FanoutMemory:          64 * MiB,
			SpillThreshold:        4 * MiB,
			SpillBytes:            1 * GiB,
		},
		Consul:     DefaultConsul(),
		Defaults:   DefaultDefaults(),
		Topics:     DefaultTopics(),
		NameServer: DefaultNameServer(),
	}
}

// DefaultListener returns the defaults of one listener, which still lacks its
// name and address.
func DefaultListener() Listener {
	return Listener{
		DefaultDialect:   Pyro5,
		HandshakeTimeout: 10 * time.Second,
		RequestTimeout:   30 * time.Second,
		MaxSessions:      10_000,
	}
}
