package integration

import (
	"fmt"
	"testing"
)

// openConfigured starts a facade with a configuration of its own, made of two free addresses: for
// clients, and for the name server.
func openConfigured(t *testing.T, lib string, config func(listen, nameserver string) string) *names {
	t.Helper()
	ports := freePorts(t, 2)
	n := &names{lib: lib, kind: facade, host: "127.0.0.1", port: ports[0], env: edgeEnvironment()}
	n.flags = []string{"--config", writeConfig(t, config(fmt.Sprint("127.0.0.1:", ports[1]), n.address()))}
	n.start(t)
	return n
}

// TestAdvertise hands out the address that the command line tells, for whoever is not on this
// machine.
func TestAdvertise(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			for _, advertised := range []string{"pyro.example:7777", "[2001:db8::7]:7777"} {
				n := openNames(t, lib, facade, []string{"--advertise", advertised})
				p := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--object", "lab.cam", "--ns", n.address())
				p.call(t, "register", "lab.cam")
				answers(t, p.call(t, "lookup", "lab.cam"), "PYRO:lab.cam@"+advertised)
				answers(t, p.call(t, "list").(map[string]any)["lab.cam"], "PYRO:lab.cam@"+advertised)
				p.end(t)
				n.atRest(t)
			}
		})
	}
}

// TestUntrusted has clients of an untrusted listener look names up, and change none.
func TestUntrusted(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			outside := fmt.Sprint("127.0.0.1:", freePorts(t, 1)[0])
			n := openConfigured(t, lib, func(listen, nameserver string) string { return twoSided(listen, nameserver, outside) })
			awaitPort(t, outside)
			trusted := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", "cam", "--ns", n.address())
			stranger := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", "stranger", "--ns", outside)
			trusted.call(t, "register", "lab.cam")
			answers(t, stranger.call(t, "call", "PYRONAME:lab.cam", "whoami"), "cam")
			refused(t, stranger.try(t, "register", "lab.cam"), "")
			refused(t, stranger.try(t, "register", "lab.new"), "")
			refused(t, stranger.try(t, "remove", "lab.cam"), "")
			refused(t, trusted.try(t, "lookup", "lab.new"), "unknown name: lab.new")
			answers(t, stranger.call(t, "call", "PYRONAME:lab.cam", "whoami"), "cam")
			trusted.end(t)
			stranger.end(t)
			n.atRest(t)
		})
	}
}

// TestGroupOfNames balances calls among daemons that say they are one group, and no others.
func TestGroupOfNames(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			n := openNames(t, lib, facade, nil)
			start := func(name string, metadata ...string) {
				t.Helper()
				p := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", name, "--object", "lab.cam", "--ns", n.address())
				p.call(t, "register", name, metadata)
			}
			start("lab.one", "group:cams")
			start("lab.two", "group:cams", "kind:cam")
			start("lab.alone", "kind:cam")
			asker := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--ns", n.address())
			for name, wanted := range map[string][]string{"lab.one": {"lab.one", "lab.two"}, "lab.two": {"lab.one", "lab.two"}, "lab.alone": {"lab.alone"}} {
				got := map[any]int{}
				for range 20 {
					got[asker.call(t, "call", "PYRONAME:"+name, "whoami")]++
				}
				for _, w := range wanted {
					if got[w] == 0 {
						t.Errorf("calls of %s reached %v, want %v", name, got, wanted)
					}
				}
				if len(got) != len(wanted) {
					t.Errorf("calls of %s reached %v, want %v", name, got, wanted)
				}
			}
			asker.end(t)
			n.atRest(t)
		})
	}
}

// TestNamesSurviveRestart has names, metadata and where they are reached kept in a directory.
func TestNamesSurviveRestart(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			n := openNames(t, lib, facade, keptIn(t.TempDir()))
			p := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", "cam", "--ns", n.address())
			p.call(t, "register", "lab.cam", []string{"kind:cam"})
			p.call(t, "register", "lab.gone")
			p.call(t, "remove", "lab.gone")
			before := p.call(t, "lookup", "lab.cam")
			for range 2 {
				n.restart(t)
				answers(t, p.call(t, "lookup", "lab.cam"), before.(string))
				answers(t, p.call(t, "call", "PYROMETA:kind:cam", "whoami"), "cam")
				refused(t, p.try(t, "lookup", "lab.gone"), "unknown name: lab.gone")
			}
			p.end(t)
			n.atRest(t)
		})
	}
}
