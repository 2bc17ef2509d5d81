package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Dialer makes connections to endpoints; net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// EndpointConfig describes one endpoint of a static cluster.
type EndpointConfig struct {
	Address Address
	Dialect wire.Dialect // 0: learnt from the endpoint's first answer
}

// ClusterConfig describes a cluster.
type ClusterConfig struct {
	Name      string
	Endpoints []EndpointConfig
	// ConnectTimeout bounds, for each endpoint, the time from dialing to its
	// answer to CONNECT.
	ConnectTimeout time.Duration
	Dialer         Dialer
	Metrics        *metrics.Set
}

// Cluster is a set of endpoints that serve the same objects. It is safe for
// concurrent use.
type Cluster struct {
	name           string
	endpoints      []*Endpoint
	connectTimeout time.Duration
	dialer         Dialer

	mu    sync.Mutex
	turns map[wire.Dialect]int // the index in endpoints at which a search begins
}

// NewCluster makes a cluster. It connects to nothing: daemons are called when
// a client comes, since a connection without a CONNECT can block one.
func NewCluster(c ClusterConfig) *Cluster {
	cl := &Cluster{
		name:           c.Name,
		connectTimeout: c.ConnectTimeout,
		dialer:         c.Dialer,
		turns:          make(map[wire.Dialect]int),
	}
	for _, e := range c.Endpoints {
		cl.endpoints = append(cl.endpoints, &Endpoint{
			Address:  e.Address,
			declared: e.Dialect,
			metrics:  c.Metrics.Endpoint(c.Name, e.Address.String()),
		})
	}
	return cl
}

// Name is the cluster's name in the configuration.
func (c *Cluster) Name() string { return c.name }

// Attempt is one client's search for an endpoint: it remembers which were
// tried, and why they failed, so that each is tried once. Its zero value with
// a Dialect is ready for use. One goroutine at a time may use it.
type Attempt struct {
	Dialect  wire.Dialect
	tried    map[*Endpoint]bool
	failures []error
}

func (a *Attempt) try(e *Endpoint) {
	if a.tried == nil {
		a.tried = make(map[*Endpoint]bool)
	}
	a.tried[e] = true
}

func (a *Attempt) fail(e *Endpoint, err error) {
	a.failures = append(a.failures, fmt.Errorf("%s: %w", e.Address, err))
}

// ErrUnreachable: every endpoint of the cluster that speaks the client's
// dialect was tried, and none could be used.
var ErrUnreachable = errors.New("no endpoint reachable")

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

// Acquire connects to an endpoint that a has not tried yet, going on to the
// next while one cannot be connected. It returns an *UnreachableError when none
// is left, and ctx's error when ctx ends first. The lease must be given back
// with Done.
func (c *Cluster) Acquire(ctx context.Context, a *Attempt) (*Lease, error) {
	for {
		e := c.pick(a)
		if e == nil {
			return nil, &UnreachableError{Cluster: c.name, Dialect: a.Dialect, Failures: a.failures}
		}
		a.try(e)
		answerBy := time.Now().Add(c.connectTimeout)
		dialCtx, cancel := context.WithDeadline(ctx, answerBy)
		conn, err := c.dialer.DialContext(dialCtx, e.Address.Network, e.Address.Addr)
		cancel()
		if err == nil {
			e.metrics.Connections.Inc()
			return &Lease{Endpoint: e, Conn: conn, AnswerBy: answerBy, attempt: a}, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e.forget()
		e.metrics.ConnectFailed(dialReason(err))
		a.fail(e, err)
	}
}

// pick chooses the endpoint whose turn it is among those that suit the attempt,
// nil where none is left.
//
// Every search, also one of an attempt that goes on after a failure, begins
// behind the endpoint that the last one of its dialect chose. So the endpoints
// that can be connected are chosen strictly in turn, each as often as any
// other: what would have gone to one that is down, or speaks the other dialect,
// is spread over all of them instead of falling to its neighbour.
func (c *Cluster) pick(a *Attempt) *Endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.search(a, c.turns[a.Dialect])
	if i < 0 {
		return nil
	}
	c.turns[a.Dialect] = (i + 1) % len(c.endpoints)
	return c.endpoints[i]
}

// search returns the index of the first endpoint, from start on, that suits the
// attempt, -1 where none does. One whose learnt dialect is the other, but was
// learnt long ago, is better than none.
func (c *Cluster) search(a *Attempt, start int) int {
	now := time.Now()
	stale := -1
	for n := range c.endpoints {
		i := (start + n) % len(c.endpoints)
		e := c.endpoints[i]
		if a.tried[e] {
			continue
		}
		switch e.match(a.Dialect, now) {
		case fits:
			return i
		case lastResort:
			if stale < 0 {
				stale = i
			}
		}
	}
	return stale
}

// dialReason tells apart why a dial failed. A Unix socket whose file is missing
// is as closed as a TCP port where nobody listens.
func dialReason(err error) metrics.ConnectFailure {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return metrics.ConnectRefused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return metrics.ConnectTimeout
	case errors.Is(err, syscall.ECONNRESET): // accepted, and closed before we could look
		return metrics.ConnectClosed
	}
	return metrics.ConnectError
}
