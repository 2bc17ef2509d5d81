package config

import (
	"net"
	"net/netip"
	"strconv"
)

// NameServer is the dispatcher as a name server. It is absent where Listeners is
// empty.
type NameServer struct {
	// Where the name server listens. It is reached nowhere else.
	Listeners []NameListener `yaml:"listeners,required"`
	// Where the names that clients register are kept.
	Storage StorageChoice `yaml:"storage"`
	// A name server that is there already. Its names are passed on, with addresses of
	// ours, and registrations to it; nothing is stored here.
	Upstream NameUpstream `yaml:"upstream"`
	// The name of the listener through which clients call what they have found by
	// name. Without it, the first that is not a Unix socket.
	Listener string `yaml:"listener"`
	// Ports, as in `21000-21999`, for names that the listener cannot tell apart since
	// their object id is the same, at another address: each gets one of its own, for
	// as long as it is registered. Without it, clients get an error for such names.
	Ports PortRange `yaml:"ports"`
	// Names that are registered for interchangeable daemons. Calls of what is in one
	// group, with one object id, are balanced. The metadata `group:NAME` of a
	// registration says the same, and counts before.
	Groups []NameGroup `yaml:"groups"`
	// `true`: names also for what nobody has registered: services of Consul, the
	// topics, and the exact object ids of routes.
	Publish bool `yaml:"publish"`
	// The most names that clients may have registered. From 1 to 1000000.
	MaxNames int `yaml:"max_names"`
	// A file with the HMAC key that calls of the name server must be signed with, as
	// `hmac_key_file` of a listener. Pyro5's clients, which cannot sign, are refused
	// then.
	HMACKeyFile string `yaml:"hmac_key_file"`
}

// NameListener is one address of the name server.
type NameListener struct {
	// The name that logs and metrics use; no other listener has it. Without one, it
	// is the address.
	Name string `yaml:"name"`
	// Where to accept clients, as `address` of a listener. Pyro looks for name
	// servers at port 9090.
	Address Address `yaml:"address,required,short"`
	// How clients outside reach the name server: what its own URI has. What is left
	// out is that of the address to which a client has connected.
	Advertise Advertise `yaml:"advertise"`
	// `false`: who comes in here may look names up, but not change them.
	Trusted bool `yaml:"trusted"`
	// Whether clients that look for a name server by broadcast find this one. `true`:
	// at UDP port 9091 of every local address, where Pyro's ask, unless `address` is
	// loopback; it gives way to those of listeners before this one, and to any that is
	// written as an address.
	// `false`: they do not. An address: at that address.
	Broadcast Broadcast `yaml:"broadcast"`
}

// Broadcast is where questions for a name server are answered: nowhere for the zero
// value.
type Broadcast struct {
	Enabled bool
	Address Address // zero: where Pyro's clients ask
}

// UnmarshalText accepts true, false or an address with a port.
func (b *Broadcast) UnmarshalText(text []byte) error {
	if enabled, err := parseBool(string(text)); err == nil {
		*b = Broadcast{Enabled: enabled}
		return nil
	}
	a, err := ParseAddress(string(text))
	if err != nil {
		return err
	}
	*b = Broadcast{Enabled: true, Address: a}
	return nil
}

// String returns what UnmarshalText reads as the same.
func (b Broadcast) String() string {
	if b.Enabled && !b.Address.IsZero() {
		return b.Address.String()
	}
	return strconv.FormatBool(b.Enabled)
}

// NameUpstream is an existing name server. It is absent where Address is empty.
type NameUpstream struct {
	// Its host and port. Without it, there is none.
	Address Address `yaml:"address,short"`
	// The dialect that it speaks. Without it, it is found out.
	Dialect Dialect `yaml:"dialect"`
	// A file with its HMAC key, where it is Pyro4's and has one, as `hmac_key_file` of
	// a listener.
	HMACKeyFile string `yaml:"hmac_key_file"`
}

// NameGroup says which names are those of interchangeable daemons.
type NameGroup struct {
	// What the names begin with.
	Prefix string `yaml:"prefix,required"`
	// The name of the group, also in logs and metrics.
	Name string `yaml:"name,required"`
}

// DefaultNameServer returns the defaults of the name server, which still lacks its
// listeners.
func DefaultNameServer() NameServer {
	return NameServer{Publish: true, MaxNames: 10_000}
}

// DefaultNameListener returns the defaults of one of its listeners, which still lacks
// its name and address.
func DefaultNameListener() NameListener {
	return NameListener{Trusted: true, Broadcast: Broadcast{Enabled: true}}
}

// Enabled reports whether the dispatcher is a name server.
func (n *NameServer) Enabled() bool { return len(n.Listeners) > 0 }

// UsesUpstream reports whether there is another name server behind it.
func (n *NameServer) UsesUpstream() bool { return !n.Upstream.Address.IsZero() }

// storesNames reports whether names that clients register are kept by us.
func (n *NameServer) storesNames() bool { return !n.UsesUpstream() }

// NamesListener returns the listener through which names are reached, nil where there
// is none.
func (c *Config) NamesListener() *Listener { return c.tcpListener(c.NameServer.Listener) }

// tcpListener returns the listener of a name, or the first that is not a Unix socket
// for none; nil where there is no such listener.
func (c *Config) tcpListener(name string) *Listener {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if name == "" && l.Address.Network != "unix" || name != "" && l.Name == name {
			return l
		}
	}
	return nil
}

// broadcastPort is NS_BCPORT of both libraries.
const broadcastPort = "9091"

// BroadcastAddress returns where the i-th listener of the name server answers
// broadcasts, and the zero Address where it does not. It is of UDP, in spite of its
// Network.
func (c *Config) BroadcastAddress(i int) Address {
	a := c.broadcast(i)
	if !c.NameServer.Listeners[i].Broadcast.Address.IsZero() {
		return a
	}
	for j, other := range c.NameServer.Listeners {
		if (j < i || !other.Broadcast.Address.IsZero()) && a.clashesWith(c.broadcast(j)) {
			return Address{}
		}
	}
	return a
}

// broadcast is BroadcastAddress without regard to the other listeners.
func (c *Config) broadcast(i int) Address {
	l := &c.NameServer.Listeners[i]
	host, _, tcp := l.Address.hostPort()
	ip, err := netip.ParseAddr(host)
	switch {
	case !l.Broadcast.Enabled:
		return Address{}
	case !l.Broadcast.Address.IsZero():
		return l.Broadcast.Address
	case !tcp || host == "localhost" || err == nil && ip.IsLoopback():
		return Address{}
	}
	return Address{Network: "tcp", Address: net.JoinHostPort("", broadcastPort)}
}
