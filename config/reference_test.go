package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// TestReference keeps docs/configuration.md equal to the schema: the keys and
// their types come from the structs, the defaults from Default and its kin,
// the meaning from the comments on the fields. "go test ./config -update"
// rewrites the page.
func TestReference(t *testing.T) {
	update := flag.Lookup("update").Value.String() == "true"
	pyrotest.Golden(t, "../docs/configuration.md", reference(t), update)
}

// TestExample wants the example to be good, and to hold every key.
func TestExample(t *testing.T) {
	const name = "../pyro-dispatch.example.yaml"
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(name, doc)
	if err != nil {
		t.Fatal(err)
	}
	if problems := c.Validate(); len(problems) > 0 {
		t.Fatal(problems)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil {
		t.Fatal(err)
	}
	written := make(map[string]bool)
	writtenKeys(root.Content[0], "", written)
	for _, s := range sections() {
		for _, f := range fieldsOf(s.value.Type()) {
			if key := join(s.path, f.key); !written[key] {
				t.Errorf("%s does not name %s", name, key)
			}
		}
	}
}

// writtenKeys collects the paths of all keys below a node, with [] for any
// element of a list.
func writtenKeys(n *yaml.Node, path string, keys map[string]bool) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := join(path, n.Content[i].Value)
			keys[key] = true
			writtenKeys(n.Content[i+1], key, keys)
		}
	case yaml.SequenceNode:
		for _, elem := range n.Content {
			writtenKeys(elem, path+"[]", keys)
		}
	}
}

// section is a mapping of the schema, with the defaults of its keys.
type section struct {
	path  string
	value reflect.Value
}

// sections returns the mappings of the schema, each after the one that holds
// it.
func sections() []section {
	c := Default()
	c.Listeners = []Listener{DefaultListener()}
	c.Routes = []Route{DefaultRoute()}
	c.Clusters = []Cluster{DefaultCluster()}
	c.Clusters[0].Static = []Endpoint{DefaultEndpoint()}
	c.NameServer.Listeners = []NameListener{DefaultNameListener()}
	c.NameServer.Groups = []NameGroup{{}}
	var found []section
	var walk func(string, reflect.Value)
	walk = func(path string, v reflect.Value) {
		found = append(found, section{path, v})
		for _, f := range fieldsOf(v.Type()) {
			switch fv := v.Field(f.index); {
			case isScalar(fv.Type()), fv.Kind() == reflect.Pointer:
			case fv.Kind() == reflect.Struct:
				walk(join(path, f.key), fv)
			case fv.Len() > 0:
				walk(join(path, f.key)+"[]", fv.Index(0))
			}
		}
	}
	walk("", reflect.ValueOf(c))
	return found
}

const referenceHead = `# Configuration

<!-- Generated from the comments and defaults in config/ by "go test ./config -update": edit them, not this page. -->

` + "`pyro-dispatch run --config FILE`" + ` reads one YAML document;
` + "[`pyro-dispatch.example.yaml`](../pyro-dispatch.example.yaml)" + ` is one that names every key.
The smallest useful one is

` + "```yaml" + `
listeners: [{address: ":9999"}]
routes:    [{cluster: main}]
clusters:  [{name: main, static: ["10.0.0.1:5555"]}]
` + "```" + `

which ` + "`pyro-dispatch run --listen :9999 --backend 10.0.0.1:5555`" + ` says without a file.
Flags and environment variables win over the file: see [the command line](cli.md).

The file is read strictly. An unknown key, a key given twice, a value of the wrong type, an alias (` + "`*name`" + `), a name
that refers to nothing and a route that no client can reach are errors. ` + "`pyro-dispatch check --config FILE`" + ` names
all of them, each by line, column and path:

` + "```text" + `
pyro.yaml:3:12: listeners[0].address: ":99999": port "99999" is not a number from 0 to 65535
` + "```" + `

## Values

| kind | written as |
|---|---|
| address | ` + "`host:port`, `[::1]:port`, `:port` (every local address; not for a daemon) or `unix:/path`" + `. Quote it where YAML would see something else in it. |
| advertised address | ` + "`host:port`, `host`, `[::1]:port`, `[::1]` or `:port`" + `. A port that is left out, or 0, is the listener's own. |
| address of Consul | ` + "`host:port`, `http://host:port`, `https://host:port` or `unix:/path`" + ` |
| count | a whole number |
| dialect | ` + "`pyro4` or `pyro5`, or the protocol's number, `48` or `502`" + ` |
| duration | a number and a unit: ` + "`500ms`, `30s`, `5m`, `1h30m`" + `. At least 1ms, where nothing else is said, except for ` + "`drain_timeout`" + `. |
| name | letters, digits, dots, hyphens and underscores, beginning with a letter or digit |
| network | ` + "`10.0.0.0/8`, `::1/128`, or one address, `10.1.2.3`" + ` |
| pattern | see [Patterns](#patterns) |
| percentage | a whole number from 0 to 100, without a sign |
| ports | ` + "`20000-20999`" + `, both ends included, or one port |
| serializer | ` + "`serpent`, `json`, `marshal` or `msgpack`; of Pyro4 also `pickle`, `dill` or `cloudpickle`" + ` |
| size | bytes, ` + "`65536`, or a whole number of units, `64KiB`, `1MiB`, `1GiB`" + `. At least 1KiB; a message is at most one byte less than 4GiB. |
| template | see [Calls](#calls) |
| text | any characters. Quote it where YAML would see something else in it. |

Where a list of values is expected, its only element may be written without the list.

`

