package backend

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"
)

// errExcluded is an end that says nothing about the endpoint.
var errExcluded = errors.New("not the endpoint's doing")

// breaker keeps calls from an endpoint that fails them. All use of it is under
// the cluster's lock.
type breaker struct {
	cluster  *Cluster
	endpoint *Endpoint
	two      *gobreaker.TwoStepCircuitBreaker[struct{}] // nil: there is none
	state    gobreaker.State                            // when it was looked at last
	changes  int                                        // of state
	inARow   int                                        // failures; gobreaker forgets those before its window
	probes   uint32
	patience time.Duration
}

func newBreaker(c *Cluster, e *Endpoint) *breaker {
	cfg := c.cfg.Breaker
	b := &breaker{cluster: c, endpoint: e}
	if cfg.Open == 0 {
		return b
	}
	b.probes = uint32(max(1, cfg.Probes))
	b.patience = cfg.Open
	b.two = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         e.Address.String(),
		MaxRequests:  b.probes,
		Interval:     cfg.Window,
		BucketPeriod: cfg.Window / 10,
		Timeout:      cfg.Open,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			if cfg.ConsecutiveFailures > 0 && b.inARow >= cfg.ConsecutiveFailures {
				return true
			}
			calls := int(n.TotalSuccesses + n.TotalFailures)
			return cfg.FailureRatio > 0 && calls >= max(1, cfg.MinimumCalls) &&
				int(n.TotalFailures)*100 >= cfg.FailureRatio*calls
		},
		IsExcluded:    func(err error) bool { return errors.Is(err, errExcluded) },
		OnStateChange: b.changed,
	})
	return b
}

// changed is called by gobreaker under its own mutex, and so under the cluster's
// lock: it only notes what is to be said.
func (b *breaker) changed(_ string, from, to gobreaker.State) {
	b.state = to
	b.changes++
	b.inARow = 0
	c, e := b.cluster, b.endpoint
	e.metrics.BreakerChanged(to.String())
	c.note(func() {
		log := c.log.Info
		if to == gobreaker.StateOpen {
			log = c.log.Warn
		}
		log("breaker changed", zap.Stringer("endpoint", e.Address),
			zap.Stringer("from", from), zap.Stringer("to", to))
	})
}

// admits reports whether a call may go to the endpoint.
func (b *breaker) admits() bool {
	if b.two == nil || b.state == gobreaker.StateClosed {
		return true
	}
	switch b.two.State() { // time alone may have changed it
	case gobreaker.StateOpen:
		return false
	case gobreaker.StateHalfOpen:
		n := b.two.Counts()
		return n.Requests-min(n.Requests, n.TotalExclusions) < b.probes
	}
	return true
}

// verdict is what is owed to a breaker for having been let through. Its zero
// value owes nothing.
type verdict struct {
	breaker *breaker // that was closed then, with so many changes behind it
	changes int
	done    func(error) // where it was not
	probe   *probe
}

// probe is a call that a half-open breaker has let through. It owes its verdict
// by a certain time: a call may take hours, and a session days, and the breaker
// would let nobody else through meanwhile. Then it counts as not having been.
type probe struct {
	over  bool
	limit *time.Timer
}

// allow asks for leave. Where it is forced, because there is no better endpoint,
// it is given in any case.
func (b *breaker) allow(forced bool) (verdict, bool) {
	if b.two == nil {
		return verdict{}, true
	}
	if b.state == gobreaker.StateClosed { // until calls fail
		return verdict{breaker: b, changes: b.changes}, true
	}
	done, err := b.two.Allow()
	if err != nil {
		return verdict{}, forced
	}
	v := verdict{done: done}
	if b.state == gobreaker.StateHalfOpen {
		p := &probe{}
		p.limit = time.AfterFunc(b.patience, func() {
			b.cluster.lock()
			defer b.cluster.unlock()
			if !p.over {
				p.over = true
				done(errExcluded)
			}
		})
		v.probe = p
	}
	return v, true
}

// end pays what is owed: nil for a success, errExcluded for neither.
func (v verdict) end(err error) {
	if b := v.breaker; b != nil && b.changes == v.changes {
		// Only now: gobreaker takes no account of what began before its window.
		if done, refused := b.two.Allow(); refused == nil {
			switch {
			case err == nil:
				b.inARow = 0
			case !errors.Is(err, errExcluded):
				b.inARow++
			}
			done(err)
		}
	}
	if v.done == nil {
		return
	}
	if p := v.probe; p != nil {
		if p.over {
			return
		}
		p.over = true
		p.limit.Stop()
	}
	v.done(err)
}
