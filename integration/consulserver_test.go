package integration

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/consul/api"
)

// consulBinary finds a consul on the PATH, or else builds that of consul/go.mod, once for all
// checkouts of this user.
var consulBinary = sync.OnceValues(func() (string, error) {
	if path, err := exec.LookPath("consul"); err == nil {
		return path, nil
	}
	list := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/hashicorp/consul")
	list.Dir = "consul"
	version, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", list, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "pyro-dispatch-test", "consul-"+strings.TrimSpace(string(version)))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintln(os.Stderr, "integration: there is no consul on the PATH: building one into", path+", which takes some minutes, once")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	// Under another name until it is complete: another test may be looking.
	unfinished := path + "." + strconv.Itoa(os.Getpid())
	defer os.Remove(unfinished)
	build := exec.Command("go", "build", "-o", unfinished, "github.com/hashicorp/consul")
	build.Dir, build.Env = "consul", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", build, err, tail(string(out), 2<<10))
	}
	return path, os.Rename(unfinished, path)
})

// rootToken may do everything in a Consul with ACLs.
const rootToken = "10000000-0000-0000-0000-000000000001"

// consulServer is a real Consul server, with its own agent.
type consulServer struct {
	*process
	name    string
	address string   // of its HTTP API
	flags   []string // with which it is started, again as well
	api     *api.Client
}

// startConsul starts a server alone, that keeps everything in memory, and waits until it works.
func startConsul(t *testing.T) *consulServer {
	t.Helper()
	return startConsulWith(t)
}

// startConsulWithACLs is startConsul, with everything forbidden to who has no token.
func startConsulWithACLs(t *testing.T) *consulServer {
	t.Helper()
	return startConsulWith(t, "-hcl", fmt.Sprintf(
		`acl { enabled = true, default_policy = "deny", tokens { initial_management = %q } }`, rootToken))
}

func startConsulWith(t *testing.T, flags ...string) *consulServer {
	t.Helper()
	ports := freePorts(t, 3)
	c := newConsul(t, "consul", ports, append([]string{"-dev"}, flags...)...)
	c.start(t)
	c.await(t, 1)
	return c
}

// startConsulCluster starts three servers that elect a leader.
func startConsulCluster(t *testing.T) []*consulServer {
	t.Helper()
	ports := freePorts(t, 9)
	var servers []*consulServer
	for i := range 3 {
		name := fmt.Sprint("consul-", i)
		flags := []string{"-server", "-bootstrap-expect=3", "-data-dir=" + t.TempDir(), "-hcl", "performance { raft_multiplier = 1 }"}
		for j := range 3 {
			flags = append(flags, fmt.Sprint("-retry-join=127.0.0.1:", ports[3*j+1]))
		}
		c := newConsul(t, name, ports[3*i:3*i+3], flags...)
		c.start(t)
		servers = append(servers, c)
	}
	for _, c := range servers {
		c.await(t, 3)
	}
	return servers
}

// newConsul prepares a server on three ports: for HTTP, for gossip, for other servers.
func newConsul(t *testing.T, name string, ports []int, flags ...string) *consulServer {
	t.Helper()
	c := &consulServer{name: name, address: fmt.Sprint("127.0.0.1:", ports[0])}
	c.flags = append([]string{
		"agent", "-node=" + name, "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn",
		fmt.Sprint("-http-port=", ports[0]), fmt.Sprint("-serf-lan-port=", ports[1]), fmt.Sprint("-server-port=", ports[2]),
		"-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1", "-serf-wan-port=-1",
		"-hcl", "connect { enabled = false }",
	}, flags...)
	client, err := api.NewClient(&api.Config{Address: c.address, Scheme: "http", Token: rootToken})
	if err != nil {
		t.Fatal(err)
	}
	c.api = client
	return c
}

// start runs the server, again after it was killed. What a server alone knew is lost then.
func (c *consulServer) start(t *testing.T) {
	t.Helper()
	binary, err := consulBinary()
	if err != nil {
		t.Fatal(err)
	}
	c.process = startProcess(t, c.name, exec.Command(binary, c.flags...), func(p *process) { p.kill(t) })
}

// await waits until the catalogue has so many nodes, which takes a leader and, with ACLs, a
// token that counts.
func (c *consulServer) await(t *testing.T, nodes int) {
	t.Helper()
	eventually(t, c.name+" works", func() bool {
		select {
		case <-c.exited:
			t.Fatalf("%s left: %v", c.name, c.err)
		default:
		}
		list, _, err := c.api.Catalog().Nodes(nil)
		return err == nil && len(list) == nodes
	})
}

// leader returns which of the servers leads, as one of them sees it, and nil if none does.
func leader(t *testing.T, witness *consulServer, servers []*consulServer) *consulServer {
	t.Helper()
	address, err := witness.api.Status().Leader()
	if err != nil || address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(servers, func(c *consulServer) bool { return slices.Contains(c.flags, "-server-port="+port) })
	if i < 0 {
		t.Fatalf("no server is at %q", address)
	}
	return servers[i]
}

// instance is a service instance at a port of 127.0.0.1, whose check the test sets. It passes
// at first.
func instance(service string, port int) *api.AgentServiceRegistration {
	return &api.AgentServiceRegistration{
		Name:    service,
		ID:      fmt.Sprint(service, "-", port),
		Address: "127.0.0.1",
		Port:    port,
		Check:   &api.AgentServiceCheck{TTL: "1h", Status: api.HealthPassing},
	}
}

// register registers instances, anew if they are.
func (c *consulServer) register(t *testing.T, instances ...*api.AgentServiceRegistration) {
	t.Helper()
	for _, i := range instances {
		if err := c.api.Agent().ServiceRegister(i); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *consulServer) deregister(t *testing.T, i *api.AgentServiceRegistration) {
	t.Helper()
	if err := c.api.Agent().ServiceDeregister(i.ID); err != nil {
		t.Fatal(err)
	}
}

// setState sets an instance's check: passing, warning or critical.
func (c *consulServer) setState(t *testing.T, i *api.AgentServiceRegistration, state string) {
	t.Helper()
	if err := c.api.Agent().UpdateTTL("service:"+i.ID, "", state); err != nil {
		t.Fatal(err)
	}
}

// createToken makes a token that may read all services and nodes.
func (c *consulServer) createToken(t *testing.T) *api.ACLToken {
	t.Helper()
	policy, _, err := c.api.ACL().PolicyCreate(&api.ACLPolicy{
		Name:  fmt.Sprint("read-", rand.Uint32()),
		Rules: `service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := c.api.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// expireToken makes a token unknown, as its expiration would, which takes a minute at least.
func (c *consulServer) expireToken(t *testing.T, token *api.ACLToken) {
	t.Helper()
	if _, err := c.api.ACL().TokenDelete(token.AccessorID, nil); err != nil {
		t.Fatal(err)
	}
}

// taken are the ports that freePorts has given out.
var taken sync.Map

// freePorts returns ports of 127.0.0.1 that nobody uses, for TCP and UDP. They are below those
// that the system gives to connections, which would take them before a server can.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for attempts := 0; len(ports) < n; attempts++ {
		if attempts > 1000 {
			t.Fatal("there are no free ports")
		}
		port := 20000 + rand.IntN(12000)
		address := fmt.Sprint("127.0.0.1:", port)
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", address)
		_ = tcp.Close()
		if err != nil {
			continue
		}
		_ = udp.Close()
		if _, again := taken.LoadOrStore(port, true); !again {
			ports = append(ports, port)
		}
	}
	return ports
}
