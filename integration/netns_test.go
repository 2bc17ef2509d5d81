package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// namespace is a network of its own on this machine, as another host would have. A nil one is
// the network of the test.
type namespace struct{ name string }

// namespacePrefix begins the names of the tests' namespaces, which go on with the process that
// made them.
const namespacePrefix = "pdtest-"

// needsNamespaces skips the test where it may not make networks, after removing what tests that
// were killed have left.
func needsNamespaces(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces take root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s (on Debian and Ubuntu: apt install iproute2 nftables)", tool)
		}
	}
	if out, err := exec.Command("ip", "netns", "list").Output(); err == nil {
		for line := range strings.Lines(string(out)) {
			removeLeftBehind(line)
		}
	}
}

func removeLeftBehind(line string) {
	name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	of, found := strings.CutPrefix(name, namespacePrefix)
	if !found {
		return
	}
	owner, _, _ := strings.Cut(of, "-")
	if pid, err := strconv.Atoi(owner); err == nil {
		if _, err := os.Stat(fmt.Sprint("/proc/", pid)); err != nil {
			_ = exec.Command("ip", "netns", "delete", name).Run()
		}
	}
}

// newNamespace makes a network that is gone with the test.
func newNamespace(t *testing.T, role string) *namespace {
	t.Helper()
	ns := &namespace{fmt.Sprintf("%s%d-%08x-%s", namespacePrefix, os.Getpid(), rand.Uint32(), role)}
	if out, err := exec.Command("ip", "netns", "add", ns.name).CombinedOutput(); err != nil {
		t.Skipf("there are no network namespaces here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", ns.name).CombinedOutput(); err != nil {
			t.Errorf("removing %s: %v: %s", ns.name, err, out)
		}
	})
	ns.do(t, "ip link set lo up")
	return ns
}

// command prepares a program that runs in the network.
func (ns *namespace) command(program string, args ...string) *exec.Cmd {
	if ns == nil {
		return exec.Command(program, args...)
	}
	return exec.Command("ip", append([]string{"netns", "exec", ns.name, program}, args...)...)
}

// wrapped returns a program that runs another in the network, and is that program then.
func (ns *namespace) wrapped(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(program))
	script := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s %s \"$@\"\n", ns.name, program)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// do runs commands in the network, which have to succeed.
func (ns *namespace) do(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if out, err := ns.command("sh", "-c", c).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s: %v: %s", ns.name, c, err, out)
		}
	}
}

// natted is three hosts: one inside, whose addresses nobody outside can reach, one outside, and
// between them one with an interface on either side, which translates addresses as a router at
// the edge of a private network does.
type natted struct{ inside, edge, outside *namespace }

// side is what a host inside or outside has to know: of itself, and of the edge.
type side struct{ own, edge string }

// Addresses of the hosts, by the version of IP. Those of the documentation are outside.
var (
	insideAddresses  = map[string]side{"ipv4": {"10.77.1.2", "10.77.1.1"}, "ipv6": {"fd77:1::2", "fd77:1::1"}}
	outsideAddresses = map[string]side{"ipv4": {"192.0.2.2", "192.0.2.1"}, "ipv6": {"2001:db8::2", "2001:db8::1"}}
)

func newNatted(t *testing.T) *natted {
	t.Helper()
	needsNamespaces(t)
	n := &natted{newNamespace(t, "inside"), newNamespace(t, "edge"), newNamespace(t, "outside")}
	n.edge.do(t,
		"ip link add in0 type veth peer name eth0 netns "+n.inside.name,
		"ip link add out0 type veth peer name eth0 netns "+n.outside.name,
		"ip address add 10.77.1.1/24 brd + dev in0", "ip address add fd77:1::1/64 dev in0 nodad",
		"ip address add 192.0.2.1/24 brd + dev out0", "ip address add 2001:db8::1/64 dev out0 nodad",
		"ip link set in0 up", "ip link set out0 up",
		"echo 1 > /proc/sys/net/ipv4/ip_forward", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
		"nft add table inet nat",
		"nft 'add chain inet nat leaving { type nat hook postrouting priority srcnat; }'",
		"nft add rule inet nat leaving oifname out0 masquerade",
		"nft 'add chain inet nat through { type filter hook forward priority filter; policy drop; }'",
		"nft add rule inet nat through iifname in0 accept",
		"nft add rule inet nat through ct state established,related accept",
	)
	n.inside.do(t,
		"ip address add 10.77.1.2/24 brd + dev eth0", "ip address add fd77:1::2/64 dev eth0 nodad",
		"ip link set eth0 up",
		"ip route add default via 10.77.1.1", "ip -6 route add default via fd77:1::1",
	)
	n.outside.do(t, // without a way inside: whoever has learnt an address there gets nowhere
		"ip address add 192.0.2.2/24 brd + dev eth0", "ip address add 2001:db8::2/64 dev eth0 nodad",
		"ip link set eth0 up",
		"ip route add 255.255.255.255 dev eth0", // for who looks for a name server
	)
	return n
}
