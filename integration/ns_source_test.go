package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// TestNameServerAsSource has a cluster follow what is registered in a name server of Pyro's own.
func TestNameServerAsSource(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			own := openNames(t, lib, pyrosOwn, nil)
			d := startConfigured(t, followingNames("127.0.0.1:0", own.address(), "lab."))
			register := func(name, object string) *peer {
				p := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", name, "--object", object, "--ns", own.address())
				p.call(t, "register", name)
				return p
			}
			one := register("lab.one", "lab.cam")
			register("zoo.other", "lab.cam")
			asker := startPeer(t, edgeEnvironment(), nil, "--lib", lib)
			uri := "PYRO:lab.cam@" + d.location
			// reaches calls until the members are those of the wanted, and no call fails.
			reaches := func(what string, wanted ...string) {
				t.Helper()
				eventually(t, what, func() bool {
					got := map[string]int{}
					for range 20 {
						a := asker.try(t, "call", uri, "whoami")
						if a.Exception != "" {
							return false
						}
						got[fmt.Sprint(a.Value)]++
					}
					for _, w := range wanted {
						if got[w] == 0 {
							return false
						}
					}
					return len(got) == len(wanted)
				})
			}
			reaches("the one is called", "lab.one")
			two := register("lab.two", "lab.cam")
			reaches("both are called", "lab.one", "lab.two")
			one.call(t, "remove", "lab.one")
			reaches("the one that is left is called", "lab.two")
			// A name server that is away changes nothing.
			own.server.kill(t)
			eventually(t, "it was asked in vain", func() bool { return sum(d.metrics(t), "pyro_dispatch_source_failures_total") > 1 })
			reaches("the one that was left is called", "lab.two")
			two.end(t)
		})
	}
}

// TestFacadeBeforeNameServer passes a name server on that is there already, with our addresses.
func TestFacadeBeforeNameServer(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			own := openNames(t, lib, pyrosOwn, nil)
			n := openConfigured(t, lib, func(listen, nameserver string) string { return passedOn(listen, nameserver, own.address()) })
			inside := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", "inside", "--ns", own.address())
			outside := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", "outside", "--ns", n.address())
			inside.call(t, "register", "lab.inside")
			outside.call(t, "register", "lab.outside")
			for _, name := range []string{"inside", "outside"} {
				answers(t, outside.call(t, "call", "PYRONAME:lab."+name, "whoami"), name)
				answers(t, hostPort(outside.call(t, "lookup", "lab."+name)), n.d.location)
				answers(t, inside.call(t, "call", "PYRONAME:lab."+name, "whoami"), name)
			}
			// There it is known by its own address, as it would be without us.
			answers(t, inside.call(t, "lookup", "lab.outside"), outside.call(t, "uri").(string))
			outside.call(t, "remove", "lab.inside")
			refused(t, inside.try(t, "lookup", "lab.inside"), "unknown name: lab.inside")
			refused(t, outside.try(t, "lookup", "lab.inside"), "unknown name: lab.inside")
			inside.end(t)
			outside.end(t)
			n.atRest(t)
		})
	}
}

// TestProxiesBeforeNameServer has proxies outlive the facade that they came from, before a name
// server of Pyro's own: they are let in without a lookup, as soon as that name server answers.
func TestProxiesBeforeNameServer(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			own := openNames(t, lib, pyrosOwn, nil)
			n := openConfigured(t, lib, func(listen, nameserver string) string { return passedOn(listen, nameserver, own.address()) })
			inside := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", "inside", "--object", "lab.cam", "--ns", own.address())
			inside.call(t, "register", "lab.inside", []string{"kind:cam"})
			asker := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--ns", n.address())
			uri := asker.call(t, "lookup", "lab.inside").(string)
			n.restart(t)
			answers(t, asker.call(t, "call", uri, "whoami"), "inside")

			own.server.signal(t, syscall.SIGSTOP)
			n.restart(t)
			refused(t, asker.try(t, "call", uri, "whoami"), "")
			own.server.signal(t, syscall.SIGCONT)
			eventually(t, "the name is known", func() bool { return asker.try(t, "call", uri, "whoami").Exception == "" })
			inside.end(t)
			asker.end(t)
			n.atRest(t)
		})
	}
}

// TestSameObjectAtTwoAddresses has two daemons with one object id, under two names: each name
// leads to its own.
func TestSameObjectAtTwoAddresses(t *testing.T) {
	withNames(t, func(t *testing.T, lib, kind string) {
		n := openNames(t, lib, kind, nil)
		for _, name := range []string{"lab.one", "lab.two", "lab.three"} {
			p := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", name, "--object", "lab.cam", "--ns", n.address())
			p.call(t, "register", name)
		}
		asker := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--ns", n.address())
		seen := map[string]string{}
		for range 5 {
			for _, name := range []string{"lab.one", "lab.two", "lab.three"} {
				answers(t, asker.call(t, "call", "PYRONAME:"+name, "whoami"), name)
				uri := fmt.Sprint(asker.call(t, "lookup", name))
				if was := seen[name]; was != "" && was != uri {
					t.Errorf("%s was %s, and is %s", name, was, uri)
				}
				seen[name] = uri
			}
		}
		asker.end(t)
		n.atRest(t)
	})
}

// TestBothLibrariesAtOneFacade has what one library registered found by the other's clients,
// too, and its own called.
func TestBothLibrariesAtOneFacade(t *testing.T) {
	n := openNames(t, "pyro5", facade, []string{"--topics", topicsObject})
	for _, lib := range []string{"pyro4", "pyro5"} {
		p := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", lib, "--ns", n.address())
		p.call(t, "register", "lab."+lib, []string{"kind:" + lib})
	}
	for _, lib := range []string{"pyro4", "pyro5"} {
		asker := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--ns", n.address())
		list := asker.call(t, "list").(map[string]any)
		for _, name := range []string{"lab.pyro4", "lab.pyro5", "Pyro.NameServer", topicsObject} {
			if list[name] == nil {
				t.Errorf("%s does not see %s among %v", lib, name, list)
			}
		}
		answers(t, asker.call(t, "call", "PYRONAME:lab."+lib, "whoami"), lib)
		answers(t, asker.call(t, "call", "PYROMETA:kind:"+lib, "whoami"), lib)
		asker.end(t)
	}
	n.atRest(t)
}

// TestFacadeKeepsItsName has the facade refuse what Pyro's own does: to hand out somebody else as
// the name server.
func TestFacadeKeepsItsName(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			n := openNames(t, lib, facade, nil)
			asker := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--ns", n.address())
			before := asker.call(t, "lookup", "Pyro.NameServer")
			answers(t, hostPort(before), n.address())
			refused(t, asker.try(t, "register", "Pyro.NameServer"), "")
			if got := asker.call(t, "remove", "Pyro.NameServer"); got != 0.0 {
				t.Errorf("%v names were removed", got)
			}
			answers(t, asker.call(t, "lookup", "Pyro.NameServer"), before.(string))
			asker.end(t)
			n.atRest(t)
		})
	}
}

// hostPort is the location of a URI.
func hostPort(uri any) string {
	_, location, _ := strings.Cut(fmt.Sprint(uri), "@")
	return location
}
