package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	cannotAsk = "discovery cannot ask: what was known stays in force"
	canAsk    = "discovery can ask again"
	lacking   = "Consul came back without some that it had: they are kept for the grace"
)

// How long Consul is away in TestConsulAway, and then there without a service.
const (
	outage      = 20 * time.Second
	emptyHanded = 5 * time.Second
)

// TestConsulAway kills Consul for a while, brings it back empty-handed, and later whole: no
// call fails, and then the dispatcher follows what Consul says again.
func TestConsulAway(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	daemons := startNamed(t, "pyro5", "one", "two", "three")
	one, two, three := instanceOf(t, "cam", daemons["one"]), instanceOf(t, "cam", daemons["two"]), instanceOf(t, "cam", daemons["three"])
	c.register(t, one, two)
	d := startOnCams(t, c.address, "")
	l := startLoad(t, "pyro5", d.location, inCalls, inSessions)
	l.reaches(t, "one", "two")
	lastAnswer := func() float64 { return d.source(t, "last_answer_timestamp_seconds", "cams", "consul") }
	failures := func() float64 { return d.source(t, "failures_total", "cams", "consul") }
	if lastAnswer() == 0 || failures() != 0 {
		t.Errorf("at first: last answer at %v, %v failures", lastAnswer(), failures())
	}

	away := time.Now()
	c.kill(t)
	d.entry(t, cannotAsk)
	before := lastAnswer()
	eventually(t, "the outage has lasted", func() bool { return time.Since(away) > outage })
	l.reaches(t, "one", "two")
	if got := failures(); got < 2 {
		t.Errorf("%v failures were counted", got)
	}
	if got := lastAnswer(); got != before {
		t.Errorf("the last answer was at %v, says the metric, and at %v, although nobody answers", before, got)
	}

	c.start(t)
	c.await(t, 1)
	d.entry(t, canAsk)
	d.entry(t, lacking)
	t.Logf("Consul was away for %v, and was asked in vain %v times", time.Since(away), failures())
	if got := lastAnswer(); got <= before {
		t.Errorf("the last answer is still at %v", got)
	}
	back := time.Now()
	eventually(t, "Consul has been empty-handed for a while", func() bool { return time.Since(back) > emptyHanded })
	l.reaches(t, "one", "two")

	c.register(t, one, two)
	l.progress(t)
	c.register(t, three)
	l.reaches(t, "one", "two", "three")
	c.deregister(t, one)
	l.reaches(t, "two", "three")
	if got := d.source(t, "members", "cams", "consul"); got != 2 {
		t.Errorf("the source has %v members", got)
	}
}

// TestConsulTokenRenewed takes the dispatcher's token away, and puts another one into its file.
func TestConsulTokenRenewed(t *testing.T) {
	t.Parallel()
	c := startConsulWithACLs(t)
	daemons := startNamed(t, "pyro5", "one", "two")
	c.register(t, instanceOf(t, "cam", daemons["one"]))
	file := filepath.Join(t.TempDir(), "token")
	write := func(token *api.ACLToken) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token.SecretID+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token := c.createToken(t)
	write(token)
	d := startOnCams(t, c.address, fmt.Sprintf("token_file: %q", file))
	l := startLoad(t, "pyro5", d.location, inCalls, inSessions)

	c.expireToken(t, token)
	if reason := d.entry(t, cannotAsk)["reason"]; reason != "denied" {
		t.Errorf("the reason is %v", reason)
	}
	c.register(t, instanceOf(t, "cam", daemons["two"]))
	l.reaches(t, "one") // since nobody may tell of the other
	if d.source(t, "failures_total", "cams", "consul") == 0 {
		t.Error("no failure was counted")
	}
	write(c.createToken(t))
	d.entry(t, canAsk)
	l.reaches(t, "one", "two")
}

// TestConsulLosesItsLeader kills the leader of three servers. One dispatcher asks a server that
// stays, one the leader, which is started again later, and one an agent that is no server.
func TestConsulLosesItsLeader(t *testing.T) {
	t.Parallel()
	servers := startConsulCluster(t)
	lead := leader(t, servers[0], servers)
	follower := servers[(slices.Index(servers, lead)+1)%3]
	agent := startConsulAgent(t, servers)
	daemons := startNamed(t, "pyro5", "one", "two")
	follower.register(t, instanceOf(t, "cam", daemons["one"]))

	dispatchers, loads := map[string]*running{}, map[string]*load{}
	for name, asked := range map[string]*consulServer{"follower": follower, "leader": lead, "agent": agent} {
		dispatchers[name] = startOnCams(t, asked.address, "")
		loads[name] = startLoad(t, "pyro5", dispatchers[name].location, "call:lab.worker:1:0", "session:other.worker:1:20")
	}
	lead.kill(t)
	dispatchers["leader"].entry(t, cannotAsk)
	eventually(t, "another server leads", func() bool {
		now := leader(t, follower, servers)
		return now != nil && now != lead
	})
	eventually(t, "another instance is registered", func() bool {
		return follower.api.Agent().ServiceRegister(instanceOf(t, "cam", daemons["two"])) == nil
	})
	loads["follower"].reaches(t, "one", "two")
	loads["agent"].reaches(t, "one", "two")
	loads["leader"].reaches(t, "one") // since there is nobody who could tell it of the other
	lead.start(t)
	dispatchers["leader"].entry(t, canAsk)
	loads["leader"].reaches(t, "one", "two")
	for name, d := range dispatchers {
		t.Logf("the dispatcher that asks the %s has asked in vain %v times", name, d.source(t, "failures_total", "cams", "consul"))
	}
}

// startConsulAgent starts an agent that is no server, and waits until it works.
func startConsulAgent(t *testing.T, servers []*consulServer) *consulServer {
	t.Helper()
	flags := []string{"-data-dir=" + t.TempDir()}
	for _, f := range servers[0].flags {
		if strings.HasPrefix(f, "-retry-join=") {
			flags = append(flags, f)
		}
	}
	c := newConsul(t, "agent", freePorts(t, 3), flags...)
	c.start(t)
	c.await(t, len(servers)+1)
	return c
}
