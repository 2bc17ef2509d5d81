package main

import (
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// listenerTimes are those of routes that say nothing themselves. Connecting and
// queueing have their defaults in the clusters.
func listenerTimes(d *config.Defaults, l *config.Listener) router.Timeouts {
	return router.Timeouts{
		Call:    config.OwnOr(l.Timeout, d.Timeout),
		Connect: config.OwnOr(l.ConnectTimeout, router.Inherit),
		Send:    config.OwnOr(l.SendTimeout, d.SendTimeout),
		Idle:    config.OwnOr(l.IdleTimeout, d.IdleTimeout),
		Queue:   config.OwnOr(l.QueueTimeout, router.Inherit),
	}
}

// routeTimes are a route's own.
func routeTimes(r *config.Route) router.Timeouts {
	return router.Timeouts{
		Call:    config.OwnOr(r.Timeout, router.Inherit),
		Connect: config.OwnOr(r.ConnectTimeout, router.Inherit),
		Send:    config.OwnOr(r.SendTimeout, router.Inherit),
		Idle:    config.OwnOr(r.IdleTimeout, router.Inherit),
		Queue:   config.OwnOr(r.QueueTimeout, router.Inherit),
	}
}

func policyOf(p config.Policy) router.Policy {
	policy := router.Policy{
		MaxDepth: p.MaxDepth, Preserve: p.Correlation == config.CorrelationPreserve, Annotate: p.CallAnnotation,
		Margin: p.BudgetMargin, MinBudget: p.MinBudget,
	}
	if p.TimeoutError == config.TimeoutBuiltin {
		policy.TimeoutError = router.BuiltinTimeout
	}
	switch p.Circular {
	case config.CircularReject:
		policy.Circular = router.CircularReject
	case config.CircularAllow:
		policy.Circular = router.CircularAllow
	}
	return policy
}
