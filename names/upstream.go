package names

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Remote is a connection to an existing name server; control.Client is one. An
// exception that the name server raised is a *values.Exception; after any other error
// the connection is given up, and closed if it is an io.Closer. One call at a time.
type Remote interface {
	Call(ctx context.Context, method string, args []values.Value, kwargs values.Dict) (values.Value, error)
}

// UpstreamConfig is what an Upstream needs.
type UpstreamConfig struct {
	// Dialect is that of the name server: how it is asked for metadata depends on it.
	// 0: what a connection's Dialect method says, otherwise Pyro5's.
	Dialect     wire.Dialect
	Connections int           // at most, 4 if zero
	Wait        time.Duration // for a connection and an answer in all, 4 s if zero
	Log         *zap.Logger   // may be nil
}

// Upstream is the names of an existing name server, which is asked each time. While it
// is down, calls wait for it a little and then raise a NamingError.
type Upstream struct {
	dial   func(context.Context) (Remote, error)
	config UpstreamConfig
	log    *zap.Logger
	slots  chan struct{} // a token for each connection in use

	mu      sync.Mutex
	idle    []Remote
	backoff time.Duration
	next    time.Time // not dialled before
	last    error     // of dialling
	closed  bool
}

// How long dialling rests after it failed.
const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 5 * time.Second
)

// NewUpstream makes one that connects when it is asked something.
func NewUpstream(dial func(context.Context) (Remote, error), config UpstreamConfig) *Upstream {
	if config.Connections <= 0 {
		config.Connections = 4
	}
	if config.Wait <= 0 {
		config.Wait = 4 * time.Second
	}
	if config.Log == nil {
		config.Log = zap.NewNop()
	}
	return &Upstream{dial: dial, config: config, log: config.Log,
		slots: make(chan struct{}, config.Connections)}
}

// Close closes the connections that are not in use, and the others after it.
func (u *Upstream) Close() {
	u.mu.Lock()
	u.closed = true
	idle := u.idle
	u.idle = nil
	u.mu.Unlock()
	for _, r := range idle {
		hangUp(r)
	}
}

func hangUp(r Remote) {
	if c, ok := r.(io.Closer); ok {
		_ = c.Close() // it is of no use any more either way
	}
}

var errClosed = errors.New("closed")

// call asks the name server. Questions are asked again on a new connection when the old
// one has broken, as it has when the name server was started anew. Changes are not,
// since they may have been made; so the connection proves itself with a ping first.
// request gets the name server's dialect.
func (u *Upstream) call(ctx context.Context, change bool, request func(wire.Dialect) (string, values.Dict)) (values.Value, wire.Dialect, error) {
	ctx, cancel := context.WithTimeout(ctx, u.config.Wait)
	defer cancel()
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		return nil, 0, u.down(ctx, ctx.Err())
	}
	for {
		r, fresh, err := u.connection(ctx)
		if err != nil {
			return nil, 0, u.down(ctx, err)
		}
		d := u.dialectOf(r)
		if change && !fresh {
			if _, err = r.Call(ctx, "ping", nil, nil); broken(err) {
				u.drop(r, err)
				continue
			}
		}
		method, kwargs := request(d)
		v, err := r.Call(ctx, method, nil, kwargs)
		if !broken(err) {
			u.keep(r)
			return v, d, err
		}
		u.drop(r, err)
		if change || fresh || ctx.Err() != nil {
			return nil, 0, u.down(ctx, err)
		}
	}
}

// broken says whether the connection is of no more use.
func broken(err error) bool {
	var raised *values.Exception
	return err != nil && !errors.As(err, &raised)
}

func (u *Upstream) down(ctx context.Context, err error) error {
	u.mu.Lock()
	if last := u.last; last != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		err = last
	}
	u.mu.Unlock()
	u.log.Warn("upstream name server does not answer", control.CorrelationField(ctx), zap.Error(err))
	return namingError("the name server behind this one cannot be reached")
}

// connection takes one that is idle, or makes one. fresh: just made.
func (u *Upstream) connection(ctx context.Context) (r Remote, fresh bool, err error) {
	for {
		u.mu.Lock()
		if u.closed {
			u.mu.Unlock()
			return nil, false, errClosed
		}
		if n := len(u.idle); n > 0 {
			r = u.idle[n-1]
			u.idle = u.idle[:n-1]
			u.mu.Unlock()
			return r, false, nil
		}
		wait := time.Until(u.next)
		u.mu.Unlock()
		if wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil, false, ctx.Err()
			}
		}
		r, err = u.dial(ctx)
		u.mu.Lock()
		if err == nil {
			u.backoff, u.next, u.last = 0, time.Time{}, nil
			u.mu.Unlock()
			return r, true, nil
		}
		u.last = err
		u.backoff = min(max(2*u.backoff, backoffFirst), backoffMost)
		u.next = time.Now().Add(u.backoff)
		u.mu.Unlock()
		if ctx.Err() != nil {
			return nil, false, err
		}
	}
}

func (u *Upstream) keep(r Remote) {
	u.mu.Lock()
	closed := u.closed
	if !closed {
		u.idle = append(u.idle, r)
	}
	u.mu.Unlock()
	if closed {
		hangUp(r)
	}
}

// drop gives up a connection, and with it those that are idle: what ended one has most
// likely ended all.
func (u *Upstream) drop(r Remote, err error) {
	u.log.Info("connection to the upstream name server given up", zap.Error(err))
	u.mu.Lock()
	idle := u.idle
	u.idle = nil
	u.mu.Unlock()
	hangUp(r)
	for _, r := range idle {
		hangUp(r)
	}
}

func (u *Upstream) dialectOf(r Remote) wire.Dialect {
	if u.config.Dialect != 0 {
		return u.config.Dialect
	}
	if known, ok := r.(interface{ Dialect() wire.Dialect }); ok {
		return known.Dialect()
	}
	return wire.V502
}
