package helm

import (
	"strings"
	"testing"
)

// with returns the arguments for the least values and others, PATH=VALUE. A list is JSON.
func with(set string) []string {
	flag := "--set"
	if strings.Contains(set, "=[") {
		flag = "--set-json"
	}
	return []string{"--values", minimal, flag, set}
}

// TestRefusals holds what is said about values that contradict each other.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ name, set, want string }{
		{"no daemons", `config.clusters=null`, `config.clusters: name the daemons`},
		{"no daemons, nothing to discover", `config.clusters=null,config.consul.discover.tag=`, `config.clusters: name the daemons`},
		{"name of a Service that kills", `fullnameOverride=pyro-gate`, `fullnameOverride: a Service named "pyro-gate" would kill every Pyro5 process`},
		{"address of the admin server", `config.admin.address=127.0.0.1:9990`, `config.admin.address: the chart sets it`},
		{"address of Consul in two places", `config.consul.address=a:8500`, `config.consul.address: give it as consul.address`},
		{"token in the ConfigMap", `config.consul.token=t`, `config.consul.token: a ConfigMap is no place for a secret`},
		{"two tokens", `consul.address=a:8500,consul.token.value=t,consul.token.existingSecret=s`, `consul.token: give value or existingSecret, not both`},
		{"token for nobody", `consul.token.existingSecret=s`, `consul.token: without consul.address nothing uses it`},
		{"privileged port", `config.listeners=[{"name": "main", "address": ":999"}]`, `config.listeners: main: ":999": the container has no privileges`},
		{"port of the admin server", `admin.port=9999`, `config.listeners: main: port 9999 belongs to the admin server`},
		{"port given twice", `config.listeners=[{"name": "main", "address": ":9999"}, {"address": "0.0.0.0:9999"}]`, `config.listeners: 0.0.0.0:9999: port 9999 belongs to main`},
		{"only loopback", `config.listeners=[{"address": "127.0.0.1:9999"}, {"address": "[::1]:9999"}, {"address": "unix:/run/d.sock"}]`, `config.listeners: none can be reached`},
		{"port of no listener", `service.ports.mian.port=9000`, `service.ports: no listener that clients can reach is called "mian"`},
		{"drain timeout without unit", `config.drain_timeout=30`, `config.drain_timeout: "30" is not a duration`},
		{"killed while draining", `terminationGracePeriodSeconds=35`, `terminationGracePeriodSeconds: must be more than 35`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := template(t, "lab", with(tt.set)...); r.err == nil || !strings.Contains(r.stderr, tt.want) {
				t.Errorf("%v: %s\nwant %q", r.err, r.stderr, tt.want)
			}
		})
	}
}

// TestAccepted are the neighbours of what is refused.
func TestAccepted(t *testing.T) {
	for _, set := range []string{
		`terminationGracePeriodSeconds=36`,
		`config.listeners=[{"address": ":1024"}, {"address": "127.0.0.1:9998"}]`,
		`service.ports.main.port=443`,
		`preStopSleepSeconds=0`,
		`config.drain_timeout=null`,
		`serviceAccount.create=false`,
		`config.clusters=null,config.routes=null,consul.address=consul.svc:8500,config.consul.discover.tag=pyro-dispatch`,
	} {
		configOf(t, manifests(t, rendered(t, "lab", with(set)...)))
	}
}

// TestSchema wants values of the wrong shape to be refused by values.schema.json, which
// makes helm name the key. The rest of the message is helm's own.
func TestSchema(t *testing.T) {
	for _, tt := range []struct{ set, key string }{
		{`replica=3`, "replica"},
		{`replicas=three`, "replicas"},
		{`service.type=ExternalName`, "type"},
		{`service.port=9999`, "port"},
		{`service.ports.main.port=70000`, "port"},
		{`image.pullPolicy=Sometimes`, "pullPolicy"},
		{`image.digest=latest`, "digest"},
		{`admin.port=80`, "port"},
		{`config.listeners=[{"address": 9999}]`, "address"},
		{`config.listeners=[{"address": "nowhere"}]`, "address"},
		{`config.listeners=[]`, "listeners"},
		{`config.clusters=main`, "clusters"},
		{`consul.token.file=x`, "file"},
		{`livenessProbe.httpGet.path=/`, "httpGet"},
		{`podDisruptionBudget.minAvailable=half`, "minAvailable"},
		{`podAnnotations.port=9990`, "port"},
		{`fullnameOverride=Lab`, "fullnameOverride"},
	} {
		r := template(t, "lab", with(tt.set)...)
		if r.err == nil || !strings.Contains(r.stderr, "don't meet the specifications of the schema") || !strings.Contains(r.stderr, tt.key) {
			t.Errorf("%s: %v: %s\nwant a message about the schema and %s", tt.set, r.err, r.stderr, tt.key)
		}
	}
}
