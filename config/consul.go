package config

import "time"

// Consul is how to reach Consul, and what to do there.
type Consul struct {
	// Where Consul's HTTP API is, usually that of the agent on this machine:
	// `host:port` or `unix:/path`, or with `http://` or `https://` in front of
	// host and port. Without it, the environment's CONSUL_HTTP_ADDR counts before
	// the default.
	Address ConsulAddress `yaml:"address"`
	// The ACL token. `token_file` is better, as a token in it can be replaced.
	// Without either, CONSUL_HTTP_TOKEN_FILE and CONSUL_HTTP_TOKEN count.
	Token string `yaml:"token"`
	// The file that holds the ACL token. It is read anew when Consul refuses the
	// token, and when it is connected again. Not together with `token`.
	TokenFile string `yaml:"token_file"`
	// The datacenter that is asked where a cluster names none. Without it, the
	// agent's own.
	Datacenter string `yaml:"datacenter"`
	// The namespace, of Consul Enterprise. Without it, the token's.
	Namespace string `yaml:"namespace"`
	// The admin partition, of Consul Enterprise. Without it, the agent's.
	Partition string `yaml:"partition"`
	// TLS to Consul. Only with an `https://` address.
	TLS ConsulTLS `yaml:"tls"`
	// Clusters and routes made from what is in Consul, without naming them here.
	Discover Discover `yaml:"discover"`
	// The dispatcher as a service in Consul. It takes itself out again first
	// thing when it drains.
	Register Register `yaml:"register"`
}

// ConsulTLS is how Consul is known to be the right one, and what it is shown.
type ConsulTLS struct {
	// The file of the certificates, PEM, by which Consul's is judged. Without it,
	// the system's.
	CAFile string `yaml:"ca_file"`
	// The file of the client certificate, PEM. Together with `key_file`.
	CertFile string `yaml:"cert_file"`
	// The file of the client certificate's key, PEM.
	KeyFile string `yaml:"key_file"`
	// The name that Consul's certificate must have. Without it, the host of
	// `address`.
	ServerName string `yaml:"server_name"`
	// `true` believes any certificate: for trying things out only.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// Discover turns services of Consul into clusters. It is off where Tag is
// empty.
type Discover struct {
	// Every service with this tag becomes a cluster and a route to it, both with
	// the service's name. The meta of its instances says the rest: `pyro-object`,
	// the patterns of the route (without it, the service's name), `pyro-mode`,
	// `pyro-timeout`, the route's `timeout` (as in `5s`, or a number of seconds),
	// `pyro-balance`, `pyro-max-connections` and `pyro-dialect`. All else has its
	// default, also from `defaults`. What is in conflict with this file is left out and logged. Without
	// a tag, nothing is discovered. Each service takes a connection to Consul's
	// agent, which grants a client 200 (`http_max_conns_per_client`): give it more
	// for more services.
	Tag string `yaml:"tag"`
}

// Register is the dispatcher's own registration. It is off where Name is
// empty.
type Register struct {
	// The name of the service: letters, digits and hyphens. Without it, the
	// dispatcher does not register.
	Name string `yaml:"name"`
	// The host and port that others are to connect to. Without it, the address of
	// the first listener that is not a Unix socket; where that is every local
	// address, the host is the one that Consul knows the agent's machine by.
	Address Address `yaml:"address"`
	// Tags of the service.
	Tags []string `yaml:"tags"`
	// How often Consul asks the admin server whether the dispatcher is ready;
	// `admin.address` must be one that the agent reaches. From 1s to 1h.
	CheckInterval time.Duration `yaml:"check_interval"`
	// How long that may fail before Consul drops the registration, for a
	// dispatcher that was killed. At least 1m, which is as often as Consul looks,
	// and `check_interval`; at most 720h. `0s`: Consul keeps it.
	DeregisterAfter time.Duration `yaml:"deregister_after"`
}

// ConsulService says which instances of which services are a cluster's
// endpoints. It is absent where Service is empty.
type ConsulService struct {
	// The names of the services; the instances of all are united. An instance has
	// the weight that Consul has for it, or that of its meta `pyro-weight`, and
	// the dialect of its meta `pyro-dialect`. With `pyro-target` in its meta, calls of
	// routes with `match.blob` are for that object there, whatever they name.
	Service []string `yaml:"service,required,short"`
	// Only instances that have all these tags.
	Tags []string `yaml:"tags"`
	// `true`: instances with a check in state warning are used too, not only
	// those that pass.
	Warning bool `yaml:"warning"`
	// Only instances that fit this filter expression of Consul, for example
	// `Node.Meta.rack == "1"` or `Service.Meta.version == "2"`.
	Filter string `yaml:"filter"`
	// The datacenters to ask, in the order of failover: the first one with an
	// instance that is well provides all. Without any, `consul.datacenter`.
	Datacenters []string `yaml:"datacenters"`
	// A node's name, or `_agent` for the agent's own: Consul lists instances by
	// their round-trip time from it. The order counts only where endpoints are
	// otherwise equal.
	Near string `yaml:"near"`
}

// DefaultConsul returns the defaults of how to reach Consul, with nothing to
// do there.
func DefaultConsul() Consul {
	return Consul{
		Address:  ConsulAddress{Scheme: "http", Address: Address{Network: "tcp", Address: "127.0.0.1:8500"}},
		Register: Register{CheckInterval: 10 * time.Second, DeregisterAfter: 10 * time.Minute},
	}
}

// UsesConsul reports whether anything in the configuration needs Consul.
func (c *Config) UsesConsul() bool {
	return c.asksConsul() ||
		c.Topics.Enabled() && c.TopicsStorage().Kind == StorageConsul ||
		c.NameServer.Enabled() && c.NameServer.storesNames() && c.NamesStorage().Kind == StorageConsul ||
		c.needsPorts() && c.PortsStorage().Kind == StorageConsul
}

// asksConsul is UsesConsul without regard to what is kept there.
func (c *Config) asksConsul() bool {
	if c.Consul.Discover.Tag != "" || c.Consul.Register.Name != "" {
		return true
	}
	for i := range c.Clusters {
		if len(c.Clusters[i].Consul.Service) > 0 {
			return true
		}
	}
	return false
}

// Given reports whether the file, or a flag that ApplyQuick was given, says
// something at a path, as in "consul.address".
func (c *Config) Given(path string) bool { return c.source.has(path) }
