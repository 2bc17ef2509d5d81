package config

import (
	"slices"
	"time"
)

// Defaults are what routes and listeners say that say nothing themselves, of the
// time that calls take and of calls that come from calls.
type Defaults struct {
	// The time of a call, from its complete request to its complete reply, as
	// Pyro's own COMMTIMEOUT; of a stream, that of each item. Then the client gets
	// an exception (see `timeout_error`), and the reply reaches nobody any more.
	// A oneway call has no such time, only `send_timeout`. Where this key is not
	// given, the environment's PYRO_COMMTIMEOUT counts before the default, in
	// seconds. `0s`: none, as in Pyro. At most 24h.
	Timeout time.Duration `yaml:"timeout"`
	// The time in which a client or daemon must take some bytes of what it is
	// sent. The connection of one that takes none is closed. `0s`: none. At most
	// 1h.
	SendTimeout time.Duration `yaml:"send_timeout"`
	// How long a client may be connected without a call, before it is closed. It
	// costs the client a failed call: Pyro has no message for it, so that its next
	// call finds the connection closed, and fails unless MAX_RETRIES is more than
	// 0. `0s`: for ever. At most 24h.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// What a call that takes too long is raised as in the client. `pyro`: as
	// Pyro's TimeoutError, which existing code catches; the client drops its
	// connection. `builtin`: as Python's own TimeoutError; the client keeps its
	// connection, and with it the instances of its session. Nested calls, those
	// that a daemon makes while it serves one of ours, always get the second:
	// Pyro's own would break the connection of the call that they are made for.
	TimeoutError TimeoutError `yaml:"timeout_error"`
	// What becomes of a call that closes a circle of calls, each of which waits
	// for the next. `auto`: it is rejected where its daemon cannot serve it, since
	// it multiplexes, and passes otherwise. `reject`: it is rejected. `allow`: it
	// passes. It is logged and counted in any case; what is only possibly a circle
	// is never rejected.
	Circular Circular `yaml:"circular"`
	// The most calls that may wait for one another in a chain. One that is nested
	// deeper is rejected. `0`: any number. At most 1000.
	MaxDepth int `yaml:"max_depth"`
	// What is done with a call that has no correlation id. `generate`: it gets
	// one, as the daemon would give it otherwise; log and traces have the same.
	// `preserve`: it goes on without, byte for byte as it came.
	Correlation Correlation `yaml:"correlation"`
	// `true`: each call gets an annotation, which Pyro's servers pass on to the
	// calls that its method makes. It tells exactly which call those belong to,
	// also where all daemons are on one host, and through several dispatchers. A
	// message with an HMAC signature gets none.
	CallAnnotation bool `yaml:"call_annotation"`
	// How much less time a nested call has than is left of the call that it is
	// made for, so that the innermost is the first to fail, and the others can say
	// why. Less than `timeout`; the default gives way, to a quarter of that, or of
	// the shortest that a listener of the route has. Where calls of a short timeout
	// are the ones that make nested calls, set it for the routes of those. At most
	// 1h.
	BudgetMargin time.Duration `yaml:"budget_margin"`
	// A nested call that would have less time than this is refused at once. Less
	// than `timeout`; the default gives way, to a quarter of that. At most 1h.
	MinBudget time.Duration `yaml:"min_budget"`
}

// DefaultDefaults returns the defaults of Defaults.
func DefaultDefaults() Defaults {
	return Defaults{
		SendTimeout:  5 * time.Minute,
		TimeoutError: TimeoutPyro,
		Circular:     CircularAuto,
		MaxDepth:     32,
		Correlation:  CorrelationGenerate,
		BudgetMargin: 200 * time.Millisecond,
		MinBudget:    100 * time.Millisecond,
	}
}

// Policy is how a route deals with time and with calls that come from calls, with
// what it inherits. The fields are those of Defaults.
type Policy struct {
	TimeoutError   TimeoutError
	Circular       Circular
	MaxDepth       int
	Correlation    Correlation
	CallAnnotation bool
	BudgetMargin   time.Duration
	MinBudget      time.Duration
}

// PolicyOf returns the policy of a route, which need not be one of the
// configuration's own.
func (c *Config) PolicyOf(r *Route) Policy {
	d := &c.Defaults
	p := Policy{
		TimeoutError:   OwnOr(r.TimeoutError, d.TimeoutError),
		Circular:       OwnOr(r.Circular, d.Circular),
		MaxDepth:       OwnOr(r.MaxDepth, d.MaxDepth),
		Correlation:    OwnOr(r.Correlation, d.Correlation),
		CallAnnotation: OwnOr(r.CallAnnotation, d.CallAnnotation),
		BudgetMargin:   OwnOr(r.BudgetMargin, d.BudgetMargin),
		MinBudget:      OwnOr(r.MinBudget, d.MinBudget),
	}
	// Nested calls of a short time would never be worth beginning.
	if most := c.shortest(r) / 4; most > 0 {
		if r.BudgetMargin == nil && !c.Given("defaults.budget_margin") {
			p.BudgetMargin = min(p.BudgetMargin, most)
		}
		if r.MinBudget == nil && !c.Given("defaults.min_budget") {
			p.MinBudget = min(p.MinBudget, most)
		}
	}
	return p
}

// shortest is the least time that a route's calls may have, on any of its listeners; 0 if
// none of them bounds it.
func (c *Config) shortest(r *Route) time.Duration {
	if r.Timeout != nil {
		return *r.Timeout
	}
	least := time.Duration(0)
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if len(r.Match.Listener) > 0 && !slices.Contains(r.Match.Listener, l.Name) {
			continue
		}
		if d := OwnOr(l.Timeout, c.Defaults.Timeout); d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

// OwnOr returns the value of a key that a listener or route need not give, or
// what it inherits where it does not give it.
func OwnOr[T any](own *T, inherited T) T {
	if own == nil {
		return inherited
	}
	return *own
}

// ApplyCommTimeout takes a text that is Pyro's own COMMTIMEOUT, a number of
// seconds, for `defaults.timeout`, unless the file or a flag has given that: call
// it after ApplyQuick. It reports whether it took it. The error is a sentence
// about the text; c is unchanged then.
func (c *Config) ApplyCommTimeout(text string) (taken bool, err error) {
	if c.Given("defaults.timeout") {
		return false, nil
	}
	d, err := parseSeconds(text)
	if err != nil {
		return false, err
	}
	c.Defaults.Timeout = d
	return true, nil
}
