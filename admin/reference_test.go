package admin_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

const page = "../docs/admin-api.md"

// TestReferenceExample keeps the answer that docs/admin-api.md shows equal to
// what is answered: to a request for a cluster with a client at one endpoint,
// after the request that the page shows. "go test ./admin -update" rewrites it.
func TestReferenceExample(t *testing.T) {
	network := &pyrotest.Network{}
	ln, err := network.Listen("10.0.0.1:5555")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := newCluster("cameras", network)
	c.SetMembers(0, []backend.Member{
		{Address: tcp("10.0.0.1:5555"), Dialect: wire.V502, Weight: 2},
		{Address: tcp("10.0.0.2:5555")},
		{Address: unix("/run/camera.sock"), Dialect: wire.V48},
	})
	s := newServer(c)
	s.status(t, "POST", "/api/clusters/cameras/endpoints/10.0.0.2:5555/drain")
	lease, err := c.Acquire(t.Context(), &backend.Attempt{Dialect: wire.V502})
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Done(backend.Served)

	answer := s.ask("POST", "/api/clusters/cameras/endpoints/unix:%2Frun%2Fcamera.sock/drain").Body.String()
	text := readPage(t)
	const begin, end = "```json\n", "```\n"
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("the page has no example")
	}
	pyrotest.Golden(t, page, before+begin+answer+end+after, *update)
}

// TestReferenceNames wants the page to explain every field and every state.
func TestReferenceNames(t *testing.T) {
	text := readPage(t)
	names := statesOfEndpoints(t)
	for _, typ := range []reflect.Type{reflect.TypeFor[backend.Status](), reflect.TypeFor[backend.EndpointStatus]()} {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	for _, name := range names {
		if !strings.Contains(text, "\n| `"+name+"` | ") {
			t.Errorf("the page does not explain %s", name)
		}
	}
}

// statesOfEndpoints returns the states that package backend says there are.
func statesOfEndpoints(t *testing.T) (states []string) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "../backend/status.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if f, ok := n.(*ast.Field); ok && len(f.Names) == 1 && f.Names[0].Name == "State" {
			for _, m := range regexp.MustCompile(`"([a-z-]+)"`).FindAllStringSubmatch(f.Doc.Text(), -1) {
				states = append(states, m[1])
			}
		}
		return true
	})
	if len(states) == 0 {
		t.Fatal("backend.EndpointStatus.State names no states")
	}
	return states
}

func readPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
