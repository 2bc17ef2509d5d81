package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// TestLoadDefaults gives every key of the defaults, and each that a listener or a
// route may have in their place, another value than its default.
func TestLoadDefaults(t *testing.T) {
	const doc = `
defaults:
  timeout: 30s
  send_timeout: 0s
  idle_timeout: 1h
  timeout_error: builtin
  circular: reject
  max_depth: 0
  correlation: preserve
  call_annotation: true
  budget_margin: 1s
  min_budget: 0s
listeners: [{address: ":1", timeout: 1s, connect_timeout: 2s, send_timeout: 3s, idle_timeout: 4s, queue_timeout: 5s}]
routes:
  - cluster: c
    timeout: 0s
    connect_timeout: 0s
    send_timeout: 0s
    idle_timeout: 0s
    queue_timeout: 0s
    timeout_error: pyro
    circular: allow
    max_depth: 1000
    correlation: generate
    call_annotation: false
    budget_margin: 0s
    min_budget: 1h
clusters: [{name: c, static: ["a:1"]}]
`
	want := config.Default()
	want.Defaults = config.Defaults{
		Timeout: 30 * time.Second, IdleTimeout: time.Hour, TimeoutError: config.TimeoutBuiltin,
		Circular: config.CircularReject, Correlation: config.CorrelationPreserve, CallAnnotation: true,
		BudgetMargin: time.Second,
	}
	l := config.DefaultListener()
	l.Name, l.Address = ":1", tcp(":1")
	l.Timeout, l.ConnectTimeout, l.SendTimeout = new(time.Second), new(2*time.Second), new(3*time.Second)
	l.IdleTimeout, l.QueueTimeout = new(4*time.Second), new(5*time.Second)
	want.Listeners = []config.Listener{l}
	r := config.DefaultRoute()
	r.Name, r.Cluster = "c", "c"
	r.Timeout, r.ConnectTimeout, r.SendTimeout = new(time.Duration(0)), new(time.Duration(0)), new(time.Duration(0))
	r.IdleTimeout, r.QueueTimeout = new(time.Duration(0)), new(time.Duration(0))
	r.TimeoutError, r.Circular, r.MaxDepth = new(config.TimeoutPyro), new(config.CircularAllow), new(1000)
	r.Correlation, r.CallAnnotation = new(config.CorrelationGenerate), new(false)
	r.BudgetMargin, r.MinBudget = new(time.Duration(0)), new(time.Hour)
	want.Routes = []config.Route{r}
	c := config.DefaultCluster()
	c.Name, c.Static = "c", []config.Endpoint{{Address: tcp("a:1"), Weight: 1}}
	want.Clusters = []config.Cluster{c}
	loads(t, doc, want)
}

