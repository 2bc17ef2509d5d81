package config

import "time"

// Endpoint is one daemon.
type Endpoint struct {
	// Where the daemon listens: a host and port, or a Unix socket.
	Address Address `yaml:"address,required,short"`
	// The dialect that the daemon speaks; clients of the other one are never
	// sent to it. Without it, the cluster's.
	Dialect Dialect `yaml:"dialect"`
	// The daemon's share relative to the others': one of weight 2 gets twice
	// what one of weight 1 gets. From 1 to 65535.
	Weight int `yaml:"weight"`
	// The object id that retargeted calls are sent to here. Without it, the
	// cluster's.
	Object string `yaml:"object"`
}

// DNS names daemons by a name in DNS. It is absent where Name is empty.
type DNS struct {
	// What to look up. With `type: a` a host and port, `daemons.lab:5555`; with
	// `type: srv` a name alone, `_pyro._tcp.lab`.
	Name string `yaml:"name,required,short"`
	// `a`: A and AAAA records; every address is an endpoint, all with the port of
	// the name. `srv`: SRV records; each is an endpoint, with its own port and
	// weight, and only those of the best priority are used.
	Type DNSType `yaml:"type"`
	// How long an answer counts before the name is looked up again. Where that
	// fails, the last answer stays; that there is no such name is believed after a
	// minute. From 1s to 24h.
	Interval time.Duration `yaml:"interval"`
}

// NameSource says which names of a name server are a cluster's endpoints: those that
// meet all that is given. It is absent where Address is empty.
type NameSource struct {
	// The host and port of the name server.
	Address Address `yaml:"address,required"`
	// The dialect that it speaks. Without it, it is found out.
	Dialect Dialect `yaml:"dialect"`
	// A file with the HMAC key of the name server, where it is Pyro4's and has one, as
	// `hmac_key_file` of a listener.
	HMACKeyFile string `yaml:"hmac_key_file"`
	// What the names begin with. At least one of this key and the next three; a name
	// has to meet all that are given.
	Prefix string `yaml:"prefix"`
	// A regular expression of Python that fits the whole name.
	Regex string `yaml:"regex"`
	// Metadata of which a name must have everything.
	MetadataAll []string `yaml:"metadata_all"`
	// Metadata of which a name must have something.
	MetadataAny []string `yaml:"metadata_any"`
	// The time between two questions, give or take 10 %. From 1s to 24h.
	Interval time.Duration `yaml:"interval"`
}

// DefaultEndpoint returns the defaults of one endpoint, which still lacks its
// address.
func DefaultEndpoint() Endpoint { return Endpoint{Weight: 1} }
