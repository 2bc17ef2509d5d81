package integration

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTwoDispatchers has two dispatchers that know each other only by a Consul: names and topics
// are the same at both, and go on when one of them is killed.
func TestTwoDispatchers(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			consul := startConsul(t)
			flags := append(sharedIn(consul.address), "--topics", topicsObject)
			one, two := openNames(t, lib, facade, flags), openNames(t, lib, facade, flags)

			// What is registered at one is there at the other, with that one's addresses.
			cam := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", "cam", "--ns", one.address())
			cam.call(t, "register", "lab.cam")
			askers := map[*names]*peer{}
			for _, n := range []*names{one, two} {
				asker := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--ns", n.address())
				askers[n] = asker
				eventually(t, "the name is known", func() bool { return asker.try(t, "lookup", "lab.cam").Exception == "" })
				answers(t, asker.call(t, "call", "PYRONAME:lab.cam", "whoami"), "cam")
				answers(t, hostPort(asker.call(t, "lookup", "lab.cam")), n.d.location)
			}
			// Each way, and what is changed and removed too.
			askers[two].call(t, "register", "lab.other")
			eventually(t, "the other name is known", func() bool { return askers[one].try(t, "lookup", "lab.other").Exception == "" })
			askers[one].call(t, "remove", "lab.other")
			eventually(t, "the other name is gone", func() bool { return askers[two].try(t, "lookup", "lab.other").Exception != "" })

			// One of a kind: whoever comes second is told so, wherever.
			for _, n := range []*names{one, two} {
				got := n.tool(t, "", nscOf(lib), "register", "lab.cam", "PYRO:obj_x@127.0.0.1:4501")
				if want := "Error: NamingError - name already registered: lab.cam\n"; !strings.HasPrefix(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}

			// A listener that registered at one gets what is sent to either.
			b1, b2 := &blobs{names: one}, &blobs{names: two}
			birds, birdsToo, fish := b1.listen(t, "birds"), b2.listen(t, "birds"), b2.listen(t, "fish")
			first, second := b1.client(t), b2.client(t)
			shared := func(b *blobs) {
				t.Helper()
				awaitTopics(t, b, "birds", 2)
				awaitTopics(t, b, "fish", 1)
			}
			shared(b1)
			shared(b2)
			before := []int{len(birds.blobs()), len(birdsToo.blobs()), len(fish.blobs())}
			first.send(t, "birds", 3)
			second.send(t, "birds", 2)
			first.send(t, "fish", 1)
			birds.expect(t, before[0]+5)
			birdsToo.expect(t, before[1]+5)
			fish.expect(t, before[2]+1)
			first.leave(t)

			one.d.ended = true
			one.d.kill(t)
			answers(t, askers[two].call(t, "call", "PYRONAME:lab.cam", "whoami"), "cam")
			second.send(t, "birds", 4)
			second.send(t, "fish", 2)
			birds.expect(t, before[0]+9)
			birdsToo.expect(t, before[1]+9)
			fish.expect(t, before[2]+3)
			// What comes now is kept for the one that is away.
			askers[two].call(t, "register", "lab.late")
			late := b2.listen(t, "late")
			second.send(t, "late", 1)
			late.expect(t, 1)

			one.start(t)
			eventually(t, "the name is known after the restart", func() bool {
				return askers[one].try(t, "call", "PYRONAME:lab.late", "whoami").Exception == ""
			})
			again := b1.client(t)
			again.send(t, "late", 1)
			again.send(t, "birds", 1)
			late.expect(t, 2)
			birds.expect(t, before[0]+10)
			birdsToo.expect(t, before[1]+10)
			again.leave(t)
			second.leave(t)
			for _, p := range append([]*peer{cam}, slices.Collect(maps.Values(askers))...) {
				p.end(t)
			}
			one.atRest(t)
			two.atRest(t)
		})
	}
}

// TestNamesWithoutConsul has Consul away: what is known is still answered.
func TestNamesWithoutConsul(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			consul := startConsul(t)
			n := openNames(t, lib, facade, append(sharedIn(consul.address), "--topics", topicsObject))
			cam := startPeer(t, edgeEnvironment(), nil, "--lib", lib, "--name", "cam", "--ns", n.address())
			cam.call(t, "register", "lab.cam")
			b := &blobs{names: n}
			birds := b.listen(t, "birds")
			client := b.client(t)
			client.send(t, "birds", 1)
			consul.kill(t)
			for range 5 {
				answers(t, cam.call(t, "call", "PYRONAME:lab.cam", "whoami"), "cam")
				client.send(t, "birds", 1)
			}
			birds.expect(t, 6)
			client.leave(t)
		})
	}
}

// awaitTopics sends blobs until as many listeners of the topic get them as there are: another
// dispatcher may hear of one a moment later. The registry tells how many there are.
func awaitTopics(t *testing.T, b *blobs, topic string, listeners int) {
	t.Helper()
	const ask = `
import sys, pyrolib
lib = pyrolib.load(sys.argv[1])
with lib.Proxy("PYRONAME:%s@%s" % tuple(sys.argv[2:4])) as registry:
    print(len(registry.topics().get(sys.argv[4], ())))
`
	eventually(t, fmt.Sprintf("%d listeners of %s are known", listeners, topic), func() bool {
		cmd := exec.Command(python, "-c", ask, b.lib, topicsObject, b.address(), topic)
		cmd.Dir, cmd.Env = "py", edgeEnvironment()
		out, err := cmd.Output()
		return err == nil && string(out) == fmt.Sprintln(listeners)
	})
}
