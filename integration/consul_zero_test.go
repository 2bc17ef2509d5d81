package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"
)

// tagged is an instance of a service with the tag of zero config, and meta in pairs.
func tagged(t *testing.T, service string, d *daemon, meta ...string) *api.AgentServiceRegistration {
	t.Helper()
	i := instanceOf(t, service, d)
	i.Tags, i.Meta = []string{"pyro-dispatch"}, map[string]string{}
	for k := 0; k < len(meta); k += 2 {
		i.Meta[meta[k]] = meta[k+1]
	}
	return i
}

// startZero runs a dispatcher whose configuration names no service, but has a cluster of its own.
// It is in Consul with the tag itself, which must not make it a route in a circle.
func startZero(t *testing.T, c *consulServer, fixed *daemon) *running {
	t.Helper()
	d := startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: fixed, match: {object: "l?b.??"}, cluster: fixed}]
clusters: [{name: fixed, static: [%q]}]
consul: {address: %q, discover: {tag: pyro-dispatch}, register: {name: gate, tags: [pyro-dispatch]}}
`, fixed.backend(), c.address))
	d.awaitLogged(t, "service left out", 0)
	return d
}

// awaitMembers waits until the clusters have so many endpoints.
func (d *running) awaitMembers(t *testing.T, members map[string]float64) {
	t.Helper()
	eventually(t, fmt.Sprint("there are ", members), func() bool {
		for cluster, want := range members {
			if d.source(t, "members", cluster, "consul") != want {
				return false
			}
		}
		return true
	})
}

// bumps calls the counters of two proxies by turns, and returns what each has counted. Pyro
// makes a counter for each connection.
func bumps(t *testing.T, p, q *proxy) (counts []float64) {
	t.Helper()
	for range 2 {
		for _, x := range []*proxy{p, q} {
			counts = append(counts, x.call(t, "bump").([]any)[1].(float64))
		}
	}
	return counts
}

// TestConsulZeroConfig has services come, change, contradict each other and say nonsense, while
// their clients and those of others call all the time.
func TestConsulZeroConfig(t *testing.T) {
	t.Parallel()
	c := startConsul(t)
	five := startNamed(t, "pyro5", "five", "more", "other", "fixed")
	four := startDaemon(t, "pyro4", "--name", "four")
	d := startZero(t, c, five["fixed"])

	// The same object in both dialects: what is declared tells them apart.
	main := tagged(t, "cams-five", five["five"], "pyro-object", "lab.worker, lab.default", "pyro-dialect", "pyro5",
		"pyro-mode", "call", "pyro-max-connections", "2")
	c.register(t, main,
		tagged(t, "cams-four", four, "pyro-object", "lab.worker", "pyro-dialect", "pyro4", "pyro-mode", "call"),
		tagged(t, "others", five["other"], "pyro-object", "other.*"))
	d.awaitMembers(t, map[string]float64{"cams-five": 1, "cams-four": 1, "others": 1})
	r := startRemote(t, "pyro5")
	early := r.open(t, d.location, "lab.default")
	if diff := cmp.Diff([]float64{1, 2, 3, 4}, bumps(t, early, r.open(t, d.location, "lab.default"))); diff != "" {
		t.Errorf("two clients in mode call, which share a connection (-want +got):\n%s", diff)
	}
	loads := map[string]*load{
		"four":  startLoad(t, "pyro4", d.location, "stay:lab.worker:2:0", "return:lab.worker:1:20"),
		"five":  startLoad(t, "pyro5", d.location, "stay:lab.worker:4:0", "return:lab.worker:1:20"),
		"other": startLoad(t, "pyro5", d.location, "stay:other.worker:1:0", "return:other.worker:2:20"),
		"fixed": startLoad(t, "pyro5", d.location, "stay:l\u00e4b.\u4f60\u597d:1:0", "return:l\u00e4b.\u4f60\u597d:1:20"),
	}
	undisturbed := func() {
		t.Helper()
		for _, name := range []string{"four", "other", "fixed"} {
			loads[name].reaches(t, name)
		}
	}
	undisturbed()
	loads["five"].reaches(t, "five")
	if e := d.endpoint(t, "cams-five", five["five"].backend()); e.Connections > 2 {
		t.Errorf("%d connections to the endpoint, of which there may be 2", e.Connections)
	}

	nonsense := tagged(t, "cams-five", five["more"], "pyro-object", "lab.[worker", "pyro-mode", "teleport",
		"pyro-max-connections", "-3", "pyro-timeout", "soon", "pyro-balance", "luck", "pyro-dialect", "klingon", "pyro-weight", "heavy")
	c.register(t, nonsense)
	loads["five"].reaches(t, "five", "more")
	for key := range nonsense.Meta {
		if !slices.ContainsFunc(d.lines("discovery leaves out what makes no sense"), func(line string) bool { return strings.Contains(line, key+": ") }) {
			t.Errorf("nothing is logged of the nonsense in %s", key)
		}
	}
	if got := d.source(t, "skipped_total", "", "catalog"); got != 6 {
		t.Errorf("%v values were skipped, want 6", got)
	}
	undisturbed()

	// Contradictions, and a name that is taken.
	nonsense.Meta = map[string]string{"pyro-mode": "session", "pyro-object": "other.worker"}
	taken := tagged(t, "fixed", five["other"], "pyro-object", "*")
	conflicts := d.source(t, "conflicts_total", "", "catalog")
	if conflicts != 1 { // the dispatcher itself
		t.Errorf("%v conflicts at first", conflicts)
	}
	c.register(t, nonsense, taken)
	d.awaitLogged(t, "service left out", 1)
	eventually(t, "the contradictions are counted", func() bool { return d.source(t, "conflicts_total", "", "catalog") == conflicts+3 })
	undisturbed()
	loads["five"].reaches(t, "five", "more")

	// Now they agree on another mode: who is connected stays in mode call.
	main.Meta = map[string]string{"pyro-mode": "session", "pyro-object": "lab.*", "pyro-dialect": "pyro5", "pyro-balance": "round_robin", "pyro-timeout": "1m"}
	nonsense.Meta = main.Meta
	changes := d.logged("service changed")
	c.register(t, main, nonsense)
	d.awaitLogged(t, "service changed", changes)
	eventually(t, "new clients have a connection of their own", func() bool {
		p, q := r.open(t, d.location, "lab.default"), r.open(t, d.location, "lab.default")
		return slices.Equal(bumps(t, p, q), []float64{1, 1, 2, 2})
	})
	early.call(t, "bump")
	loads["five"].reaches(t, "five", "more")
	undisturbed()
}

// TestConsulServiceReturns takes a discovered service away and brings it back.
func TestConsulServiceReturns(t *testing.T) {
	t.Parallel()
	const object = `quo"te\d'x`
	c := startConsul(t)
	daemons := startNamed(t, "pyro5", "cam", "lens", "fixed")
	d := startZero(t, c, daemons["fixed"])
	cam := tagged(t, "cam", daemons["cam"], "pyro-object", "quo*", "pyro-mode", "call")
	lens := tagged(t, "lens", daemons["lens"], "pyro-object", "lab.*")
	c.register(t, cam, lens, tagged(t, "other", daemons["lens"], "pyro-object", "other.*"))
	d.awaitMembers(t, map[string]float64{"cam": 1, "lens": 1, "other": 1})
	l := startLoad(t, "pyro5", d.location, "other:other.worker:2:20") // whom it is not to concern
	r := startRemote(t, "pyro5")
	inCall, inSession := r.open(t, d.location, object), r.open(t, d.location, "lab.worker")
	works := func(p *proxy, want string) {
		t.Helper()
		if got := p.call(t, "whoami"); got != want {
			t.Errorf("%v answered instead of %s", got, want)
		}
	}
	fails := func(p *proxy, text string) {
		t.Helper()
		if got := p.start(t, "whoami").wait(t); got.Exception != "Pyro5.errors.CommunicationError" || !strings.Contains(got.Message, text) {
			t.Errorf("%s: %s; want a CommunicationError with %q", got.Exception, got.Message, text)
		}
	}
	for range 2 {
		works(inCall, "cam")
		works(inSession, "lens")
		gone := d.logged("service gone: it gets no new clients")
		c.deregister(t, cam)
		c.deregister(t, lens)
		d.awaitLogged(t, "service gone: it gets no new clients", gone+1)
		d.awaitMembers(t, map[string]float64{"cam": 0, "lens": 0, "other": 1})
		works(inSession, "lens") // it drains
		fails(inCall, "cam")
		for _, object := range []string{object, "lab.worker"} {
			fails(r.open(t, d.location, object), "route")
		}
		l.progress(t)

		back := d.logged("service is back")
		c.register(t, cam, lens)
		d.awaitLogged(t, "service is back", back+1)
		d.awaitMembers(t, map[string]float64{"cam": 1, "lens": 1})
		works(r.open(t, d.location, object), "cam")
		works(r.open(t, d.location, "lab.worker"), "lens")
	}
	works(inCall, "cam")
	works(inSession, "lens")
	if n := len(d.lines("service discovered")); n != 3 {
		t.Errorf("%d services were discovered as new ones, want 3", n)
	}
}
