package helm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// value is a row of the table in the chart's README.
type value struct{ path, fallback, meaning string }

// valuesOf returns the values that the chart knows, in the order of values.yaml. Where keys
// inside a mapping have comments, they are values; where none has, the mapping is one.
func valuesOf(tb testing.TB) []value {
	tb.Helper()
	doc, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil {
		tb.Fatal(err)
	}
	var all []value
	var walk func(path, comment string, n *yaml.Node)
	walk = func(path, comment string, n *yaml.Node) {
		if path == "" || isSection(n) {
			for i := 0; i+1 < len(n.Content); i += 2 {
				key := n.Content[i]
				walk(strings.TrimPrefix(path+"."+key.Value, "."), key.HeadComment, n.Content[i+1])
			}
			return
		}
		if comment == "" {
			tb.Errorf("values.yaml: %s has no comment", path)
		}
		all = append(all, value{path, fallback(tb, n), meaning(comment)})
	}
	walk("", "", root.Content[0])
	return all
}

// isSection tells whether a key inside a mapping has a comment.
func isSection(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && slices.ContainsFunc(n.Content, func(n *yaml.Node) bool { return n.HeadComment != "" })
}

// fallback writes a default on one line.
func fallback(tb testing.TB, n *yaml.Node) string {
	tb.Helper()
	var v any
	if err := n.Decode(&v); err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// meaning makes one line of a comment. What stands above an empty line is not about the key.
func meaning(comment string) string {
	if i := strings.LastIndex(comment, "\n\n"); i >= 0 {
		comment = comment[i+2:]
	}
	var lines []string
	for line := range strings.Lines(comment) {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	}
	return strings.Join(lines, " ")
}

// TestChartReference keeps the table in the chart's README equal to the comments and defaults
// in values.yaml. "go test ./deploy/helm -update" rewrites it.
func TestChartReference(t *testing.T) {
	const name, begin, end = chart + "/README.md", "<!-- values: generated from values.yaml by \"go test ./deploy/helm -update\" -->\n", "<!-- end of values -->\n"
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table: %q and %q", name, begin, end)
	}
	var table strings.Builder
	table.WriteString("\n| value | default | meaning |\n|---|---|---|\n")
	for _, v := range valuesOf(t) {
		fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", v.path, v.fallback, v.meaning)
	}
	table.WriteString("\n")
	pyrotest.Golden(t, name, before+begin+table.String()+end+after, *update)
}

// TestReadmeExamples wants every example to be one that works, beside the least values where it
// leaves out what those say.
func TestReadmeExamples(t *testing.T) {
	doc, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(doc, -1)
	if len(examples) == 0 {
		t.Fatal("no examples: this test would test nothing")
	}
	for _, example := range examples {
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, example[1], 0o600); err != nil {
			t.Fatal(err)
		}
		configOf(t, manifests(t, rendered(t, "lab", "--values", minimal, "--values", file)))
	}
}

// schema is what the tests ask of a JSON schema.
type schema struct {
	Properties map[string]schema
}

// TestSchemaIsComplete wants the schema to know the values that there are, and no others.
func TestSchemaIsComplete(t *testing.T) {
	doc, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(doc, &root); err != nil {
		t.Fatal(err)
	}
	delete(root.Properties, "global") // helm's own
	known := make(map[string]bool)
	for _, v := range valuesOf(t) {
		at, keys := root, strings.Split(v.path, ".")
		for i, key := range keys {
			known[strings.Join(keys[:i+1], ".")] = true
			inner, ok := at.Properties[key]
			if !ok {
				t.Errorf("values.schema.json does not know %s", v.path)
				break
			}
			at = inner
		}
		if len(at.Properties) > 0 {
			known[v.path+".*"] = true // its keys are not values of their own
		}
	}
	var walk func(path string, s schema)
	walk = func(path string, s schema) {
		for key, inner := range s.Properties {
			path := strings.TrimPrefix(path+"."+key, ".")
			if !known[path] {
				t.Errorf("values.schema.json knows %s, which values.yaml does not name", path)
			}
			if !known[path+".*"] {
				walk(path, inner)
			}
		}
	}
	walk("", root)
}
