package config

import (
	"net/netip"
	"time"
)

// Topics is the registry of listeners. It is absent where Object is empty.
type Topics struct {
	// The object id under which clients and listeners find the registry, as in
	// `example.blobdispatcher`. The name server has it under the same name.
	Object string `yaml:"object,required,short"`
	// The names of the listeners through which it is reached. Without any, all.
	Listener []string `yaml:"listener"`
	// Networks in which listeners may be; a listener registers with its address, to
	// which the dispatcher then connects. Without it, `10.0.0.0/8`, `172.16.0.0/12`,
	// `192.168.0.0/16`, `169.254.0.0/16`, `fe80::/10` and `fc00::/7`; and `127.0.0.0/8`
	// and `::1/128`, but only for those who register from this machine.
	Allow []netip.Prefix `yaml:"allow"`
	// `true`: they may also be at Unix sockets of this machine.
	AllowUnix bool `yaml:"allow_unix"`
	// Where it is kept who listens to what.
	Storage StorageChoice `yaml:"storage"`
	// The most listeners of one topic. From 1 to 10000.
	MaxListeners int `yaml:"max_listeners"`
	// The most topics. From 1 to 100000.
	MaxTopics int `yaml:"max_topics"`
	// A listener that could not be reached for so long, or whose daemon has said for
	// so long that it lacks the object, is dropped. From 1s to 720h; `0s`: never.
	ForgetAfter time.Duration `yaml:"forget_after"`
	// Who gets a call that is about a topic, as `delivery` of a route.
	Delivery Delivery `yaml:"delivery"`
	// Only with `delivery: all`: for how many the client waits, as `wait` of a route.
	Wait Wait `yaml:"wait"`
	// What the client gets for a topic without listeners, as `no_listener` of a
	// route.
	NoListener NoListener `yaml:"no_listener"`
	// The time of a call. Without it, the listener's, and without that
	// `defaults.timeout`.
	Timeout *time.Duration `yaml:"timeout"`
	// The handshake data of the CONNECT to a listener, as a string.
	Handshake string `yaml:"handshake"`
	// A file with the HMAC key of Pyro4's clients and listeners, as `hmac_key_file` of
	// a listener. With it, Pyro4's calls of the registry must be signed, and blobs are
	// dispatched to Pyro4's listeners only if they are. Pyro5 has no signatures: what it
	// calls here, it may.
	HMACKeyFile string `yaml:"hmac_key_file"`
}

// DefaultTopics returns the defaults of the topics, which still lack their object.
func DefaultTopics() Topics {
	return Topics{
		MaxListeners: 100,
		MaxTopics:    1000,
		ForgetAfter:  time.Hour,
		Delivery:     DeliverAll,
		Wait:         WaitAll,
		NoListener:   NoListenerNone,
		Handshake:    "hello",
	}
}

// Enabled reports whether there are topics.
func (t *Topics) Enabled() bool { return t.Object != "" }
