package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/discovery"
)

// sourceLog is what a source of discovery set, counted and logged.
type sourceLog struct {
	mu       sync.Mutex
	sets     []string
	failures map[discovery.Reason]int
	log      *zap.Logger
	logged   *observer.ObservedLogs
}

func newSourceLog() *sourceLog {
	core, logged := observer.New(zapcore.InfoLevel)
	return &sourceLog{failures: map[discovery.Reason]int{}, log: zap.New(core), logged: logged}
}

func (l *sourceLog) events() discovery.Events {
	return discovery.Events{
		Failed: func(r discovery.Reason) { l.mu.Lock(); l.failures[r]++; l.mu.Unlock() },
	}
}

func (l *sourceLog) add(set string) {
	l.mu.Lock()
	l.sets = append(l.sets, set)
	l.mu.Unlock()
}

// set notes members as "port port*weight".
func (l *sourceLog) set(members []backend.Member) {
	var texts []string
	for _, m := range members {
		text := strings.TrimPrefix(m.Address.String(), "127.0.0.1:")
		if m.Weight != 1 {
			text += fmt.Sprint("*", m.Weight)
		}
		texts = append(texts, text)
	}
	l.add(strings.Join(texts, " "))
}

// await waits until this was set last.
func (l *sourceLog) await(t *testing.T, set string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("set so far: %q; logged: %v", l.all(), l.logged.All())
		}
	}()
	eventually(t, fmt.Sprintf("%q is set", set), func() bool {
		sets := l.all()
		return len(sets) > 0 && sets[len(sets)-1] == set
	})
}

func (l *sourceLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.sets)
}

// awaitFailure waits until asking has failed for the reason.
func (l *sourceLog) awaitFailure(t *testing.T, r discovery.Reason) {
	t.Helper()
	eventually(t, fmt.Sprintf("the source fails with %s", r), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.failures[r] > 0
	})
}

// count returns how often a message was logged.
func (l *sourceLog) count(message string) int { return l.logged.FilterMessage(message).Len() }

