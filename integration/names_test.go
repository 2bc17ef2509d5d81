package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The two kinds of name servers that programs are run with.
const (
	pyrosOwn = "real"
	facade   = "facade"
)

// names is a name server, and the environment of programs that find it.
type names struct {
	lib, kind string
	host      string
	port      int
	server    *process // of Pyro's own
	d         *running // of the facade
	flags     []string // with which that is started, again as well
	env       []string
	programs  []*process // of the examples
}

// withNames runs a test for each library with each kind of name server.
func withNames(t *testing.T, test func(t *testing.T, lib, kind string)) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, kind := range []string{pyrosOwn, facade} {
			t.Run(lib+"/"+kind, func(t *testing.T) {
				test(t, lib, kind)
			})
		}
	}
}

// openNames starts a name server at a free port. The flags are more of the facade's, which has a
// configuration file without any; env is for the programs, as NAME=value.
func openNames(t *testing.T, lib, kind string, flags []string, env ...string) *names {
	t.Helper()
	ports := freePorts(t, 2)
	n := &names{lib: lib, kind: kind, host: "127.0.0.1", port: ports[0]}
	n.env = slices.Concat(os.Environ(), []string{
		"PYRO_NS_HOST=127.0.0.1", fmt.Sprint("PYRO_NS_PORT=", n.port), "PYRO_HOST=127.0.0.1",
		"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "TERM=dumb",
	}, env)
	switch kind {
	case pyrosOwn:
		n.server = startPyrosOwn(t, lib, n.env, nil, "-n", n.host, "-p", strconv.Itoa(n.port))
	case facade:
		listen := fmt.Sprint("127.0.0.1:", ports[1])
		if flags == nil {
			n.flags = []string{"--config", writeConfig(t, facadeConfig(listen, n.address()))}
		} else {
			n.flags = slices.Concat(facadeFlags(listen, n.address()), []string{"--admin", "127.0.0.1:0"}, flags)
		}
		n.start(t)
	}
	return n
}

// writeConfig writes a configuration file.
func writeConfig(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startPyrosOwn starts a library's own name server, in a network namespace or the test's.
func startPyrosOwn(t *testing.T, lib string, env []string, ns *namespace, flags ...string) *process {
	t.Helper()
	module := map[string]string{"pyro4": "Pyro4.naming", "pyro5": "Pyro5.nameserver"}[lib]
	p := startProgram(t, lib+" name server", env, ns, t.TempDir(), module, flags...)
	p.line(t, p.stdout, "its URI", func(line string) bool { return strings.HasPrefix(line, "URI = ") })
	return p
}

// startProgram starts a Python program, a script or a module, in a directory.
func startProgram(t *testing.T, name string, env []string, ns *namespace, dir, program string, args ...string) *process {
	t.Helper()
	cmd := ns.command(python, slices.Concat([]string{"py/program.py", dir, program}, args)...)
	cmd.Env = env
	return startProcess(t, name, cmd, nil)
}

// start runs the dispatcher of the facade, for the first time or again.
func (n *names) start(t *testing.T) {
	t.Helper()
	n.d = runDispatcher(t, dispatcher, n.flags...)
	awaitPort(t, n.address())
}

// restart ends the dispatcher and runs it again as it was.
func (n *names) restart(t *testing.T) {
	t.Helper()
	n.d.signal(t, syscall.SIGTERM)
	n.d.exitCode(t)
	n.start(t)
}

// address is that of the name server.
func (n *names) address() string { return net.JoinHostPort(n.host, strconv.Itoa(n.port)) }

// awaitPort waits until somebody listens.
func awaitPort(t *testing.T, address string) {
	t.Helper()
	eventually(t, "somebody listens at "+address, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// run starts a program of the library's examples as it is: a script or a module in a directory
// under examples.
func (n *names) run(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	where := filepath.Join(sourcesOf(t, n.lib), "examples", dir)
	p := startProgram(t, n.lib+" "+program+" "+strings.Join(args, " "), n.env, nil, where, program, args...)
	n.programs = append(n.programs, p)
	return p
}

// over ends the programs of the examples, some of which keep connections for as long as they
// live, and waits until the dispatcher has none.
func (n *names) over(t *testing.T) {
	t.Helper()
	for _, p := range n.programs {
		_ = p.stdin.Close()
		p.exitCode(t)
	}
	n.atRest(t)
}

// tool runs a command that comes with the library to its end, and returns what it prints.
func (n *names) tool(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, append([]string{filepath.Join(filepath.Dir(python), name)}, args...)...)
	cmd.Env, cmd.Stdin = n.env, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s %v does not end; it printed\n%s", name, args, out)
	}
	if err != nil {
		return fmt.Sprintf("%s%v\n", out, err) // with its exit code
	}
	return string(out)
}

// awaitNames waits until the names are registered, asking as anybody would.
func (n *names) awaitNames(t *testing.T, wanted ...string) {
	t.Helper()
	for _, name := range wanted {
		eventually(t, name+" is registered", func() bool {
			return strings.HasPrefix(n.tool(t, "", nscOf(n.lib), "-n", n.host, "-p", strconv.Itoa(n.port), "lookup", name), "PYRO:")
		})
	}
}

// nscOf is the name of the library's tool for name servers.
func nscOf(lib string) string { return lib + "-nsc" }

// say gives a program a line of input.
func (p *process) say(t *testing.T, line string) {
	t.Helper()
	if _, err := p.stdin.Write([]byte(line + "\n")); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// says waits until a program has printed a line that has text in it.
func (p *process) says(t *testing.T, text string) string {
	t.Helper()
	return p.line(t, p.stdout, fmt.Sprintf("%q", text), func(line string) bool { return strings.Contains(line, text) })
}

// linesWith returns those of the lines so far that have text in them.
func (o *output) linesWith(text string) []string {
	lines, _ := o.from(0)
	var found []string
	for _, line := range lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// atRest waits until the facade's dispatcher has no clients and no calls.
func (n *names) atRest(t *testing.T) {
	t.Helper()
	if n.kind != facade {
		return
	}
	eventually(t, "the dispatcher has no clients", func() bool {
		m := n.d.metrics(t)
		return sum(m, "pyro_dispatch_sessions") == 0 && sum(m, "pyro_dispatch_calls_in_flight") == 0
	})
}

// quoted writes strings as the elements of a list in YAML.
func quoted(list []string) string {
	var q []string
	for _, s := range list {
		q = append(q, strconv.Quote(s))
	}
	return strings.Join(q, ", ")
}
