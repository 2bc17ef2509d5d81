package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// TestTimes: what the configuration says at each level is what the router has
// there, and none is another thing than nothing said.
func TestTimes(t *testing.T) {
	const (
		all  = `timeout: 1s, connect_timeout: 2s, send_timeout: 3s, idle_timeout: 4s, queue_timeout: 5s`
		none = `timeout: 0s, connect_timeout: 0s, send_timeout: 0s, idle_timeout: 0s, queue_timeout: 0s`
	)
	given := router.Timeouts{Call: time.Second, Connect: 2 * time.Second, Send: 3 * time.Second, Idle: 4 * time.Second, Queue: 5 * time.Second}
	ordinary := router.Policy{MaxDepth: 32, Margin: 200 * time.Millisecond, MinBudget: 100 * time.Millisecond}
	other := router.Policy{
		TimeoutError: router.BuiltinTimeout, Circular: router.CircularReject, MaxDepth: 7, Preserve: true, Annotate: true,
		Margin: 300 * time.Millisecond, MinBudget: 400 * time.Millisecond,
	}
	const others = `timeout_error: builtin, circular: reject, max_depth: 7, correlation: preserve, call_annotation: true, budget_margin: 300ms, min_budget: 400ms`
	allow := ordinary
	allow.Circular = router.CircularAllow
	for _, c := range []struct {
		name, defaults, listener, route string
		wantListener, wantRoute         router.Timeouts
		wantPolicy                      router.Policy
	}{
		{
			name:         "nothing is said",
			wantListener: router.Timeouts{Connect: router.Inherit, Send: 5 * time.Minute, Queue: router.Inherit},
			wantRoute:    router.InheritAll(), wantPolicy: ordinary,
		},
		{
			name: "defaults", defaults: `timeout: 6s, send_timeout: 7s, idle_timeout: 8s, ` + others,
			wantListener: router.Timeouts{Call: 6 * time.Second, Connect: router.Inherit, Send: 7 * time.Second, Idle: 8 * time.Second, Queue: router.Inherit},
			wantRoute:    router.InheritAll(), wantPolicy: other,
		},
		{
			name: "a listener", defaults: `timeout: 6s, send_timeout: 7s, idle_timeout: 8s`, listener: all,
			wantListener: given, wantRoute: router.InheritAll(), wantPolicy: ordinary,
		},
		{
			name: "a listener's none", defaults: `timeout: 6s, send_timeout: 7s, idle_timeout: 8s`, listener: none,
			wantRoute: router.InheritAll(), wantPolicy: ordinary,
		},
		{
			name: "a route", defaults: `circular: reject`, listener: none, route: all + `, circular: allow`,
			wantRoute: given, wantPolicy: allow,
		},
		{
			name: "a route's none", listener: all, route: none + ", " + others,
			wantListener: given, wantPolicy: other,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := config.Load("x", []byte(`
defaults: {`+c.defaults+`}
listeners: [{address: ":9999", `+c.listener+`}]
routes: [{cluster: c, `+c.route+`}]
clusters: [{name: c, static: ["192.0.2.1:5555"]}]
`))
			if err != nil {
				t.Fatal(err)
			}
			if problems := cfg.Validate(); len(problems) > 0 {
				t.Fatal(problems)
			}
			set := metrics.New(metrics.Build{})
			f, err := newFleet(cfg, set, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			env, route := assemble(cfg, f, set, zap.NewNop()).Listeners[0].Env, f.configured[0]
			if diff := cmp.Diff(c.wantListener, env.Timeouts); diff != "" {
				t.Errorf("the listener (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.wantRoute, route.Timeouts); diff != "" {
				t.Errorf("the route (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.wantPolicy, route.Policy); diff != "" {
				t.Errorf("its policy (-want +got):\n%s", diff)
			}
		})
	}
}
