package backend

import (
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Config describes a cluster. Durations and counts that are 0 turn off what
// they bound, unless they say otherwise.
type Config struct {
	Name    string
	Members []Member // the static ones
	Sources []Source // that Run listens to
	Balance Balance

	// ConnectTimeout bounds, for each endpoint, the time from dialing to its
	// answer to CONNECT.
	ConnectTimeout time.Duration
	// MaxAnswer bounds a daemon's answer to the CONNECT of a pooled connection,
	// in bytes.
	MaxAnswer int64

	MaxConnections int // per endpoint
	NestedReserve  int // of MaxConnections: for nested calls only
	MaxPinned      int // per endpoint; 0: no client may pin
	Queue          int // clients and calls that may wait
	QueueTimeout   time.Duration
	Retries        int // further endpoints tried in one search; negative: all
	RetryBudget    int // of 100 calls, how many may be sent again

	MinIdle      int // per endpoint, once a client has been there
	IdleTimeout  time.Duration
	MaxAge       time.Duration
	HandshakeTTL time.Duration
	GhostTimeout time.Duration

	CloseOnDown    bool
	SlowStart      time.Duration
	PanicThreshold int // percent
	Health         HealthConfig
	Breaker        BreakerConfig
	// Outlier describes passive health checking. Ejection 0: there is none.
	Outlier health.OutlierConfig
	// MaxEjected is how many of 100 endpoints may be ejected at a time.
	MaxEjected int

	// Key is what the daemons' messages are signed with, of those that speak V48, and
	// messages of ours for them. nil: there are no signatures, or they are not ours to make.
	Key wire.Key

	Dialer Dialer
	// Adopt is called for each pooled connection when its handshake is done. It
	// sets the connection's Reader and begins to read. nil: nobody reads, and
	// Ended is never called.
	Adopt   func(*Conn)
	Hops    *Hops // nil: no failure is explained by another
	Metrics *metrics.Set
	Log     *zap.Logger
}

// Balance is how an endpoint is chosen.
type Balance uint8

// The ways of choosing.
const (
	RoundRobin Balance = iota
	LeastRequest
	Hash
)

// HealthConfig describes the active health checks. Interval 0: there are none.
type HealthConfig struct {
	Interval, Timeout time.Duration
	Rise, Fall        int
	// Object is what a check connects to; empty: the daemon's own object, which
	// every daemon has. Where it is given, an endpoint that refuses it is not well.
	Object     string
	Serializer wire.Serializer
	Handshake  string
	// AskServer: each daemon is asked once what kind of server it is, also where
	// there are no checks. Timeout bounds that too.
	AskServer bool
}

// BreakerConfig describes each endpoint's breaker. Open 0: there is none.
type BreakerConfig struct {
	ConsecutiveFailures int
	FailureRatio        int // percent of the calls within Window; 0: any
	MinimumCalls        int // within Window, before FailureRatio counts
	Window              time.Duration
	Open                time.Duration // from opening to the first probe
	Probes              int           // calls let through to find out
}
