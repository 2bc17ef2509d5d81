package metrics_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// TestReference keeps docs/metrics.md equal to the collectors: names, types,
// labels and their values come from a registry, meanings from the help texts
// and the comments behind the values. "go test ./metrics -update" rewrites it.
func TestReference(t *testing.T) {
	pyrotest.Golden(t, "../docs/metrics.md", reference(t), *update)
}

const referenceHead = `# Metrics

<!-- Generated from the collectors in metrics/ by "go test ./metrics -update": edit them, not this page. -->

The admin server, ` + "`http://127.0.0.1:9990`" + ` unless ` + "`admin.address`" + ` or ` + "`--admin`" + ` says otherwise, answers

| path | with |
|---|---|
| ` + "`/metrics`" + ` | the metrics, in the text format of Prometheus or as OpenMetrics, whichever is asked for |
| ` + "`/healthz`" + ` | 200 while the process runs |
| ` + "`/readyz`" + ` | 200 while clients are accepted; 503 and the reason while starting and draining |

Beside those below there are the usual metrics of a Go process (` + "`go_…`, `process_…`" + `) and of the scrapes themselves
(` + "`promhttp_…`" + `). Every name begins with ` + "`pyro_dispatch_`" + `. Series exist, at 0, from the start.
`

const referenceWatch = `## What to watch

| question | query |
|---|---|
| Which routes lose calls? | ` + "`sum by (route) (rate(pyro_dispatch_calls_total{outcome=~\"backend_.*\"}[5m]))`" + ` |
| How slow is the slowest call in a hundred? | ` + "`histogram_quantile(0.99, sum by (route, le) (rate(pyro_dispatch_call_duration_seconds_bucket[5m])))`" + ` |
| Which endpoints are in trouble? | ` + "`sum by (cluster, endpoint) (increase(pyro_dispatch_connect_failures_total[5m])) > 0`" + ` |
| Do clients find no endpoint at all? | ` + "`rate(pyro_dispatch_sessions_ended_total{reason=\"no_endpoint\"}[5m]) > 0`" + ` |
| Is a listener almost full? | ` + "`pyro_dispatch_sessions / pyro_dispatch_sessions_limit > 0.9`" + ` |
| Do slow senders use up the memory for requests? | ` + "`rate(pyro_dispatch_buffer_memory_waits_total[5m]) > 0`" + ` |
`

// labelMeanings are all labels there may be. None has values that a client
// could choose.
var labelMeanings = map[string]string{
	"listener":  "the listener's name in the configuration",
	"route":     "the route's name in the configuration",
	"cluster":   "the cluster's name in the configuration",
	"endpoint":  "the endpoint's address as in the configuration",
	"outcome":   "see [below](#outcome-of-calls_total)",
	"reason":    "see below, for each metric",
	"direction": "`request`: from clients to endpoints; `reply`: from endpoints to clients",
	"version":   "the program's version",
	"revision":  "the commit it was built from",
	"goversion": "the Go release it was built with",
}

