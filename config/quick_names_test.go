package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

const fileForNames = `
listeners: [{name: left, address: ":1", advertise: "a:1"}, {name: sock, address: "unix:/run/p.sock"}]
topics: {object: x, max_topics: 5}
name_server: {listeners: [{name: ns, address: ":2", trusted: false}], max_names: 5}
`

func TestApplyQuickToNames(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		quick      config.Quick
		listeners  []string // name=address>advertise
		names      []string // of the name server, likewise
		topics     string   // object
		validation string
	}{
		{
			name:      "a name server and topics, and nothing else",
			quick:     config.Quick{Listen: []string{":9999"}, NameServer: []string{":9090"}, Topics: text("example.blobdispatcher")},
			listeners: []string{"main=:9999>"}, names: []string{"nameserver=:9090>"}, topics: "example.blobdispatcher",
		},
		{
			name:      "seen from outside",
			quick:     config.Quick{Listen: []string{":9999"}, NameServer: []string{":9090"}, Advertise: text("pyro.example.org:5555")},
			listeners: []string{"main=:9999>pyro.example.org:5555"}, names: []string{"nameserver=:9090>pyro.example.org"},
		},
		{
			name: "several of each",
			quick: config.Quick{Listen: []string{":9999", "unix:/run/p.sock"}, NameServer: []string{"10.0.0.1:9090", "10.0.0.2:9090"},
				Backend: []string{"b:1"}, Advertise: text("[::1]")},
			listeners: []string{"listener-1=:9999>[::1]", "listener-2=unix:/run/p.sock>"},
			names:     []string{"nameserver-1=10.0.0.1:9090>[::1]", "nameserver-2=10.0.0.2:9090>[::1]"},
		},
		{
			name: "nothing given, nothing changed", file: fileForNames,
			listeners: []string{"left=:1>a:1", "sock=unix:/run/p.sock>"}, names: []string{"ns=:2>"}, topics: "x",
		},
		{
			name: "in place of a file's", file: fileForNames,
			quick:     config.Quick{NameServer: []string{":3"}, Topics: text("y"), Advertise: text("b")},
			listeners: []string{"left=:1>b", "sock=unix:/run/p.sock>"}, names: []string{"nameserver=:3>b"}, topics: "y",
		},
		{
			name:      "topics turned off",
			file:      fileForNames,
			quick:     config.Quick{Topics: text("")},
			listeners: []string{"left=:1>a:1", "sock=unix:/run/p.sock>"}, names: []string{"ns=:2>"},
		},
		{
			name:      "what means nothing",
			quick:     config.Quick{Listen: []string{":9999"}, NameServer: []string{":9999", "unix:/s"}, Topics: text("a b"), StateDir: text(" ")},
			listeners: []string{"main=:9999>"}, names: []string{"nameserver-1=:9999>", "nameserver-2=unix:/s>"}, topics: "a b",
			validation: `--state-dir: state_dir: " " is not a directory: it has blanks at its ends, or characters that cannot be printed
--topics: topics.object: "a b" cannot stand in a URI: leave out blanks and @
--nameserver: name_server.listeners[0]: ":9999" is already taken by listeners[0] (":9999")
--nameserver: name_server.listeners[1]: "unix:/s": a name server is at a host and a port`,
		},
		{
			name:       "only a name server",
			quick:      config.Quick{NameServer: []string{":9090"}},
			names:      []string{"nameserver=:9090>"},
			validation: "f.yaml: listeners: there are none: clients need at least one address to connect to",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Load("f.yaml", []byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.ApplyQuick(tt.quick); err != nil {
				t.Fatal(err)
			}
			var listeners, names []string
			for _, l := range c.Listeners {
				listeners = append(listeners, l.Name+"="+l.Address.String()+">"+l.Advertise.String())
			}
			for _, l := range c.NameServer.Listeners {
				names = append(names, l.Name+"="+l.Address.String()+">"+l.Advertise.String())
				if trusted := tt.quick.NameServer != nil; l.Trusted != trusted {
					t.Errorf("%s is trusted: %t", l.Name, l.Trusted)
				}
			}
			if diff := cmp.Diff([][]string{tt.listeners, tt.names, {tt.topics}}, [][]string{listeners, names, {c.Topics.Object}}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if tt.file != "" && (c.Topics.MaxTopics != 5 || c.NameServer.MaxNames != 5) {
				t.Error("something else of the file was changed")
			}
			if diff := cmp.Diff(tt.validation, c.Validate().Error()); diff != "" {
				t.Errorf("Validate: -want +got:\n%s", diff)
			}
		})
	}
}

func TestApplyQuickStateDir(t *testing.T) {
	c := config.Default()
	if err := c.ApplyQuick(config.Quick{Listen: []string{":1"}, Topics: text("x"), StateDir: text("/d")}); err != nil {
		t.Fatal(err)
	}
	if got := c.TopicsStorage(); got != (config.Storage{Kind: config.StorageFile, Path: "/d/topics.json"}) {
		t.Errorf("topics are kept in %+v", got)
	}
	consul := "c:1"
	if err := c.ApplyQuick(config.Quick{Consul: &consul}); err != nil {
		t.Fatal(err)
	}
	if got := c.TopicsStorage(); got != (config.Storage{Kind: config.StorageConsul, Prefix: "pyro-dispatch/topics"}) || !c.UsesConsul() {
		t.Errorf("topics are kept in %+v", got)
	}
}

// A mode for all routes does not reach those that can have only one.
func TestApplyQuickModeOfCalls(t *testing.T) {
	c, err := config.Load("x", []byte(`{listeners: [{address: ":1"}], clusters: [{name: c, static: ["a:1"]}],
		routes: [{match: {blob: {info: a}}, cluster: c}, {match: {object: a}, answer: m}, {cluster: c}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ApplyQuick(config.Quick{Mode: text("session")}); err != nil {
		t.Fatal(err)
	}
	if problems := c.Validate(); len(problems) > 0 {
		t.Error(problems)
	}
	var modes []config.Mode
	for _, r := range c.Routes {
		modes = append(modes, r.Mode)
	}
	if diff := cmp.Diff([]config.Mode{config.ModeCall, config.ModeCall, config.ModeSession}, modes); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