// runUntilEnd runs something of discovery until the test ends.
func runUntilEnd(t *testing.T, run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func newClient(t *testing.T, config discovery.ClientConfig) *discovery.Client {
	t.Helper()
	client, err := discovery.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// startSource runs a Consul source.
func startSource(t *testing.T, client discovery.ClientConfig, config discovery.ConsulConfig) *sourceLog {
	t.Helper()
	l := newSourceLog()
	config.Cluster, config.Log, config.Events = "lab", l.log, l.events()
	source := discovery.NewConsul(newClient(t, client), config)
	runUntilEnd(t, func(ctx context.Context) { source.Run(ctx, l.set) })
	return l
}

// TestConsulServices changes services in every way, and follows what sources make of it.
func TestConsulServices(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	client := discovery.ClientConfig{Address: c.address}
	plain := startSource(t, client, discovery.ConsulConfig{Services: []string{"cam"}})
	warned := startSource(t, client, discovery.ConsulConfig{Services: []string{"cam"}, Warning: true})
	chosen := startSource(t, client, discovery.ConsulConfig{
		Services: []string{"cam", "lens"}, Tags: []string{"v2", "fast"}, Filter: `Service.Meta.rack == "1"`,
	})
	want := func(p, w, ch string) {
		t.Helper()
		plain.await(t, p)
		warned.await(t, w)
		chosen.await(t, ch)
	}
	want("", "", "")

	one, two, three := instance("cam", 7001), instance("cam", 7002), instance("lens", 7003)
	c.register(t, one, two)
	want("7001 7002", "7001 7002", "")
	two.Weights = &api.AgentWeights{Passing: 5, Warning: 2}
	two.Tags, two.Meta = []string{"fast", "v2"}, map[string]string{"rack": "1", "pyro-dialect": "pyro5"}
	c.register(t, two)
	want("7001 7002*5", "7001 7002*5", "7002*5")
	c.setState(t, two, api.HealthWarning)
	want("7001", "7001 7002*2", "")
	c.setState(t, two, api.HealthCritical)
	want("7001", "7001", "")
	c.setState(t, two, api.HealthPassing)
	three.Tags, three.Meta = two.Tags, map[string]string{"rack": "1", "pyro-weight": "9"}
	c.register(t, three)
	want("7001 7002*5", "7001 7002*5", "7002*5 7003*9")
	c.deregister(t, one)
	want("7002*5", "7002*5", "7002*5 7003*9")
	c.deregister(t, two)
	want("", "", "7003*9")
	c.register(t, one)
	want("7001", "7001", "7003*9")

	for _, l := range []*sourceLog{plain, warned, chosen} {
		if len(l.failures) > 0 || l.count("Consul's index went backwards") > 0 {
			t.Errorf("failures %v, logged %v", l.failures, l.logged.All())
		}
	}
}

// TestConsulEmptyHanded kills Consul and brings it back without anything in it: nothing happens
// to the members until it is whole again, and then everything as before.
func TestConsulEmptyHanded(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	one, two := instance("cam", 7001), instance("cam", 7002)
	c.register(t, one, two)
	l := startSource(t, discovery.ClientConfig{Address: c.address}, discovery.ConsulConfig{Services: []string{"cam"}})
	l.await(t, "7001 7002")

	c.kill(t)
	l.awaitFailure(t, discovery.ReasonUnreachable)
	c.start(t)
	c.await(t, 1)
	eventually(t, "the source notices", func() bool {
		return l.count("Consul came back without some that it had: they are kept for the grace") > 0
	})
	two.Weights = &api.AgentWeights{Passing: 2, Warning: 1} // so that its return can be seen
	c.register(t, two)
	l.await(t, "7001 7002*2")
	one.Weights = &api.AgentWeights{Passing: 3, Warning: 1}
	c.register(t, one)
	l.await(t, "7001*3 7002*2")
	c.deregister(t, two)
	l.await(t, "7001*3")
	want := []string{"7001 7002", "7001 7002*2", "7001*3 7002*2", "7001*3"}
	if diff := cmp.Diff(want, l.all()[slices.Index(l.all(), "7001 7002"):]); diff != "" {
		t.Errorf("memberships set (-want +got):\n%s", diff)
	}
	for _, message := range []string{"discovery cannot ask: what was known stays in force", "discovery can ask again"} {
		if l.count(message) == 0 {
			t.Errorf("%q was not logged", message)
		}
	}
}

// TestConsulTokenExpires takes the source's token away, and puts another into its file.
func TestConsulTokenExpires(t *testing.T) {
	t.Parallel()
	c := startConsulWithACLs(t)
	one, two := instance("cam", 7001), instance("cam", 7002)
	c.register(t, one)
	file := filepath.Join(t.TempDir(), "token")
	write := func(token *api.ACLToken) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token.SecretID+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := c.createToken(t)
	write(first)
	l := startSource(t, discovery.ClientConfig{Address: c.address, TokenFile: file}, discovery.ConsulConfig{Services: []string{"cam"}})
	l.await(t, "7001")

	c.expireToken(t, first)
	l.awaitFailure(t, discovery.ReasonDenied)
	c.register(t, two)
	write(c.createToken(t))
	l.await(t, "7001 7002")
	if diff := cmp.Diff([]string{"7001", "7001 7002"}, l.all()); diff != "" {
		t.Errorf("memberships set (-want +got):\n%s", diff)
	}
}

// TestConsulHidden: a token that may see nothing gets an empty list, which is no news.
func TestConsulHidden(t *testing.T) {
	t.Parallel()
	c := startConsulWithACLs(t)
	c.register(t, instance("cam", 7001))
	blind, _, err := c.api.ACL().TokenCreate(&api.ACLToken{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := startSource(t, discovery.ClientConfig{Address: c.address, Token: blind.SecretID}, discovery.ConsulConfig{Services: []string{"cam"}})
	l.awaitFailure(t, discovery.ReasonDenied)
	if sets := l.all(); len(sets) > 0 {
		t.Errorf("set %q", sets)
	}
}

// TestConsulLeaderKilled kills the leader of three servers: the members stay, and what changes
// under the new leader is noticed.
func TestConsulLeaderKilled(t *testing.T) {
	t.Parallel()
	servers := startConsulCluster(t)
	lead := leader(t, servers[0], servers)
	follower := servers[(slices.Index(servers, lead)+1)%3]
	one, two := instance("cam", 7001), instance("cam", 7002)
	follower.register(t, one, two)
	l := startSource(t, discovery.ClientConfig{Address: follower.address}, discovery.ConsulConfig{Services: []string{"cam"}})
	l.await(t, "7001 7002")
	from := len(l.all()) - 1

	lead.kill(t)
	eventually(t, "another server leads", func() bool {
		now := leader(t, follower, servers)
		return now != nil && now != lead
	})
	follower.register(t, instance("cam", 7003))
	l.await(t, "7001 7002 7003")
	follower.deregister(t, one)
	l.await(t, "7002 7003")
	if diff := cmp.Diff([]string{"7001 7002", "7001 7002 7003", "7002 7003"}, l.all()[from:]); diff != "" {
		t.Errorf("memberships set (-want +got):\n%s", diff)
	}
}

// TestConsulCatalog follows what zero config finds.
func TestConsulCatalog(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	l := newSourceLog()
	catalog := discovery.NewCatalog(newClient(t, discovery.ClientConfig{Address: c.address}),
		discovery.CatalogConfig{Tag: "pyro-dispatch", Log: l.log, Events: l.events()})
	runUntilEnd(t, func(ctx context.Context) {
		catalog.Run(ctx, func(services []discovery.Service) {
			text, err := json.Marshal(services)
			if err != nil {
				t.Error(err)
			}
			l.add(string(text))
		})
	})
	want := func(services ...discovery.Service) {
		t.Helper()
		text, err := json.Marshal(services)
		if err != nil {
			t.Fatal(err)
		}
		l.await(t, string(text))
	}
	want()
	cam, lens := instance("cam", 7001), instance("lens", 7002)
	cam.Tags, lens.Tags = []string{"pyro-dispatch"}, []string{"pyro-dispatch", "glass"}
	cam.Meta = map[string]string{"pyro-object": "lab.cam*", "pyro-mode": "call"}
	c.register(t, cam, lens, instance("other", 7003))
	found := discovery.Service{Name: "cam", Objects: []string{"lab.cam*"}, Mode: "call"}
	want(found, discovery.Service{Name: "lens", Objects: []string{"lens"}})
	cam.Meta["pyro-max-connections"] = "4"
	c.register(t, cam)
	found.MaxConnections = 4
	want(found, discovery.Service{Name: "lens", Objects: []string{"lens"}})
	c.deregister(t, lens)
	want(found)
}

// TestConsulRegistration registers the dispatcher: again when Consul has forgotten, and no more
// when it was deregistered.
func TestConsulRegistration(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	ready := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") }))
	t.Cleanup(ready.Close)
	l := newSourceLog()
	r := discovery.NewRegistration(newClient(t, discovery.ClientConfig{Address: c.address}), discovery.RegistrationConfig{
		Name: "dispatch", Address: "127.0.0.1", Port: 9999, Tags: []string{"lab"}, Meta: map[string]string{"version": "v0"},
		CheckURL: ready.URL + "/readyz", CheckInterval: time.Second, DeregisterAfter: time.Minute, Log: l.log, Events: l.events(),
	})
	runUntilEnd(t, r.Run)
	registered := func() *api.ServiceEntry {
		entries, _, err := c.api.Health().Service("dispatch", "lab", true, nil)
		if err != nil || len(entries) != 1 {
			return nil
		}
		return entries[0]
	}
	eventually(t, "it is registered", func() bool { return registered() != nil })
	if s := registered().Service; s.Address != "127.0.0.1" || s.Port != 9999 || s.Meta["version"] != "v0" {
		t.Errorf("registered as %+v", s)
	}
	eventually(t, "its check has run", func() bool {
		checks, err := c.api.Agent().Checks()
		return err == nil && strings.Contains(checks["service:dispatch-127.0.0.1:9999"].Output, "200 OK")
	})
	if err := c.api.Agent().ServiceDeregister("dispatch-127.0.0.1:9999"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is registered again", func() bool {
		return registered() != nil && l.count("Consul has lost our registration") == 1
	})
	c.kill(t)
	c.start(t)
	c.await(t, 1)
	eventually(t, "it is registered in the new Consul", func() bool { return registered() != nil })

	if err := r.Deregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is not registered any more", func() bool { return registered() == nil })
	if l.count("deregistered from Consul") != 1 {
		t.Errorf("logged %v", l.logged.All())
	}
}