func reference(t *testing.T) string {
	families := gather(t, newSet().Registry)
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("\n| name | type | labels | meaning |\n|---|---|---|---|\n")
	used := make(map[string]bool)
	for _, f := range families {
		labels := make([]string, len(f.labels))
		for i, l := range f.labels {
			labels[i] = "`" + l + "`"
			used[l] = true
		}
		if f.help == "" {
			t.Errorf("%s has no help", f.name)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s%s |\n", f.name, f.kind, strings.Join(labels, ", "), f.help, buckets(f))
	}

	b.WriteString("\n## Labels\n\n| label | value |\n|---|---|\n")
	for _, l := range []string{"listener", "route", "cluster", "endpoint", "outcome", "reason", "direction", "version", "revision", "goversion"} {
		if !used[l] {
			t.Errorf("no metric has the label %s", l)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", l, labelMeanings[l])
	}

	meanings := valueMeanings(t)
	for _, f := range families {
		for _, label := range f.labels {
			if label != "outcome" && label != "reason" {
				continue
			}
			fmt.Fprintf(&b, "\n### `%s` of `%s`\n\n| value | meaning |\n|---|---|\n", label, f.name)
			for _, v := range f.values[label] {
				if meanings[f.name][v] == "" {
					t.Errorf("no comment says what %s=%q of %s means", label, v, f.name)
				}
				fmt.Fprintf(&b, "| `%s` | %s |\n", v, meanings[f.name][v])
			}
		}
	}

	b.WriteString("\n" + referenceWatch)
	checkNames(t, referenceWatch, families)
	return b.String()
}

func buckets(f family) string {
	if f.bounds == nil {
		return ""
	}
	bounds := make([]string, len(f.bounds))
	for i, v := range f.bounds {
		bounds[i] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return " Buckets: " + strings.Join(bounds, ", ") + "."
}

// checkNames wants the metrics and the whole values that a text names to exist.
func checkNames(t *testing.T, text string, families []family) {
	for _, m := range regexp.MustCompile(namespace+`(\w+)(?:\{(\w+)="(.*?)"\})?`).FindAllStringSubmatch(text, -1) {
		i := slices.IndexFunc(families, func(f family) bool { return f.name == strings.TrimSuffix(m[1], "_bucket") })
		if i < 0 {
			t.Errorf("the page names %s, which is no metric", m[1])
			continue
		}
		if m[2] != "" && !slices.Contains(families[i].values[m[2]], m[3]) {
			t.Errorf("the page names %s, which there is not", m[0])
		}
	}
}

// valueMeanings returns the comments behind the values of outcome and reason,
// by metric and value.
func valueMeanings(t *testing.T) map[string]map[string]string {
	outcomes := make(map[string]string)
	for _, c := range constants(t, "handles.go", "Outcome") {
		outcomes[c.value] = c.comment
	}
	failures := make(map[string]string)
	for _, c := range constants(t, "reasons.go", "ConnectFailure") {
		failures[c.value] = c.comment
	}
	reasons := commentedStrings(t, "reasons.go")
	return map[string]map[string]string{
		"calls_total":            outcomes,
		"connect_failures_total": failures,
		"rejected_total":         reasons,
		"sessions_ended_total":   reasons,
	}
}

// constant is one of a list of constants, with the comment behind it.
type constant struct{ value, comment string }

// constants returns the constants that are declared with a type: those of type
// Outcome, which are numbers, by their names.
func constants(t *testing.T, file, typeName string) (found []constant) {
	t.Helper()
	parsed := parse(t, token.NewFileSet(), file)
	ast.Inspect(parsed, func(n ast.Node) bool {
		decl, ok := n.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			return true
		}
		ours := false
		for i, s := range decl.Specs {
			spec := s.(*ast.ValueSpec)
			if spec.Type != nil {
				ours = spec.Type.(*ast.Ident).Name == typeName
			}
			if !ours || !spec.Names[0].IsExported() {
				continue
			}
			c := constant{comment: strings.TrimSpace(spec.Comment.Text())}
			if typeName == "Outcome" {
				c.value = metrics.Outcome(i).String()
			} else {
				c.value = unquote(t, spec.Values[0].(*ast.BasicLit))
			}
			found = append(found, c)
		}
		return false
	})
	if len(found) == 0 {
		t.Fatalf("%s has no constants of type %s", file, typeName)
	}
	return found
}

// commentedStrings returns the strings in lists that have a comment behind them.
func commentedStrings(t *testing.T, file string) map[string]string {
	fset := token.NewFileSet()
	parsed := parse(t, fset, file)
	byLine := make(map[int]string)
	for _, c := range parsed.Comments {
		byLine[fset.Position(c.Pos()).Line] = strings.TrimSpace(c.Text())
	}
	found := make(map[string]string)
	ast.Inspect(parsed, func(n ast.Node) bool {
		list, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		for _, elem := range list.Elts {
			if lit, ok := elem.(*ast.BasicLit); ok {
				found[unquote(t, lit)] = byLine[fset.Position(lit.Pos()).Line]
			}
		}
		return false
	})
	return found
}

func parse(t *testing.T, fset *token.FileSet, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func unquote(t *testing.T, lit *ast.BasicLit) string {
	t.Helper()
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
