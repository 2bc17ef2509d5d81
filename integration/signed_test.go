package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// signedConfig is a dispatcher that has Pyro4's key in all places.
func signedConfig(key, listen, nameserver string, daemons ...string) string {
	return fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{address: %[2]q, hmac_key_file: %[1]q}]
topics: {object: %[3]s, allow: [127.0.0.0/8], hmac_key_file: %[1]q}
name_server: {listeners: [{address: %[4]q, broadcast: false}], hmac_key_file: %[1]q}
routes:
- {match: {object: nowhere}, mode: call, cluster: nobody}
- {match: {object: none}, answer: {methods: [whoami]}}
- {match: {object: "lab.*"}, mode: call, cluster: daemons, timeout: 3s}
clusters:
- name: daemons
  static: [%[5]s]
  hmac_key_file: %[1]q
  health_check: {interval: 500ms, timeout: 500ms}
- {name: nobody, static: ["127.0.0.1:1"], hmac_key_file: %[1]q, queue_timeout: 1s, health_check: {enabled: false}}
`, key, listen, topicsObject, nameserver, quoted(daemons))
}

// TestSigned has daemons and clients of Pyro4 sign what they say, with a key that the
// dispatcher has too: what it makes and changes itself is accepted by them, and who has not
// got the key gets nothing.
func TestSigned(t *testing.T) {
	const key = "sesame"
	file := keyFile(t, key)
	start := func(name string, flags ...string) *peer {
		return startPeer(t, edgeEnvironment(), nil, append([]string{"--lib", "pyro4", "--name", name}, flags...)...)
	}
	with := func(name string, flags ...string) *peer { return start(name, append(flags, "--key", key)...) }
	camera := with("camera", "--object", "lab.cam")
	birds, birdsToo := with("birds"), with("birdsToo")
	n := openConfigured(t, "pyro4", func(listen, nameserver string) string {
		return signedConfig(file, listen, nameserver, hostPort(camera.call(t, "uri")))
	})
	d := n.d
	at := func(object string) string { return "PYRO:" + object + "@" + d.location }

	client := with("client", "--ns", n.address())
	answers(t, client.call(t, "call", at("lab.cam"), "whoami"), "camera")
	answers(t, client.call(t, "call", at("lab.cam"), "echo", "hello"), "hello")
	eventually(t, "the daemon is well", func() bool {
		alive := 0.0
		for series, value := range d.metrics(t) {
			if strings.HasPrefix(series, "pyro_dispatch_health_checks_total{") && strings.Contains(series, `result="alive"`) &&
				strings.Contains(series, `cluster="daemons"`) {
				alive += value
			}
		}
		return alive > 1
	})

	// The name server's calls are signed too.
	client.call(t, "register", "lab.client")
	answers(t, hostPort(client.call(t, "lookup", "lab.client")), d.location)

	birds.call(t, "listen", at(topicsObject), "birds")
	birdsToo.call(t, "listen", at(topicsObject), "birds")
	if got := client.call(t, "send", at(topicsObject), "birds", "owl"); got != nil {
		t.Errorf("a blob was answered with %v", got)
	}
	large := strings.Repeat("kiwi ", 100_000) // not whole when it is looked at
	client.call(t, "send", at(topicsObject), "birds", large)
	for _, l := range []*peer{birds, birdsToo} {
		if got, want := fmt.Sprint(l.call(t, "got")), fmt.Sprint([]any{[]any{"birds", "owl"}, []any{"birds", large}}); got != want {
			t.Errorf("%s got %.100s (%d bytes)", l.name, got, len(got))
		}
	}

	// Exceptions of ours are theirs to read.
	raises := func(p *peer, want, op string, args ...any) {
		t.Helper()
		if a := p.try(t, op, args...); a.Exception != want {
			t.Errorf("%s %.80q raised %q (%s), want %q", op, args, a.Exception, a.Message, want)
		}
	}
	raises(client, "Pyro4.errors.CommunicationError", "call", at("nowhere"), "whoami")
	raises(client, "Pyro4.errors.CommunicationError", "call", at("unheard.of"), "whoami")
	raises(client, "Pyro4.errors.PyroError", "call", at("none"), "whoami")
	raises(client, "Pyro4.errors.TimeoutError", "call", at("lab.cam"), "nap", 8)

	// Others are not let in, whatever they ask for.
	for _, stranger := range []*peer{start("keyless", "--ns", n.address()), start("wrong", "--ns", n.address(), "--key", "open")} {
		for _, ask := range [][]any{
			{"call", at("lab.cam"), "whoami"}, {"call", at("none"), "whoami"},
			{"send", at(topicsObject), "birds", "cuckoo"}, {"listen", at(topicsObject), "birds"}, {"lookup", "lab.client"},
		} {
			if a := stranger.try(t, ask[0].(string), ask[1:]...); a.Exception == "" {
				t.Errorf("%v: a stranger got %v", ask, a.Value)
			}
		}
	}
	for _, l := range []*peer{birds, birdsToo} {
		if got := l.call(t, "got").([]any); len(got) != 2 {
			t.Errorf("%s got %d blobs", l.name, len(got))
		}
	}
	answers(t, client.call(t, "call", at("lab.cam"), "whoami"), "camera")
}

// TestSignedNameServers has a name server with a key be followed, and be passed on.
func TestSignedNameServers(t *testing.T) {
	const key = "sesame"
	file := keyFile(t, key)
	camera := startPeer(t, edgeEnvironment(), nil, "--lib", "pyro4", "--name", "lab.cam", "--object", "lab.cam", "--key", key)
	keyed := openConfigured(t, "pyro4", func(listen, nameserver string) string {
		return signedConfig(file, listen, nameserver, hostPort(camera.call(t, "uri")))
	})
	registrar := startPeer(t, edgeEnvironment(), nil, "--lib", "pyro4", "--name", "lab.registrar", "--ns", keyed.address(), "--key", key)
	registrar.call(t, "register", "lab.registrar")
	before := openConfigured(t, "pyro4", func(listen, nameserver string) string {
		return fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{address: %[2]q}]
name_server: {listeners: [{address: %[3]q, broadcast: false}], upstream: {address: %[4]q, hmac_key_file: %[1]q}}
routes: [{match: {object: "lab.*"}, cluster: found}]
clusters:
- {name: found, name_server: {address: %[4]q, prefix: lab., interval: 1s, hmac_key_file: %[1]q}}
`, file, listen, nameserver, keyed.address())
	})
	outside := startPeer(t, edgeEnvironment(), nil, "--lib", "pyro4", "--ns", before.address())
	if got := fmt.Sprint(outside.call(t, "list")); !strings.Contains(got, "lab.registrar") {
		t.Errorf("the names that are passed on are %s", got)
	}
	eventually(t, "the cluster has what is registered", func() bool {
		members := 0.0
		for series, n := range before.d.metrics(t) {
			if strings.HasPrefix(series, "pyro_dispatch_endpoint_up{") && strings.Contains(series, `cluster="found"`) {
				members += n
			}
		}
		return members == 1
	})
}

