package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// nscCommands are what an operator may ask of a name server, in order: some build on what was
// before. Each is what nsc is given, after the address.
var nscCommands = map[string][]nscCommand{
	"pyro4": slices.Concat(nscCommon, []nscCommand{
		{args: []string{"listmeta_all", "kind:bird"}},
		{args: []string{"listmeta_all", "kind:bird", "sings"}},
		{args: []string{"listmeta_any", "sings", "swims"}},
		{args: []string{"listmeta_any", "nothing"}},
	}, nscRemovals),
	"pyro5": slices.Concat(nscCommon, []nscCommand{
		{args: []string{"yplookup_all", "kind:bird"}},
		{args: []string{"yplookup_all", "kind:bird", "sings"}},
		{args: []string{"yplookup_any", "sings", "swims"}},
		{args: []string{"yplookup_any", "nothing"}},
	}, nscRemovals),
}

type nscCommand struct {
	args  []string
	stdin string
}

var nscCommon = []nscCommand{
	{args: []string{"ping"}},
	{args: []string{"-v", "ping"}},
	{args: []string{"list"}},
	{args: []string{"lookup", "Pyro.NameServer"}},
	{args: []string{"register", "lab.robin", "PYRO:obj_robin@127.0.0.1:4501"}},
	{args: []string{"register", "lab.carp", "PYRO:obj_carp@127.0.0.1:4502"}},
	{args: []string{"register", "lab.emu", "PYRO:obj_emu@[::1]:4503"}},
	{args: []string{"register", "Käfer mit Leerzeichen", "PYRO:obj_käfer@127.0.0.1:4504"}},
	{args: []string{"register", "lab.robin", "PYRO:obj_other@127.0.0.1:4505"}}, // is taken
	{args: []string{"register", "lab.alias", "PYRONAME:lab.robin"}},
	{args: []string{"register", "lab.bad", "not a URI"}},
	{args: []string{"register", "lab.bad", "PYRO:obj_bad"}},
	{args: []string{"register", "lab.bad", "PYRO:obj_bad@127.0.0.1"}},
	{args: []string{"register", "lab.bad", "PYRO:obj_bad@[[::1]]:4506"}},
	{args: []string{"register", "lab.bad"}},
	{args: []string{"lookup", "lab.robin"}},
	{args: []string{"lookup", "lab.emu"}},
	{args: []string{"lookup", "lab.nobody"}},
	{args: []string{"lookup"}},
	{args: []string{"setmeta", "lab.robin", "kind:bird", "sings"}},
	{args: []string{"setmeta", "lab.emu", "kind:bird"}},
	{args: []string{"setmeta", "lab.carp", "swims", "kind:fish"}},
	{args: []string{"setmeta", "lab.nobody", "kind:none"}},
	{args: []string{"setmeta"}},
	{args: []string{"lookup", "lab.robin"}},
	{args: []string{"list"}},
	{args: []string{"list", "lab."}},
	{args: []string{"list", "LAB."}},
	{args: []string{"list", ""}},
	{args: []string{"listmatching", `lab\.[a-e]`}},
	{args: []string{"listmatching", `.*[rm]`}},
	{args: []string{"listmatching", `^$`}},
	{args: []string{"listmatching", `(`}},
	{args: []string{"listmatching", `[`}},
	{args: []string{"listmatching"}},
}

var nscRemovals = []nscCommand{
	{args: []string{"setmeta", "lab.robin"}}, // none
	{args: []string{"lookup", "lab.robin"}},
	{args: []string{"remove", "lab.robin"}},
	{args: []string{"remove", "lab.robin"}},
	{args: []string{"remove", "Pyro.NameServer"}},
	{args: []string{"remove"}},
	{args: []string{"removematching", `lab\.e`}, stdin: "n\n"},
	{args: []string{"removematching", `lab\.e`}, stdin: "y\n"},
	{args: []string{"removematching", `lab\.e`}, stdin: "y\n"},
	{args: []string{"removematching", `(`}, stdin: "y\n"},
	{args: []string{"list"}},
	{args: []string{"removematching", `.*`}, stdin: "y\n"},
	{args: []string{"list"}},
	{args: []string{"ping"}},
	{args: []string{"nonsense"}},
}

// TestNameServerTool has the libraries' own tool say the same of the facade as of a name server
// of Pyro's, with addresses of the dispatcher in place of the daemons'.
func TestNameServerTool(t *testing.T) {
	withNames(t, func(t *testing.T, lib, kind string) {
		own, other := openNames(t, lib, pyrosOwn, nil), openNames(t, lib, kind, nil)
		for _, c := range nscCommands[lib] {
			ask := func(n *names) string {
				args := append([]string{"-n", n.host, "-p", strconv.Itoa(n.port)}, c.args...)
				return n.tool(t, c.stdin, nscOf(lib), args...)
			}
			want, got := ask(own), ask(other)
			if kind == facade {
				noneOf(t, got, "@127.0.0.1:450", "@[::1]:450")
			}
			if w, g := sameWords(want), sameWords(got); w != g {
				t.Errorf("%s %q: Pyro's own name server:\n%s\nthe %s:\n%s", nscOf(lib), c.args, w, kind, g)
			}
		}
		// By the environment, as without options, and by the PYRONAME of the name server itself.
		if got := other.tool(t, "", nscOf(lib), "ping"); got != "Name server ping ok.\n" {
			t.Errorf("without options: %s", got)
		}
		other.atRest(t)
	})
}