const referenceTail = `## Patterns

` + "`match.object`" + ` compares the whole object id with patterns:

| in a pattern | matches |
|---|---|
| ` + "`*`" + ` | any run of characters, also none; dots and slashes are characters like others |
| ` + "`?`" + ` | one character |
| ` + "`[abc]`, `[a-z]`" + ` | one of these characters, one of this range |
| ` + "`[!abc]`, `[^abc]`" + ` | one character that is none of these |
| ` + "`\\x`" + ` | the character x itself, inside brackets too |

Case counts. In brackets, write ` + "`\\]` and `\\-`" + ` for a bracket and a hyphen.

## Calls

` + "`match.blob` and `match.annotation`" + ` compare parts of a call with values. All the keys that are given must be met,
each by any of its values, and a part that a call does not have meets nothing. A value in quotes, or one that does not
look like a number, is a [pattern](#patterns) for text; ` + "`acme*`" + ` is every text that begins with acme. A number without
quotes is exactly that number, where the info has a number: ` + "`7` is also 7.0 and `1` is also `True`, but not the text 7" + `.

` + "```yaml" + `
match:
  blob:
    info.tenant: [acme, "lab-*"] # the value of the key "tenant", where the info is a dict
    info.0: 7                    # the first element, where it is a tuple or a list
    method: process_blob
  annotation: {TENT: acme}
` + "```" + `

` + "`rewrite`" + ` makes an object id or a method of what a call says:

| in a template | becomes |
|---|---|
| ` + "`{info}`" + ` | the info, if it is text or a number |
| ` + "`{info.tenant}`, `{info.0}`, `{info.\"a.b\"}`" + ` | what is there in the info, likewise |
| ` + "`{object}`, `{method}`" + ` | what the call names |
| ` + "`{{`, `}}`" + ` | one brace |

A call for which there is no such thing gets an error.
`

func reference(t *testing.T) string {
	docs := fieldDocs(t)
	about := make(map[string]string) // path of a section: what its key means
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, s := range sections() {
		title := "Top level"
		if s.path != "" {
			title = "`" + s.path + "`"
		}
		fmt.Fprintf(&b, "## %s\n\n", title)
		if text := about[s.path]; text != "" {
			fmt.Fprintf(&b, "%s\n\n", text)
		}
		b.WriteString("| key | kind | default | meaning |\n|---|---|---|---|\n")
		for _, f := range fieldsOf(s.value.Type()) {
			goField := s.value.Type().Field(f.index)
			doc := docs[s.value.Type().Name()+"."+goField.Name]
			if doc == "" {
				t.Errorf("%s.%s has no comment", s.value.Type(), goField.Name)
			}
			kind, section := kindOf(t, goField.Type, namesSomething[s.value.Type().Name()+"."+goField.Name])
			if section {
				about[join(s.path, f.key)] = doc
				about[join(s.path, f.key)+"[]"] = doc
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.key, kind, defaultOf(s.value.Field(f.index), f), strings.ReplaceAll(doc, "|", `\|`))
		}
		b.WriteString("\n")
	}
	b.WriteString(referenceTail)
	return b.String()
}

// namesSomething holds the fields that are names, of all those that are strings.
var namesSomething = map[string]bool{
	"Listener.Name": true, "Route.Name": true, "Route.Cluster": true, "Match.Listener": true, "Cluster.Name": true,
	"Cluster.ExposeListener": true, "Topics.Listener": true, "NameServer.Listener": true, "NameListener.Name": true,
	"NameGroup.Name": true,
}