// keyFile is a file with a key, as an editor leaves it.
func keyFile(t *testing.T, key string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSignedHealth: a daemon with a key stays up, and says what kind of server it is.
func TestSignedHealth(t *testing.T) {
	for _, test := range []struct {
		key string
		up  bool
	}{{"a key", true}, {"another", false}} {
		daemon := startDaemon(t, "pyro4", "--hmac", "a key")
		d := startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{address: "127.0.0.1:0"}]
clusters: [{name: keyed, static: [%q], hmac_key_file: %q, health_check: {interval: 200ms, timeout: 150ms, rise: 1, fall: 1, object: Pyro.Daemon}}]
routes: [{name: all, cluster: keyed}]
`, daemon.location, keyFile(t, test.key)))
		if test.up {
			eventually(t, "it is asked well", func() bool {
				alive := 0.0
				for name, n := range d.metrics(t) {
					if strings.HasPrefix(name, "pyro_dispatch_health_checks_total{") && strings.Contains(name, `result="alive"`) {
						alive += n
					}
				}
				return alive >= 3
			})
			if down := sum(d.metrics(t), "pyro_dispatch_endpoint_up"); down != 1 {
				t.Errorf("endpoint_up is %v", down)
			}
			continue
		}
		eventually(t, "it is down", func() bool { return sum(d.metrics(t), "pyro_dispatch_endpoint_up") == 0 })
	}
}
