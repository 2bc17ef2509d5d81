package integration

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// At the edge of the private network, on all of the host's addresses: where clients connect, and
// the name server.
const (
	edgeClients = "9999"
	edgeNames   = "9090"
)

// TestNAT has daemons inside a network whose addresses mean nothing outside, and the dispatcher
// on the host between. What a daemon registers inside can be called from outside at once; each
// side is told the edge's address on its own side; callbacks go both ways.
func TestNAT(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			t.Run(lib+"/"+family, func(t *testing.T) {
				net := newNatted(t)
				d := net.dispatch(t, facadeFlags(":"+edgeClients, ":"+edgeNames)...)
				cam, viewer := net.peers(t, lib, family)
				in, out := insideAddresses[family], outsideAddresses[family]

				cam.call(t, "register", "lab.cam")
				viewer.call(t, "register", "field.viewer")
				// Whoever asks, and for whomever: it is the edge, on the asker's side.
				for asker, edge := range map[*peer]string{cam: in.edge, viewer: out.edge} {
					for name, who := range map[string]string{"lab.cam": "cam", "field.viewer": "viewer"} {
						at(t, asker.call(t, "lookup", name), edge)
						at(t, asker.call(t, "list").(map[string]any)[name], edge)
						answers(t, asker.call(t, "call", "PYRONAME:"+name, "whoami"), who)
					}
					at(t, asker.call(t, "lookup", "Pyro.NameServer"), edge)
				}

				// The daemon inside calls the client outside, whose address it can reach.
				called := viewer.call(t, "callback", "PYRONAME:lab.cam")
				if got := fmt.Sprint(called); !strings.HasPrefix(got, "[cam viewer ") {
					t.Errorf("the callback from inside gave %s", got)
				}
				// What is outside calls the one inside: by its name.
				asked := cam.call(t, "call", "PYRONAME:field.viewer", "ask", "PYRONAME:lab.cam")
				if got := fmt.Sprint(asked); !strings.HasPrefix(got, "[viewer cam ") {
					t.Errorf("the callback from outside gave %s", got)
				}
				// And both at once, each in the other's call.
				if got := fmt.Sprint(viewer.call(t, "call", "PYRONAME:lab.cam", "ask", "PYRONAME:field.viewer")); !strings.HasPrefix(got, "[cam viewer ") {
					t.Errorf("a call of a call gave %s", got)
				}
				cam.call(t, "remove", "lab.cam")
				refused(t, viewer.try(t, "call", "PYRONAME:lab.cam", "whoami"), "unknown name: lab.cam")
				cam.end(t)
				viewer.end(t)
				net.atRest(t, d)
			})
		}
	}
}

// TestNATBroadcast has who looks for a name server find it on either side, by broadcast as the
// libraries do it, and by a question to one address.
func TestNATBroadcast(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			net := newNatted(t)
			net.dispatch(t, facadeFlags(":"+edgeClients, ":"+edgeNames)...)
			for _, family := range []string{"ipv4", "ipv6"} {
				cam, viewer := net.peers(t, lib, family)
				for p, edge := range map[*peer]string{cam: insideAddresses[family].edge, viewer: outsideAddresses[family].edge} {
					if family == "ipv4" { // the libraries have no other
						answers(t, p.call(t, "locate"), "PYRO:Pyro.NameServer@"+join(edge, edgeNames))
					}
					answers(t, p.call(t, "datagram", edge, 9091), "PYRO:Pyro.NameServer@"+join(edge, edgeNames))
				}
			}
		})
	}
}

// TestNATWithoutUs shows that the network is what it is meant to be: by Pyro's own name server
// at the edge, what is inside learns of what is outside and calls it, but not the other way
// round.
func TestNATWithoutUs(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			t.Run(lib+"/"+family, func(t *testing.T) {
				net := newNatted(t)
				bind := map[string]string{"ipv4": "0.0.0.0", "ipv6": "::"}[family]
				startPyrosOwn(t, lib, edgeEnvironment(), net.edge, "-n", bind, "-p", edgeNames)
				cam, viewer := net.peers(t, lib, family)
				cam.call(t, "register", "lab.cam")
				viewer.call(t, "register", "field.viewer")
				at(t, viewer.call(t, "lookup", "lab.cam"), insideAddresses[family].own)
				answers(t, cam.call(t, "call", "PYRONAME:field.viewer", "whoami"), "viewer")
				refused(t, viewer.try(t, "call", "PYRONAME:lab.cam", "whoami"), "")
				if a := cam.try(t, "call", "PYRONAME:field.viewer", "ask", "PYRONAME:lab.cam"); a.Exception == "" {
					t.Errorf("the daemon inside was called from outside: %v", a.Value)
				}
				if family == "ipv4" {
					for p, edge := range map[*peer]string{cam: insideAddresses[family].edge, viewer: outsideAddresses[family].edge} {
						answers(t, p.call(t, "locate"), "PYRO:Pyro.NameServer@"+join(edge, edgeNames))
					}
				}
			})
		}
	}
}

