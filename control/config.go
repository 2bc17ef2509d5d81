package control

import (
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Config is what a Daemon serves, and within which bounds. Every number that is not
// positive means its default.
type Config struct {
	// Lookup finds an object by its id. It may be called concurrently. "Pyro.Daemon" is
	// always there and never asked for.
	Lookup func(id string) (Object, bool)
	// Registered lists ids for Pyro.Daemon's registered and info; nil: it tells of none.
	Registered func() []string

	Limits Limits

	HandshakeTimeout time.Duration // until the CONNECT is here; 10 s
	IdleTimeout      time.Duration // between requests; 1 h
	RequestTimeout   time.Duration // for a message that has begun to be complete, and for a reply to be taken; 30 s
	CallTimeout      time.Duration // for an object to answer; a batch counts as one call; 30 s
	DrainTimeout     time.Duration // for calls in flight when the daemon is to end; 5 s

	// HMACKey is what messages of Pyro4 have to be signed with, and are. Pyro5 has no
	// signatures: with a key its clients are refused, unless Unsigned502 lets them in.
	HMACKey     []byte
	Unsigned502 bool

	// DefaultDialect answers who sent nothing that we know; V502.
	DefaultDialect wire.Dialect

	Log     *zap.Logger      // nil: none
	Observe func(CallEvent)  // told of every call when it is over, concurrently; nil: nobody
	Now     func() time.Time // measures calls; time.Now
}

// Limits bounds what clients may make the daemon hold. Sizes are in bytes.
type Limits struct {
	Message     int64 // a request's annotations and data, and its data decompressed; 8 MiB
	Annotations int64 // a message's annotations; 64 KiB, which is what Pyro4's header can say
	Handshake   int64 // a CONNECT's annotations and data; 64 KiB
	// Memory is for all requests together that are larger than 64 KiB, and as much again
	// for what compressed ones hold, for which each is charged Message. Who finds it taken
	// waits, no longer than RequestTimeout and CallTimeout; 64 MiB, never less than Message.
	Memory      int64
	Connections int // at once; 1000
	PerSource   int // of these, from one IPv4 address or IPv6 /64; 256
	Depth       int // containers inside each other in a request; as in values.DefaultLimits
	Items       int // values in a request; as in values.DefaultLimits
}

// smallMessage is what a connection may hold without being charged for.
const smallMessage = 64 << 10

func (c Config) withDefaults() Config {
	orTime := func(t *time.Duration, d time.Duration) {
		if *t <= 0 {
			*t = d
		}
	}
	orSize := func(n *int64, d int64) {
		if *n <= 0 {
			*n = d
		}
	}
	orCount := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	orTime(&c.HandshakeTimeout, 10*time.Second)
	orTime(&c.IdleTimeout, time.Hour)
	orTime(&c.RequestTimeout, 30*time.Second)
	orTime(&c.CallTimeout, 30*time.Second)
	orTime(&c.DrainTimeout, 5*time.Second)
	l := &c.Limits
	orSize(&l.Message, 8<<20)
	orSize(&l.Annotations, 64<<10)
	orSize(&l.Handshake, 64<<10)
	orSize(&l.Memory, 64<<20)
	l.Memory = max(l.Memory, l.Message)
	orCount(&l.Connections, 1000)
	orCount(&l.PerSource, 256)
	read := values.DefaultLimits()
	orCount(&l.Depth, read.Depth)
	orCount(&l.Items, read.Items)
	if c.Lookup == nil {
		c.Lookup = func(string) (Object, bool) { return nil, false }
	}
	if c.Registered == nil {
		c.Registered = func() []string { return nil }
	}
	if c.DefaultDialect == 0 {
		c.DefaultDialect = wire.V502
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Observe == nil {
		c.Observe = func(CallEvent) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Outcome is how a call went.
type Outcome uint8

// The outcomes.
const (
	Answered    Outcome = iota // with a result
	Raised                     // with an exception of the object's
	NoSuch                     // there is no such object, method or attribute
	Failed                     // the object failed otherwise
	TimedOut                   // the object did not answer within CallTimeout
	Unreadable                 // the request could not be decoded, or was a SerializedBlob
	numOutcomes = iota
)

var outcomeNames = [numOutcomes]string{"answered", "raised", "no_such", "failed", "timed_out", "unreadable"}

// String is the outcome in lower case, as a label of metrics.
func (o Outcome) String() string { return outcomeNames[o] }

// CallEvent is a call that is over; each call of a batch is one.
type CallEvent struct {
	Listener string
	// Object and Method are names that exist, and "" where the client's do not.
	Object, Method string
	Dialect        wire.Dialect
	Outcome        Outcome
	Duration       time.Duration // in the object
}
