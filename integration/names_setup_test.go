package integration

import (
	"fmt"
)

// What the tests take for granted of the product, in one place.

// topicsObject is the registry of topics, as the example calls it.
const topicsObject = "example.blobdispatcher"

// forgetfulTopics is a configuration of the topics that drops dead listeners soon.
var forgetfulTopics = fmt.Sprintf("topics: {object: %q, forget_after: 2s}\n", topicsObject)

// facadeFlags is the facade on one address, with clients' connections on another.
func facadeFlags(listen, nameserver string) []string {
	return []string{"--listen", listen, "--nameserver", nameserver}
}

// keptIn has names and topics survive a restart.
func keptIn(dir string) []string { return []string{"--state-dir", dir} }

// sharedIn has names and topics kept in Consul, for all dispatchers: that it is given is enough.
func sharedIn(consul string) []string { return []string{"--consul", consul} }

// namePorts is for names whose object id is live at two addresses. No other test uses them.
const namePorts = "32000-32399"

// facadeConfig is facadeFlags, with ports for such names.
func facadeConfig(listen, nameserver string) string {
	return fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{address: %q}]
name_server: {listeners: [{address: %q}], ports: %s}
`, listen, nameserver, namePorts)
}

// followingNames is a configuration whose cluster has the daemons that a name server knows by a prefix.
func followingNames(listen, nameserver, prefix string) string {
	return fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{address: %q}]
routes: [{cluster: found, mode: call}]
clusters:
- {name: found, name_server: {address: %q, prefix: %q, interval: 1s}}
`, listen, nameserver, prefix)
}

// passedOn is a configuration of a facade before a name server that is there already.
func passedOn(listen, nameserver, upstream string) string {
	return fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{address: %q}]
name_server: {listeners: [{address: %q}], upstream: {address: %q}}
`, listen, nameserver, upstream)
}

// twoSided is a configuration of a facade with a listener more, whose clients are not trusted.
func twoSided(listen, nameserver, outside string) string {
	return fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{address: %q}]
name_server: {listeners: [{address: %q}, {address: %q, trusted: false}]}
`, listen, nameserver, outside)
}

// exposed is a configuration that gives each endpoint a port of its own out of a range.
func exposed(admin, listen, advertise, stateDir, ports string, endpoints ...string) string {
	return fmt.Sprintf(`
admin: {address: %q}
state_dir: %q
listeners: [{address: %q, advertise: %q}]
routes: [{cluster: inside}]
clusters:
- {name: inside, static: [%s], expose: per_endpoint, ports: %s}
`, admin, stateDir, listen, advertise, quoted(endpoints), ports)
}

// exposedPath is where the admin API tells of those ports: {"endpoints": [{"endpoint": "host:port",
// "nathost": "host", "natport": 20000}]}.
const exposedPath = "/api/exposed"