// TestNATHost gives a daemon inside a port at the edge, by which it is known outside: proxies
// for its objects that travel in payloads, as arguments and as results, can be called there.
func TestNATHost(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			t.Run(lib+"/"+family, func(t *testing.T) {
				network := newNatted(t)
				in, out := insideAddresses[family], outsideAddresses[family]
				const port = "4500"
				state := t.TempDir()
				start := func() (*running, exposure) {
					yaml := exposed("127.0.0.1:9990", ":"+edgeClients, join(out.edge, edgeClients), state, "20000-20999", join(in.own, port), join(in.own, "4501"))
					d := network.dispatch(t, "--config", writeConfig(t, yaml))
					return d, network.exposure(t, d, join(in.own, port))
				}
				d, e := start()
				if strings.Trim(e.NATHost, "[]") != out.edge || e.NATPort < 20000 || e.NATPort > 20999 {
					t.Fatalf("the endpoint is exposed at %+v", e)
				}
				names := startPyrosOwn(t, lib, edgeEnvironment(), network.outside, "-n", out.own, "-p", "9090")
				defer names.kill(t)
				cam := startPeer(t, append(edgeEnvironment(), e.variables()...), network.inside, "--lib", lib, "--name", "cam", "--bind", in.own, "--port", port, "--ns", join(out.own, "9090"))
				viewer := startPeer(t, edgeEnvironment(), network.outside, "--lib", lib, "--name", "viewer", "--bind", out.own, "--ns", join(out.own, "9090"))
				exposedAt := e.location()
				if uri := fmt.Sprint(cam.call(t, "uri")); !strings.HasSuffix(uri, "@"+exposedAt) {
					t.Fatalf("the daemon is known as %s, not at %s", uri, exposedAt)
				}
				cam.call(t, "register", "lab.cam")
				viewer.call(t, "register", "field.viewer")
				travels := func() {
					t.Helper()
					answers(t, viewer.call(t, "call", "PYRONAME:lab.cam", "whoami"), "cam")
					if got := fmt.Sprint(viewer.call(t, "itself", "PYRONAME:lab.cam")); !strings.HasSuffix(got, "@"+exposedAt+" cam]") {
						t.Errorf("the proxy in a result is %s", got)
					}
					if got := fmt.Sprint(cam.call(t, "callback", "PYRONAME:field.viewer")); !strings.HasPrefix(got, "[viewer cam ") {
						t.Errorf("by the proxy in an argument %s was called", got)
					}
				}
				travels()
				// The same daemon has the same port from the next dispatcher.
				d.signal(t, syscall.SIGTERM)
				d.exitCode(t)
				d, again := start()
				if again != e {
					t.Errorf("the endpoint was exposed at %+v, and is at %+v", e, again)
				}
				travels()
				cam.end(t)
				viewer.end(t)
				network.atRest(t, d)
			})
		}
	}
}

// dispatch runs the dispatcher at the edge.
func (n *natted) dispatch(t *testing.T, flags ...string) *running {
	t.Helper()
	if !slices.Contains(flags, "--config") {
		flags = append(flags, "--admin", "127.0.0.1:9990")
	}
	d := runDispatcher(t, n.edge.wrapped(t, dispatcher), flags...)
	if !slices.Contains(flags, "--config") {
		const connect = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)"
		eventually(t, "the name server at the edge listens", func() bool {
			return n.edge.command(python, "-c", connect, edgeNames).Run() == nil
		})
	}
	return d
}

// atRest waits until the dispatcher at the edge has no clients.
func (n *natted) atRest(t *testing.T, d *running) {
	t.Helper()
	eventually(t, "the dispatcher has no clients", func() bool {
		page := n.get(t, "/metrics")
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "pyro_dispatch_sessions{") || strings.HasPrefix(line, "pyro_dispatch_calls_in_flight{") {
				if !strings.HasSuffix(line, " 0\n") {
					return false
				}
			}
		}
		return strings.Contains(page, "pyro_dispatch_sessions")
	})
}

// get asks the admin server of the dispatcher at the edge.
func (n *natted) get(t *testing.T, path string) string {
	t.Helper()
	const ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"
	out, err := n.edge.command(python, "-c", ask, "http://127.0.0.1:9990"+path).Output()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(out)
}

// peers starts a program inside and one outside, which find the name server at the edge, each on
// its own side.
func (n *natted) peers(t *testing.T, lib, family string) (cam, viewer *peer) {
	t.Helper()
	in, out := insideAddresses[family], outsideAddresses[family]
	cam = startPeer(t, edgeEnvironment(), n.inside, "--lib", lib, "--name", "cam", "--bind", in.own, "--ns", join(in.edge, edgeNames))
	viewer = startPeer(t, edgeEnvironment(), n.outside, "--lib", lib, "--name", "viewer", "--bind", out.own, "--ns", join(out.edge, edgeNames))
	return cam, viewer
}

func edgeEnvironment() []string {
	return append(os.Environ(), "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1")
}

func join(host, port string) string { return net.JoinHostPort(host, port) }

// at fails if a URI is not of this host.
func at(t *testing.T, uri any, host string) {
	t.Helper()
	_, location, _ := strings.Cut(fmt.Sprint(uri), "@")
	if got, _, err := net.SplitHostPort(location); err != nil || got != host {
		t.Errorf("%v was handed out, want one at %s", uri, host)
	}
}

func answers(t *testing.T, got any, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// refused fails if a call did not end with an exception that says so.
func refused(t *testing.T, a answer, why string) {
	t.Helper()
	if a.Exception == "" || !strings.Contains(a.Message, why) {
		t.Errorf("got %+v, want an exception with %q", a, why)
	}
}
