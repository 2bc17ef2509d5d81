package discovery

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestMembers reads one instance in many forms.
func TestMembers(t *testing.T) {
	service := func(f func(*api.AgentService)) func(*api.ServiceEntry) {
		return func(e *api.ServiceEntry) { f(e.Service) }
	}
	address := func(a string) func(*api.ServiceEntry) {
		return service(func(s *api.AgentService) { s.Address = a })
	}
	socket := func(path string) func(*api.ServiceEntry) {
		return service(func(s *api.AgentService) { s.SocketPath, s.Port, s.Address = path, 0, "" })
	}
	tests := []struct {
		name     string
		entry    *api.ServiceEntry
		warning  bool
		want     string
		problems int
	}{
		{"plain", entry(1), false, ":1", 0},
		{"the node's address", entry(1, address("")), false, "192.0.2.9:1", 0},
		{"a name", entry(1, address("cam-1.lab")), false, "cam-1.lab:1", 0},
		{"IPv6", entry(1, address("2001:DB8::1")), false, "[2001:db8::1]:1", 0},
		{"IPv4 in IPv6", entry(1, address("::ffff:192.0.2.7")), false, "192.0.2.7:1", 0},
		{"a socket", entry(1, socket("/run/pyro.sock")), false, "unix:/run/pyro.sock", 0},
		{"a socket and a port", entry(1, service(func(s *api.AgentService) { s.SocketPath = "/s" })), false, "unix:/s", 0},
		{"pyro4", entry(1, meta("pyro-dialect", "pyro4")), false, ":1(pyro4)", 0},
		{"pyro5", entry(1, meta("pyro-dialect", "pyro5")), false, ":1(pyro5)", 0},

		{"a target", entry(1, meta("pyro-target", "obj_1")), false, "obj_1@:1", 0},

		{"weight", entry(1, weighing(7, 2)), false, ":1*7", 0},
		{"no weights, in Consul before 1.2.3", entry(1, weighing(0, 0)), false, ":1", 0},
		{"weight below 0", entry(1, weighing(-3, 1)), false, ":1", 0},
		{"weight beyond bounds", entry(1, weighing(1<<40, 1)), false, ":1*65535", 0},
		{"weight in meta", entry(1, weighing(7, 2), meta("pyro-weight", "9")), false, ":1*9", 0},

		{"warning", entry(1, checked("warning")), false, "", 0},
		{"warning, allowed", entry(1, checked("warning"), weighing(7, 2)), true, ":1*2", 0},
		{"warning, allowed, weight in meta", entry(1, checked("warning"), meta("pyro-weight", "9")), true, ":1*9", 0},
		{"warning, allowed, weight 0", entry(1, checked("warning"), weighing(7, 0), meta("pyro-weight", "9")), true, "", 0},
		{"passing, warning allowed", entry(1, weighing(7, 2)), true, ":1*7", 0},
		{"critical, warning allowed", entry(1, checked("critical"), checked("warning")), true, "", 0},
		{"maintenance", entry(1, checked("critical")), true, "", 0},
		{"no checks", &api.ServiceEntry{Service: entry(1).Service}, false, ":1", 0},

		{"no port", entry(0), false, "", 1},
		{"port below 0", entry(-1), false, "", 1},
		{"port beyond bounds", entry(65536), false, "", 1},
		{"no address at all", &api.ServiceEntry{Service: &api.AgentService{Port: 1}}, false, "", 1},
		{"a URL", entry(1, address("http://192.0.2.1")), false, "", 1},
		{"a port in the address", entry(1, address("192.0.2.1:1")), false, "", 1},
		{"brackets", entry(1, address("[::1]")), false, "", 1},
		{"every address", entry(1, address("0.0.0.0")), false, "", 1},
		{"every address, IPv6", entry(1, address("::")), false, "", 1},
		{"multicast", entry(1, address("224.0.0.1")), false, "", 1},
		{"a long name", entry(1, address(strings.Repeat("a", 254))), false, "", 1},
		{"a relative socket", entry(1, socket("run/pyro.sock")), false, "", 1},
		{"a long socket", entry(1, socket("/"+strings.Repeat("a", 107))), false, "", 1},
		{"a socket with NUL", entry(1, socket("/a\x00b")), false, "", 1},
		{"no service", &api.ServiceEntry{Node: &api.Node{Address: "192.0.2.1"}}, false, "", 1},
		{"null", nil, false, "", 1},
		{"a null check", entry(1, func(e *api.ServiceEntry) { e.Checks = append(e.Checks, nil) }), false, "", 1},
		{"a state nobody knows", entry(1, checked("green")), false, "", 1},

		{"a dialect nobody knows", entry(1, meta("pyro-dialect", "Pyro5")), false, ":1", 1},
		{"weight no number", entry(1, meta("pyro-weight", "heavy"), weighing(3, 3)), false, ":1*3", 1},
		{"weight 0 in meta", entry(1, meta("pyro-weight", "0"), weighing(3, 3)), false, ":1*3", 1},
		{"both", entry(1, meta("pyro-weight", "-1", "pyro-dialect", "502")), false, ":1", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &Consul{config: ConsulConfig{Warning: test.warning}}
			members, problems := s.members([]*api.ServiceEntry{entry(100), test.entry})
			want := ":100"
			if test.want != "" {
				want += " " + test.want
			}
			if got := describe(members); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if len(problems) != test.problems {
				t.Errorf("problems: %v, want %d", problems, test.problems)
			}
		})
	}
}