func TestPolicyOf(t *testing.T) {
	ordinary := config.Policy{
		TimeoutError: config.TimeoutPyro, Circular: config.CircularAuto, MaxDepth: 32,
		Correlation: config.CorrelationGenerate, BudgetMargin: 200 * time.Millisecond, MinBudget: 100 * time.Millisecond,
	}
	other := config.Policy{
		TimeoutError: config.TimeoutBuiltin, Circular: config.CircularReject, MaxDepth: 7,
		Correlation: config.CorrelationPreserve, CallAnnotation: true, BudgetMargin: 2 * time.Second, MinBudget: time.Second,
	}
	budget := func(margin, least time.Duration) config.Policy {
		p := ordinary
		p.BudgetMargin, p.MinBudget = margin, least
		return p
	}
	const otherwise = `timeout_error: builtin, circular: reject, max_depth: 7, correlation: preserve, call_annotation: true, budget_margin: 2s, min_budget: 1s`
	for _, tt := range []struct {
		name, defaults, route string
		want                  config.Policy
	}{
		{"nothing is said", "", "", ordinary},
		{"little time on a listener", "", "match: {listener: [short, long]}", budget(50*time.Millisecond, 50*time.Millisecond)},
		{"little time on another listener", "", "match: {listener: [long]}", ordinary},
		{"little time on a listener, but not on the route", "", "match: {listener: [short]}, timeout: 1m", ordinary},
		{"the defaults are inherited", otherwise, "", other},
		{"a route's own", "", otherwise, other},
		{"a route's own counts before the defaults", otherwise,
			`timeout_error: pyro, circular: auto, max_depth: 32, correlation: generate, call_annotation: false, budget_margin: 200ms, min_budget: 100ms`, ordinary},
		{"any number", "max_depth: 9", "max_depth: 0", func() config.Policy { p := ordinary; p.MaxDepth = 0; return p }()},
		{"much time", "timeout: 800ms", "", ordinary},
		{"little time", "timeout: 400ms", "", budget(100*time.Millisecond, 100*time.Millisecond)},
		{"less", "timeout: 100ms", "", budget(25*time.Millisecond, 25*time.Millisecond)},
		{"little time on a route", "", "timeout: 100ms", budget(25*time.Millisecond, 25*time.Millisecond)},
		{"little time, but not on the route", "timeout: 100ms", "timeout: 1m", ordinary},
		{"little time, but not bounded on the route", "timeout: 100ms", "timeout: 0s", ordinary},
		{"what is written does not give way", "timeout: 100ms, budget_margin: 90ms, min_budget: 80ms", "", budget(90*time.Millisecond, 80*time.Millisecond)},
		{"nor on the route", "timeout: 100ms", "budget_margin: 2s, min_budget: 3s", budget(2*time.Second, 3*time.Second)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			listeners := `{address: ":1"}`
			if strings.Contains(tt.route, "listener") {
				listeners = `{name: short, address: ":1", timeout: 200ms}, {name: long, address: ":2", timeout: 1m}`
			}
			c, err := config.Load("x", []byte(`{defaults: {`+tt.defaults+`}, listeners: [`+listeners+`],
				routes: [{`+strings.TrimPrefix(tt.route+", cluster: c", ", ")+`}], clusters: [{name: c, static: ["a:1"]}]}`))
			if err != nil {
				t.Fatal(err)
			}
			if problems := c.Validate(); len(problems) > 0 {
				t.Error(problems)
			}
			if diff := cmp.Diff(tt.want, c.PolicyOf(&c.Routes[0])); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestApplyCommTimeout(t *testing.T) {
	const negative, long, short = ` is negative`, ` is too long: at most 86400, or 0 for none`, ` is too short: at least 0.001, or 0 for none`
	const none = ` is not a number of seconds: write it as Pyro has it, as in 30 or 1.5`
	for text, want := range map[string]struct {
		d       time.Duration
		problem string
	}{
		"0": {}, "0.0": {}, "-0": {}, "1e-400": {},
		"1": {d: time.Second}, "1.5": {d: 1500 * time.Millisecond}, " 2\n": {d: 2 * time.Second}, "+3.": {d: 3 * time.Second},
		".25": {d: 250 * time.Millisecond}, "1e3": {d: 1000 * time.Second}, "0.1": {d: 100 * time.Millisecond},
		"0.001": {d: time.Millisecond}, "86400": {d: 24 * time.Hour},
		"0.0009": {problem: short}, "86400.1": {problem: long}, "1e999": {problem: long}, "inf": {problem: long},
		"-1": {problem: negative}, "-inf": {problem: negative},
		"": {problem: none}, "nan": {problem: none}, "30s": {problem: none}, "0x10": {problem: none}, "1,5": {problem: none}, "none": {problem: none},
	} {
		c := config.Default()
		taken, err := c.ApplyCommTimeout(text)
		got := ""
		if err != nil {
			_, got, _ = strings.Cut(err.Error(), `" `)
			got = " " + got
		}
		if got != want.problem || taken != (err == nil) || c.Defaults.Timeout != want.d {
			t.Errorf("%q: took %t, %v, error %v; want %v and %q", text, taken, c.Defaults.Timeout, err, want.d, want.problem)
		}
	}
}

// What the file or a flag says counts before Pyro's variable, also where it says
// none.
func TestCommTimeoutComesLast(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		quick      config.Quick
		taken      bool
		want       time.Duration
	}{
		{"nothing else", "", config.Quick{}, true, 7 * time.Second},
		{"other defaults", "defaults: {send_timeout: 1s}", config.Quick{Circular: text("allow")}, true, 7 * time.Second},
		{"the file", "defaults: {timeout: 3s}", config.Quick{}, false, 3 * time.Second},
		{"the file says none", "defaults: {timeout: 0s}", config.Quick{}, false, 0},
		{"a flag", "", config.Quick{Timeout: text("4s")}, false, 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Load("x", []byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.ApplyQuick(tt.quick); err != nil {
				t.Fatal(err)
			}
			taken, err := c.ApplyCommTimeout("7")
			if err != nil || taken != tt.taken || c.Defaults.Timeout != tt.want {
				t.Errorf("took it: %t, and has %v (%v)", taken, c.Defaults.Timeout, err)
			}
		})
	}
	c, err := config.Load("x", []byte("defaults: {timeout: 3s}"))
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := c.ApplyCommTimeout("nonsense"); taken || err != nil {
		t.Errorf("looked at what does not count: %v", err)
	}
}

// FuzzCommTimeout: whatever is taken is a timeout that the file may have, too.
func FuzzCommTimeout(f *testing.F) {
	seedsMustExist(f)
	f.Fuzz(func(t *testing.T, text string) {
		c := config.Default()
		taken, err := c.ApplyCommTimeout(text)
		d := c.Defaults.Timeout
		if taken != (err == nil) || !taken && d != 0 || d != 0 && (d < time.Millisecond || d > 24*time.Hour) {
			t.Errorf("%q: took it %t, %v (%v)", text, taken, d, err)
		}
	})
}