// noneOf fails if a text has any of these in it.
func noneOf(t *testing.T, text string, unwanted ...string) {
	t.Helper()
	for _, u := range unwanted {
		if strings.Contains(text, u) {
			t.Errorf("the daemon's address %q is handed out:\n%s", u, text)
		}
	}
}

var (
	pyroAddress  = regexp.MustCompile(`(PYRO:\S+?)@(\[[0-9a-fA-F:]+\]:\d+|[\w.]+:\d+|\./u:\S+)`)
	pyroMetadata = regexp.MustCompile(`(?m)(metadata: |   meta: ?)([\[{]?)(.*?)([\]}]?)$`)
	pyroMetaURI  = regexp.MustCompile(`PYROMETA:([\w:.,]+)`)
	pyroObjectID = regexp.MustCompile(`obj_[0-9a-f]{32}`)
	badPattern   = regexp.MustCompile(`(invalid regex: ).*`)
	ownMetadata  = regexp.MustCompile(`'?class:Pyro[45]\.[a-z]+\.NameServer'?`)
	pythonSet    = regexp.MustCompile(`\{'[^{}]*'\}`)
	pythonNumber = regexp.MustCompile(`0x[0-9a-f]+|owner \d+`) // of objects and threads
)

// sameWords makes what two name servers, or programs that asked them, print equal where they
// may differ: addresses, the order of metadata, Python's words for a bad pattern, and for what
// the facade calls itself, which may be both libraries' name server at once.
func sameWords(printed string) string {
	printed = pyroAddress.ReplaceAllString(printed, "$1@ADDRESS")
	printed = pyroObjectID.ReplaceAllString(printed, "obj_ID")
	printed = pythonNumber.ReplaceAllString(printed, "NUMBER")
	printed = pythonSet.ReplaceAllStringFunc(printed, func(set string) string {
		return "{" + sorted(strings.Trim(set, "{}"), ", ", ", ") + "}"
	})
	printed = badPattern.ReplaceAllString(printed, "$1...")
	printed = pyroMetaURI.ReplaceAllStringFunc(printed, func(uri string) string {
		return "PYROMETA:" + sorted(strings.TrimPrefix(uri, "PYROMETA:"), ",", ",")
	})
	return pyroMetadata.ReplaceAllStringFunc(printed, func(line string) string {
		m := pyroMetadata.FindStringSubmatch(line)
		if ownMetadata.MatchString(m[3]) {
			return m[1] + "THE NAME SERVER'S OWN"
		}
		return m[1] + m[2] + sorted(m[3], ", ", ", ") + m[4]
	})
}

// sorted puts the parts of a text in order.
func sorted(text, separator, between string) string {
	parts := strings.Split(text, separator)
	slices.Sort(parts)
	return strings.Join(parts, between)
}

// TestCheckConfigTool prints a program's configuration: that it would find the name server, and
// with which addresses its daemons would be known.
func TestCheckConfigTool(t *testing.T) {
	withNames(t, func(t *testing.T, lib, kind string) {
		n := openNames(t, lib, kind, nil)
		n.env = append(n.env, "PYRO_NATHOST=192.0.2.1", "PYRO_NATPORT=20017")
		printed := n.tool(t, "", lib+"-check-config")
		for _, setting := range []string{"NS_HOST = 127.0.0.1", fmt.Sprint("NS_PORT = ", n.port), "NATHOST = 192.0.2.1", "NATPORT = 20017"} {
			if !strings.Contains(squeezed(printed), setting) {
				t.Errorf("it does not print %q:\n%s", setting, printed)
			}
		}
	})
}

var spaces = regexp.MustCompile(` +`)

func squeezed(s string) string { return spaces.ReplaceAllString(s, " ") }

// echoServers are what the libraries bring to try a connection with.
var echoServers = map[string]string{"pyro4": "pyro4-test-echoserver", "pyro5": "pyro5-echoserver"}

// TestEchoServerTool has the libraries' echo server register itself, and calls it by its name.
func TestEchoServerTool(t *testing.T) {
	modules := map[string]string{"pyro4": "Pyro4.test.echoserver", "pyro5": "Pyro5.utils.echoserver"}
	withNames(t, func(t *testing.T, lib, kind string) {
		n := openNames(t, lib, kind, nil)
		p := startProgram(t, echoServers[lib], n.env, nil, t.TempDir(), modules[lib], "-H", "127.0.0.1", "-n")
		p.says(t, "running")
		n.awaitNames(t, "test.echoserver")
		peer := startPeer(t, n.env, nil, "--lib", lib, "--ns", n.address())
		if got := peer.call(t, "call", "PYRONAME:test.echoserver", "echo", "hello"); got != "hello" {
			t.Errorf("it answers %v", got)
		}
		if got := fmt.Sprint(peer.call(t, "stream", "PYRONAME:test.echoserver", "generator")); got != "[one two three]" {
			t.Errorf("it streams %v", got)
		}
		peer.end(t)
		_ = p.stdin.Close() // it keeps its connection to the name server
		p.exitCode(t)
		n.atRest(t)
	})
}
