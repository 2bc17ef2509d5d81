package router

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// What sessions tell operators.

// Observer hears what an operator should read about a session. It is called
// from within events, and may look at the session but deliver no event.
type Observer interface {
	// CallFailed: a call that had begun got no complete reply, or could not be
	// sent completely.
	CallFailed(c FailedCall)
	// StreamTimedOut: a connection to endpoint was given up that a stream of the
	// client had held without a call for too long.
	StreamTimedOut(endpoint string)
	// Circle: a call closes a circle of calls, or may.
	Circle(c FoundCircle)
}

// FailedCall describes a call for the log.
type FailedCall struct {
	Type           wire.Type
	Outcome        metrics.Outcome
	Correlation    [16]byte
	HasCorrelation bool
	Elapsed        time.Duration // since the request was complete; 0 where it never was
	Err            error         // why it could not be sent; nil where it was
}

// FoundCircle describes a call that closes a circle of calls, for the log.
type FoundCircle struct {
	inflight.Circle
	Certain  bool // otherwise it may only do so
	Rejected bool
}

// Summary is what the log says of a session when it has ended.
type Summary struct {
	Reason       Reason
	Err          error // the cause, where there is one
	Object       string
	Serializer   wire.Serializer
	Correlation  [16]byte // of the CONNECT; zero where it had none
	Endpoint     string
	Calls        uint64
	RequestBytes int64
	ReplyBytes   int64
}
