package router

import "time"

// Timeouts are the times that a call, or a client, may take. Inherit stands for
// what the next wider scope says: a route's for its listener's, a listener's for
// the cluster's where clusters have such a time. 0 is none.
type Timeouts struct {
	Call    time.Duration // from a complete request to a complete reply
	Connect time.Duration // for each endpoint: dialing and its answer to CONNECT
	Send    time.Duration // in which a peer must take some bytes
	Idle    time.Duration // a client without a call
	Queue   time.Duration // in which an endpoint must have room
}

// Inherit is no time of its own.
const Inherit time.Duration = -1

// InheritAll says nothing about any time.
func InheritAll() Timeouts {
	return Timeouts{Call: Inherit, Connect: Inherit, Send: Inherit, Idle: Inherit, Queue: Inherit}
}

// over fills in what t does not say from the wider scope.
func (t Timeouts) over(wider Timeouts) Timeouts {
	pick := func(own, other time.Duration) time.Duration {
		if own == Inherit {
			return other
		}
		return own
	}
	return Timeouts{
		Call:    pick(t.Call, wider.Call),
		Connect: pick(t.Connect, wider.Connect),
		Send:    pick(t.Send, wider.Send),
		Idle:    pick(t.Idle, wider.Idle),
		Queue:   pick(t.Queue, wider.Queue),
	}
}

// TimeoutError is what a call that took too long is raised as in the client.
// Nested calls are always raised as the builtin one: a Pyro server swallows the
// other.
type TimeoutError uint8

// The classes.
const (
	// PyroTimeout is Pyro4.errors.TimeoutError or Pyro5.errors.TimeoutError: the
	// client drops its connection, and may call again.
	PyroTimeout TimeoutError = iota
	// BuiltinTimeout is builtins.TimeoutError: the client keeps its connection.
	BuiltinTimeout
)

// Circular is what becomes of a call that closes a circle of calls, each waiting
// for the next.
type Circular uint8

// The policies.
const (
	CircularAuto   Circular = iota // rejected where its endpoint cannot serve it
	CircularReject                 // always rejected
	CircularAllow                  // only reported
)

// Policy is how a route deals with time and with calls that come from calls.
type Policy struct {
	TimeoutError TimeoutError
	Circular     Circular
	// MaxDepth is how many calls may wait for one another in a chain; 0: any number.
	MaxDepth int
	// Preserve: a call without a correlation id does not get one.
	Preserve bool
	// Annotate: a call gets an annotation that tells exactly from which call those
	// come that its method makes.
	Annotate bool
	// Margin is how much less time a nested call has than is left of the call that
	// it is made for, so that it is the first to fail.
	Margin time.Duration
	// MinBudget is the least time that it is worth beginning a nested call for.
	MinBudget time.Duration
}
