package metrics_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
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
| ` + "`/readyz`" + ` | 200 while clients are accepted, also while no source or store has answered yet; 503 and the reason while starting and draining |
| ` + "`/api/…`" + ` | what [the admin API](admin-api.md) says of clusters |

Beside those below there are the usual metrics of a Go process (` + "`go_…`, `process_…`" + `) and of the scrapes themselves
(` + "`promhttp_…`" + `). Every name begins with ` + "`pyro_dispatch_`" + `. Series exist from the start, counters at 0; those of an
endpoint from when a source names it until none does and nothing is connected to it any more.
`

const referenceWatch = `## What to watch

| question | query |
|---|---|
| Which routes lose calls? | ` + "`sum by (route) (rate(pyro_dispatch_calls_total{outcome=~\"backend_.*\"}[5m]))`" + ` |
| How slow is the slowest call in a hundred? | ` + "`histogram_quantile(0.99, sum by (route, le) (rate(pyro_dispatch_call_duration_seconds_bucket[5m])))`" + ` |
| Which routes' calls run out of time? | ` + "`sum by (route) (rate(pyro_dispatch_calls_total{outcome=~\"timeout|send_timeout|no_budget\"}[5m])) > 0`" + ` |
| Do calls wait for themselves? | ` + "`sum by (route, action) (increase(pyro_dispatch_circles_total{certainty=\"certain\"}[5m])) > 0`" + ` |
| Which endpoints are in trouble? | ` + "`sum by (cluster, endpoint) (increase(pyro_dispatch_connect_failures_total[5m])) > 0`" + ` |
| Which are down, by the health checks, or ejected? | ` + "`pyro_dispatch_endpoint_up == 0 or pyro_dispatch_endpoint_ejected == 1`" + ` |
| Why do the health checks fail? | ` + "`sum by (cluster, endpoint, result) (increase(pyro_dispatch_health_checks_total{result!=\"alive\",result!=\"saturated\"}[5m])) > 0`" + ` |
| Which breakers are open? | ` + "`pyro_dispatch_endpoint_breaker_state{state=\"open\"} == 1`" + ` |
| Are so few endpoints well that all are used? | ` + "`pyro_dispatch_cluster_panic == 1`" + ` |
| Is none well? | ` + "`pyro_dispatch_cluster_endpoints_healthy == 0`" + ` |
| Do clients find no endpoint at all? | ` + "`rate(pyro_dispatch_sessions_ended_total{reason=\"no_endpoint\"}[5m]) > 0`" + ` |
| Do calls? (mode call) | ` + "`rate(pyro_dispatch_calls_total{outcome=\"no_endpoint\"}[5m]) > 0`" + ` |
| Is a queue filling up? | ` + "`pyro_dispatch_queue_length / pyro_dispatch_queue_limit > 0.5`" + ` |
| How long do 99 of 100 wait at most that have to? | ` + "`histogram_quantile(0.99, sum by (cluster, le) (rate(pyro_dispatch_queue_wait_seconds_bucket[5m])))`" + ` |
| Do some wait in vain, or find the queue full? | ` + "`sum by (cluster, reason) (rate(pyro_dispatch_queue_refused_total[5m])) > 0`" + ` |
| Which daemons have too few threads? | ` + "`sum by (cluster, endpoint) (rate(pyro_dispatch_endpoint_saturated_total[5m])) > 0`" + ` |
| Which still work on calls that nobody waits for? | ` + "`pyro_dispatch_endpoint_ghosts > 0`" + ` |
| Do streams take all connections that they may? | ` + "`rate(pyro_dispatch_pins_refused_total[5m]) > 0`" + ` |
| Are calls lost because too many were sent again? | ` + "`rate(pyro_dispatch_resend_budget_exhausted_total[5m]) > 0`" + ` |
| Which sources have not answered for five minutes? | ` + "`time() - pyro_dispatch_source_last_answer_timestamp_seconds > 300`" + ` |
| Why not? | ` + "`sum by (cluster, source, reason) (increase(pyro_dispatch_source_failures_total[5m])) > 0`" + ` |
| Is it not known yet who listens to the topics? | ` + "`pyro_dispatch_topics_known == 0`" + ` |
| Is a listener almost full? | ` + "`pyro_dispatch_sessions / pyro_dispatch_sessions_limit > 0.9`" + ` |
| Are there hardly any ports left? | ` + "`pyro_dispatch_ports / pyro_dispatch_ports_limit > 0.9`" + ` |
| Can registrations not be kept? | ` + "`sum by (store) (increase(pyro_dispatch_store_failures_total[5m])) > 0`" + ` |
| Do slow senders use up the memory for requests? | ` + "`rate(pyro_dispatch_buffer_memory_waits_total[5m]) > 0`" + ` |

Consul answers at least every minute or so, a DNS name every ` + "`interval`" + `: five minutes are too few where that is longer.
`

// labelMeanings are all labels there may be. None has values that a client
// could choose.
var labelMeanings = map[string]string{
	"listener":  "the listener's name in the configuration",
	"route":     "the route's name in the configuration",
	"cluster":   "the cluster's name in the configuration, or that of the service in Consul that it was made of",
	"endpoint":  "the endpoint's address as in the configuration, or as a source tells it",
	"source":    "see [below](#source)",
	"store":     "see [below](#store-of-store_failures_total)",
	"outcome":   "see [below](#outcome)",
	"reason":    "see below, for each metric",
	"result":    "see [below](#result-of-health_checks_total)",
	"state":     "see [below](#state)",
	"certainty": "see [below](#certainty-of-circles_total)",
	"action":    "see [below](#action-of-circles_total)",
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
	for _, l := range []string{"listener", "route", "cluster", "endpoint", "source", "store", "outcome", "reason", "result", "state", "certainty", "action", "direction", "version", "revision", "goversion"} {
		if !used[l] {
			t.Errorf("no metric has the label %s", l)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", l, labelMeanings[l])
	}

	for _, l := range []string{"outcome", "source", "store", "state", "result", "reason", "certainty", "action"} {
		writeValues(t, &b, l, families)
	}
	b.WriteString("\n" + referenceWatch)
	checkNames(t, referenceWatch, families)
	return b.String()
}

// writeValues writes a table of what the values of a label mean, for each metric
// that has it, or for all of them where they have the same.
func writeValues(t *testing.T, b *strings.Builder, label string, families []family) {
	var with []family
	for _, f := range families {
		if slices.Contains(f.labels, label) {
			with = append(with, f)
		}
	}
	shared := len(with) > 1 && !slices.ContainsFunc(with, func(f family) bool { return !slices.Equal(f.values[label], with[0].values[label]) })
	meanings := valueMeanings(t)
	for i, f := range with {
		switch {
		case !shared:
			fmt.Fprintf(b, "\n### `%s` of `%s`\n", label, f.name)
		case i == 0:
			fmt.Fprintf(b, "\n### `%s`\n", label)
		default:
			continue
		}
		b.WriteString("\n| value | meaning |\n|---|---|\n")
		for _, v := range f.values[label] {
			meaning := meanings[f.name+" "+label][v]
			if shared {
				meaning = meanings[label][v]
			}
			if meaning == "" {
				t.Errorf("no comment says what %s=%q of %s means", label, v, f.name)
			}
			fmt.Fprintf(b, "| `%s` | %s |\n", v, meaning)
		}
	}
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

// valueMeanings returns the comments behind the values of labels, by label, after
// the metric's name where each metric has others, and by value.
func valueMeanings(t *testing.T) map[string]map[string]string {
	reasons := commentedStrings(t, "reasons.go")
	ended := maps.Clone(reasons["endReasons"])
	maps.Copy(ended, reasons["rejectReasons"])
	return map[string]map[string]string{
		"outcome":                       comments(constants(t, "handles.go", "Outcome")),
		"connect_failures_total reason": comments(constants(t, "reasons.go", "ConnectFailure")),
		"health_checks_total result":    reasons["checkResults"],
		"queue_refused_total reason":    comments(constants(t, "reasons.go", "queueRefusal")),
		"rejected_total reason":         reasons["rejectReasons"],
		"sessions_ended_total reason":   ended,
		"source":                        comments(constants(t, "source.go", "SourceKind")),
		"source_failures_total reason":  commentedStrings(t, "source.go")["sourceFailures"],
		"store_failures_total store":    comments(constants(t, "own.go", "StoreKind")),
		"state":                         reasons["breakerStates"],
		"circles_total certainty":       reasons["circleCertainties"],
		"circles_total action":          reasons["circleActions"],
	}
}

// constant is one of a list of constants, with the comment behind it.
type constant struct{ value, comment string }

func values(list []constant) (found []string) {
	for _, c := range list {
		found = append(found, c.value)
	}
	return found
}

func comments(list []constant) map[string]string {
	found := make(map[string]string)
	for _, c := range list {
		found[c.value] = c.comment
	}
	return found
}

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
			if !ours || spec.Names[0].Name == "numOutcomes" {
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

// commentedStrings returns the strings in a file's lists with the comments behind
// them, by the lists' names.
func commentedStrings(t *testing.T, file string) map[string]map[string]string {
	fset := token.NewFileSet()
	parsed := parse(t, fset, file)
	byLine := make(map[int]string)
	for _, c := range parsed.Comments {
		byLine[fset.Position(c.Pos()).Line] = strings.TrimSpace(c.Text())
	}
	found := make(map[string]map[string]string)
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		list, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			return true
		}
		of := make(map[string]string)
		for _, elem := range list.Elts {
			if lit, ok := elem.(*ast.BasicLit); ok {
				of[unquote(t, lit)] = byLine[fset.Position(lit.Pos()).Line]
			}
		}
		found[spec.Names[0].Name] = of
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
