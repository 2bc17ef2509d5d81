package discovery

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// Keys in the meta of instances that become clusters and routes by themselves,
// beside those of entries.go.
const (
	metaObject         = "pyro-object"
	metaMode           = "pyro-mode"
	metaTimeout        = "pyro-timeout"
	metaMaxConnections = "pyro-max-connections"
	metaBalance        = "pyro-balance"
)

const (
	maxTimeout        = 24 * time.Hour
	maxMaxConnections = 1 << 20
)

// merge makes one Service of the meta of its instances.
func (c *Catalog) merge(name string, instances []*api.CatalogService) (Service, []problem) {
	m := merging{name: name, instances: instances}
	s := Service{
		Name:           name,
		Mode:           elect(&m, metaMode, oneOf("session", "call")),
		Timeout:        elect(&m, metaTimeout, parseTimeout),
		MaxConnections: elect(&m, metaMaxConnections, parseMaxConnections),
		Balance:        elect(&m, metaBalance, oneOf("least_request", "round_robin", "hash")),
		Dialect:        elect(&m, metaDialect, parseDialect),
	}
	objects := elect(&m, metaObject, c.parseObjects)
	if objects == "" {
		// Not "*": a service that says nothing must not take over every object.
		objects = escapePattern(name)
	}
	s.Objects = splitPatterns(objects)
	return s, m.problems
}

// merging is a merge in progress.
type merging struct {
	name      string
	instances []*api.CatalogService
	problems  []problem
}

// elect returns the value that most instances give for a key, of several such
// the smallest, and the zero value where none gives one.
func elect[T cmp.Ordered](m *merging, key string, parse func(string) (T, error)) T {
	votes := make(map[T]int)
	for _, i := range m.instances {
		text := strings.TrimSpace(i.ServiceMeta[key])
		if text == "" {
			continue
		}
		value, err := parse(text)
		if err != nil {
			m.problems = append(m.problems, problem{where: i.ServiceID + " of service " + m.name, what: key + ": " + err.Error()})
			continue
		}
		votes[value]++
	}
	values := make([]T, 0, len(votes))
	for v := range votes {
		values = append(values, v)
	}
	slices.SortFunc(values, func(a, b T) int {
		return cmp.Or(cmp.Compare(votes[b], votes[a]), cmp.Compare(a, b))
	})
	switch len(values) {
	case 0:
		var none T
		return none
	case 1:
	default:
		m.problems = append(m.problems, problem{
			where:    "service " + m.name,
			what:     fmt.Sprintf("instances contradict each other in %s: %v counts, not %v", key, values[0], values[1:]),
			conflict: true,
		})
	}
	return values[0]
}

func oneOf(values ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		if slices.Contains(values, text) {
			return text, nil
		}
		return "", fmt.Errorf("%q is none of %s", text, strings.Join(values, ", "))
	}
}

// parseTimeout reads "5s" as Go does, and "5" or "0.5" as seconds, as Pyro's own
// COMMTIMEOUT is.
func parseTimeout(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		var seconds float64
		if seconds, err = strconv.ParseFloat(text, 64); err == nil && seconds < maxTimeout.Seconds() {
			d = time.Duration(seconds * float64(time.Second))
		}
	}
	if err != nil || d <= 0 || d > maxTimeout {
		return 0, fmt.Errorf("%q is not a time, as in 5s, of at most %v", text, maxTimeout)
	}
	return d, nil
}

func parseMaxConnections(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxMaxConnections {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", text, maxMaxConnections)
	}
	return n, nil
}

var errNoPattern = errors.New("it names no object")

// parseObjects reads patterns with commas between them, and returns them in
// order and each once, so that instances that mean the same say the same.
func (c *Catalog) parseObjects(text string) (string, error) {
	patterns := splitPatterns(text)
	if len(patterns) == 0 {
		return "", errNoPattern
	}
	for _, p := range patterns {
		if c.config.CheckPattern == nil {
			continue
		}
		if err := c.config.CheckPattern(p); err != nil {
			return "", err
		}
	}
	slices.Sort(patterns)
	return strings.Join(slices.Compact(patterns), ","), nil
}

// splitPatterns divides at commas. A comma in an object id is matched by ?.
func splitPatterns(text string) []string {
	var patterns []string
	for p := range strings.SplitSeq(text, ",") {
		if p = strings.TrimSpace(p); p != "" {
			patterns = append(patterns, p)
		}
	}
	return patterns
}

// escapePattern makes the pattern that matches only the name.
func escapePattern(name string) string {
	var b strings.Builder
	for _, c := range name {
		if strings.ContainsRune(`*?[\`, c) {
			b.WriteByte('\\')
		}
		if c == ',' {
			c = '?'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// overlaps finds patterns that several services have. Clients get to the first of
// these by name, unless their dialects tell them apart.
func overlaps(services []Service) (problems []problem) {
	owners := make(map[string][]Service)
	for _, s := range services {
		for _, pattern := range s.Objects {
			for _, o := range owners[pattern] {
				if o.Dialect == 0 || s.Dialect == 0 || o.Dialect == s.Dialect {
					problems = append(problems, problem{
						where:    "service " + s.Name,
						what:     fmt.Sprintf("object %s is service %s's as well, which counts", pattern, o.Name),
						conflict: true,
					})
					break
				}
			}
			owners[pattern] = append(owners[pattern], s)
		}
	}
	return problems
}
