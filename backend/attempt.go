package backend

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Attempt is one client's search for an endpoint: it remembers which were
// tried, and why they failed, so that each is tried once. In mode call a client
// keeps its Attempt from call to call (Again), since it also remembers where
// the client has to stay. Its zero value with a Dialect is ready for use in mode
// session. One goroutine at a time may use it, and none while a search is under
// way; see Renew.
type Attempt struct {
	Dialect wire.Dialect
	// HashKey is what a cluster with hash balancing goes by.
	HashKey uint64
	// Handshake is what connections must have been made with, in mode call; nil
	// in mode session.
	Handshake *Handshake
	// Connect is the client's own CONNECT where a daemon has to see it: the
	// answer comes with the lease. nil where Handshake stands for it.
	Connect []byte
	// Nested: the call is made by a method that another call waits for, so it may
	// use what is kept for such calls.
	Nested bool

	// Only, where it is not zero, is where the one endpoint is that will do.
	Only Address
	// Client is the address of the client, zero where it has none: the Dialer may want
	// to know it (ClientOf).
	Client netip.Addr

	// Times, where it is not nil, is in place of the cluster's own.
	Times *SearchTimes

	home  *Endpoint // where its stream lives
	rest  *Conn     // where its oneway call may still run
	group answerID  // of endpoints with the metadata that the client was told; zero: any
	due   *Endpoint // whose turn it was when there was no connection to be had at once

	// Of one search.
	tried    map[*Endpoint]bool
	failures []error
	spent    time.Duration // in Acquire
	ticket   uint64        // its place in the queue; 0: it has not waited yet
}

// SearchTimes are the cluster's ConnectTimeout and QueueTimeout, for one client. 0 is
// none; a negative one is the cluster's own.
type SearchTimes struct{ Connect, Queue time.Duration }

type clientKey struct{}

// forClient gives the context that a's connections are dialed with.
func (a *Attempt) forClient(ctx context.Context) context.Context {
	if !a.Client.IsValid() {
		return ctx
	}
	return context.WithValue(ctx, clientKey{}, a.Client)
}

// ClientOf gives the address of the client that a Dialer is called for, as far as there
// is one and it has an address. A pooled connection may serve others later.
func ClientOf(ctx context.Context) netip.Addr {
	client, _ := ctx.Value(clientKey{}).(netip.Addr)
	return client
}

// day stands for no bound on a connection attempt.
const day = 24 * time.Hour

// times gives those in force for a.
func (c *Cluster) times(a *Attempt) (t SearchTimes) {
	t = SearchTimes{Connect: c.cfg.ConnectTimeout, Queue: c.cfg.QueueTimeout}
	if own := a.Times; own != nil && own.Connect >= 0 {
		if t.Connect = own.Connect; t.Connect == 0 {
			t.Connect = day
		}
	}
	if own := a.Times; own != nil && own.Queue >= 0 {
		t.Queue = own.Queue
	}
	return t
}

// Again begins another search, for the client's next call.
func (a *Attempt) Again() {
	clear(a.tried)
	a.failures, a.spent, a.ticket = nil, 0, 0
}

// Renew gives the Attempt for further searches of a's client, whose last one was
// cancelled. That may still be under way, and a is its.
func (c *Cluster) Renew(a *Attempt) *Attempt {
	c.lock()
	defer c.unlock()
	next := &Attempt{
		Dialect: a.Dialect, HashKey: a.HashKey, Handshake: a.Handshake, Connect: a.Connect, Nested: a.Nested,
		Only: a.Only, Client: a.Client, Times: a.Times,
		home: a.home, rest: a.rest, group: a.group, due: a.due,
	}
	if conn := a.rest; conn != nil && conn.restsFor == a {
		conn.restsFor = next
	}
	return next
}

// Stay keeps the client on the endpoint of l: a stream of its lives there.
func (a *Attempt) Stay(l *Lease) { a.home = l.Endpoint }

func (a *Attempt) try(e *Endpoint) {
	if a.tried == nil {
		a.tried = make(map[*Endpoint]bool)
	}
	a.tried[e] = true
}

func (a *Attempt) fail(e *Endpoint, err error) {
	a.failures = append(a.failures, fmt.Errorf("%s: %w", e.Address, err))
}

// Why there is no lease.
var (
	// ErrUnreachable: as many endpoints as may be tried were tried, and none
	// could be used. An *UnreachableError wraps it.
	ErrUnreachable = errors.New("no endpoint reachable")
	// ErrQueueFull: no endpoint had room, and as many wait already as may.
	ErrQueueFull = errors.New("queue full")
	// ErrQueueTimeout: no endpoint had room within queue_timeout.
	ErrQueueTimeout = errors.New("no endpoint had room in time")
	// ErrNoBudget: the call might be sent again, but too many have been lately.
	ErrNoBudget = errors.New("retry budget used up")
)

// UnreachableError is an ErrUnreachable with what went wrong at each endpoint.
type UnreachableError struct {
	Cluster  string
	Dialect  wire.Dialect
	Failures []error
}

func (e *UnreachableError) Error() string {
	if len(e.Failures) == 0 {
		return fmt.Sprintf("cluster %s: %v: none speaks %s", e.Cluster, ErrUnreachable, e.Dialect)
	}
	texts := make([]string, len(e.Failures))
	for i, f := range e.Failures {
		texts[i] = f.Error()
	}
	return fmt.Sprintf("cluster %s: %v: %s", e.Cluster, ErrUnreachable, strings.Join(texts, "; "))
}

// Unwrap gives ErrUnreachable and the causes.
func (e *UnreachableError) Unwrap() []error {
	return append([]error{ErrUnreachable}, e.Failures...)
}

// RefusedError says that a daemon refused the client's handshake. That is an
// answer, which the client should get: Answer is the whole CONNECTFAIL.
type RefusedError struct {
	Endpoint *Endpoint
	Answer   []byte
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s refused the handshake", e.Endpoint.Address)
}