// kindOf names a type as the table of values does; a section has a table of
// its own.
func kindOf(t *testing.T, typ reflect.Type, isName bool) (name string, section bool) {
	switch typ {
	case reflect.TypeFor[Address]():
		return "address", false
	case reflect.TypeFor[int]():
		return "count", false
	case reflect.TypeFor[Dialect]():
		return "dialect", false
	case reflect.TypeFor[time.Duration]():
		return "duration", false
	case reflect.TypeFor[string]():
		if isName {
			return "name", false
		}
		return "text", false
	case reflect.TypeFor[bool]():
		return "`true` or `false`", false
	case reflect.TypeFor[Percent]():
		return "percentage", false
	case reflect.TypeFor[ConsulAddress]():
		return "address of Consul", false
	case reflect.TypeFor[Mode]():
		return "`session` or `call`", false
	case reflect.TypeFor[Balance]():
		return "`least_request`, `round_robin` or `hash`", false
	case reflect.TypeFor[HashBy]():
		return "`object`, `source`, `blob_info` or `annotation:ABCD`", false
	case reflect.TypeFor[OnDown]():
		return "`keep` or `close`", false
	case reflect.TypeFor[Advertise]():
		return "advertised address", false
	case reflect.TypeFor[PortRange]():
		return "ports", false
	case reflect.TypeFor[Template]():
		return "template", false
	case reflect.TypeFor[Conditions]():
		return "mapping, see [Calls](#calls)", false
	case reflect.TypeFor[Delivery]():
		return "`one`, `all` or `first`", false
	case reflect.TypeFor[Wait]():
		return "`all`, `none` or `quorum N`", false
	case reflect.TypeFor[NoListener]():
		return "`none` or `error`", false
	case reflect.TypeFor[Expose]():
		return "`none` or `per_endpoint`", false
	case reflect.TypeFor[StorageKind]():
		return "`memory`, `file` or `consul`", false
	case reflect.TypeFor[Broadcast]():
		return "`true`, `false` or address", false
	case reflect.TypeFor[TimeoutError]():
		return "`pyro` or `builtin`", false
	case reflect.TypeFor[Circular]():
		return "`auto`, `reject` or `allow`", false
	case reflect.TypeFor[Correlation]():
		return "`generate` or `preserve`", false
	case reflect.TypeFor[DNSType]():
		return "`a` or `srv`", false
	case reflect.TypeFor[netip.Prefix]():
		return "network", false
	case reflect.TypeFor[Pattern]():
		return "pattern", false
	case reflect.TypeFor[Serializer]():
		return "serializer", false
	case reflect.TypeFor[Size]():
		return "size", false
	case reflect.TypeFor[Level]():
		return "`debug`, `info`, `warn` or `error`", false
	case reflect.TypeFor[Format]():
		return "`json` or `console`", false
	}
	switch {
	case typ.Kind() == reflect.Pointer:
		return kindOf(t, typ.Elem(), isName)
	case typ.Kind() == reflect.Struct:
		return "mapping", true
	case typ.Kind() == reflect.Slice && isScalar(typ.Elem()):
		elem, _ := kindOf(t, typ.Elem(), isName)
		return "list of " + elem + "s", false
	case typ.Kind() == reflect.Slice:
		return "list", true
	}
	t.Errorf("the reference has no name for %s", typ)
	return "", false
}

func defaultOf(v reflect.Value, f field) string {
	switch {
	case f.required:
		return "required"
	case v.Kind() == reflect.Struct && !isScalar(v.Type()):
		return "see below"
	case v.Kind() == reflect.Pointer:
		return "inherited"
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return "`" + short(d) + "`"
	}
	if v.Kind() == reflect.Slice || v.Kind() != reflect.Int && v.Kind() != reflect.Bool && v.IsZero() {
		return "none"
	}
	return "`" + fmt.Sprint(v.Interface()) + "`"
}

// fieldDocs returns the comments of all fields of the schema, by "Type.Field",
// each as one line.
func fieldDocs(t *testing.T) map[string]string {
	docs := make(map[string]string)
	for _, name := range []string{"config.go", "defaults.go", "route.go", "cluster.go", "sources.go", "consul.go", "topics.go", "nameserver.go", "storage.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		addFieldDocs(docs, file)
	}
	return docs
}

func addFieldDocs(docs map[string]string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					docs[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
		}
		return false
	})
}