// TestNonsenseIsReported: once when it begins, not with each answer.
func TestNonsenseIsReported(t *testing.T) {
	l := newListener()
	r := newReporter(l.log, l.events())
	a, b := problem{where: "a", what: "is odd"}, problem{where: "b", what: "is odd"}
	c := problem{where: "c", what: "is two", conflict: true}
	steps := []struct {
		problems           []problem
		skipped, conflicts int // altogether
	}{
		{[]problem{a, a}, 1, 0},
		{[]problem{a}, 1, 0},
		{[]problem{a, b, c}, 2, 1},
		{[]problem{c, b}, 2, 1},
		{nil, 2, 1},
		{[]problem{a, c}, 3, 2},
	}
	for i, s := range steps {
		r.nonsense(s.problems)
		if l.skipped != s.skipped || l.conflicts != s.conflicts {
			t.Errorf("step %d: counted %d and %d conflicts, want %d and %d", i, l.skipped, l.conflicts, s.skipped, s.conflicts)
		}
	}
	want := map[string]int{"discovery leaves out what makes no sense": 3, "discovery found a conflict": 2}
	if diff := cmp.Diff(want, l.messages()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// FuzzMembers: whatever Consul answers gives members that can be used.
func FuzzMembers(f *testing.F) {
	if seeds, _ := filepath.Glob("testdata/fuzz/FuzzMembers/*"); len(seeds) == 0 {
		f.Fatal("the seeds are gone")
	}
	f.Add([]byte(`[null, {}, {"Service": {}}, {"Service": {"Port": 1}, "Node": {}, "Checks": [null, {}]}]`), true)
	valid, err := json.Marshal([]*api.ServiceEntry{entry(1, weighing(3, 1), checked("warning"), meta("pyro-dialect", "pyro4", "pyro-weight", "7"))})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid, true)
	f.Add([]byte(`[{"Service": {"Port": 1}, "Checks": [{"Definition": null}]}]`), true)
	f.Fuzz(func(t *testing.T, data []byte, warning bool) {
		fake := newFakeConsul()
		fake.answer(func(w http.ResponseWriter, _ *http.Request) { ledBy(w, 1); w.Write(data) })
		s := NewConsul(fake.client(t, ClientConfig{}), ConsulConfig{Services: []string{"cam"}, Warning: warning})
		a, err := s.ask(t.Context(), "cam", api.QueryOptions{})
		if err != nil && reasonOf(err) != ReasonNonsense {
			t.Errorf("error %v", err)
		}
		if err != nil {
			return
		}
		for _, m := range a.items {
			if m.Weight < 1 || m.Weight > maxWeight || !slices.Contains([]wire.Dialect{0, wire.V48, wire.V502}, m.Dialect) {
				t.Errorf("member %+v", m)
			}
			switch m.Address.Network {
			case "tcp":
				host, port, err := net.SplitHostPort(m.Address.Addr)
				if err != nil || host == "" || port == "" || port == "0" {
					t.Errorf("address %q: %v", m.Address.Addr, err)
				}
			case "unix":
				if !filepath.IsAbs(m.Address.Addr) {
					t.Errorf("address %q", m.Address.Addr)
				}
			default:
				t.Errorf("network %q", m.Address.Network)
			}
		}
	})
}
