package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Delivery is who gets a call that is about something.
type Delivery string

// The ways to deliver.
const (
	DeliverOne   Delivery = "one"   // one endpoint, as the cluster balances
	DeliverAll   Delivery = "all"   // every endpoint
	DeliverFirst Delivery = "first" // every endpoint, and the first good answer counts
)

// UnmarshalText accepts exactly the names above.
func (d *Delivery) UnmarshalText(text []byte) error {
	return oneOf(d, text, "a way to deliver", DeliverOne, DeliverAll, DeliverFirst)
}

// Wait is for how many of several endpoints a client waits: one of the constants, or
// "quorum N".
type Wait string

// What can be waited for beside a quorum.
const (
	WaitAll  Wait = "all"
	WaitNone Wait = "none"
)

const (
	waitQuorum = "quorum "
	maxQuorum  = 1000
)

// UnmarshalText accepts the constants above, and quorum with a number.
func (w *Wait) UnmarshalText(text []byte) error {
	switch parsed := Wait(text); parsed {
	case WaitAll, WaitNone:
		*w = parsed
		return nil
	}
	number, found := strings.CutPrefix(string(text), waitQuorum)
	number = strings.TrimLeft(number, " ")
	if !found || !allDigits(number) {
		return fmt.Errorf("%q cannot be waited for: use all, none or quorum N", text)
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > maxQuorum {
		return fmt.Errorf("%q: a quorum is from 1 to %d", text, maxQuorum)
	}
	*w = Wait(waitQuorum + strconv.Itoa(n))
	return nil
}

// Quorum returns how many have to answer; ok is false for the constants.
func (w Wait) Quorum() (n int, ok bool) {
	number, ok := strings.CutPrefix(string(w), waitQuorum)
	n, err := strconv.Atoi(number)
	return n, ok && err == nil
}

// NoListener is what a client gets for a call that nobody listens to.
type NoListener string

// What it can get.
const (
	NoListenerNone  NoListener = "none"  // None
	NoListenerError NoListener = "error" // an exception
)

// UnmarshalText accepts exactly the names above.
func (n *NoListener) UnmarshalText(text []byte) error {
	return oneOf(n, text, "what to answer without a listener", NoListenerNone, NoListenerError)
}

// Expose is which endpoints of a cluster have a port of their own.
type Expose string

// What can be exposed.
const (
	ExposeNone        Expose = "none"
	ExposePerEndpoint Expose = "per_endpoint"
)

// UnmarshalText accepts exactly the names above.
func (e *Expose) UnmarshalText(text []byte) error {
	return oneOf(e, text, "what to expose", ExposeNone, ExposePerEndpoint)
}
