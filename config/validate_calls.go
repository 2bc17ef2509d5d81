package config

import (
	"regexp"
	"slices"
	"strings"
)

// makesRoutes reports whether there are routes and clusters beside those of the file.
func (c *Config) makesRoutes() bool {
	return c.Consul.Discover.Tag != "" || c.Topics.Enabled() || c.NameServer.Enabled()
}

// conditions checks what a match asks of calls.
func (v *validator) conditions(path string, m *Match) {
	for _, c := range m.Blob {
		at := conditionPath(join(path, "blob"), c.Key)
		switch {
		case c.Key == "object", c.Key == "method":
			v.noNumbers(at, c.Any)
		case c.Key == "info":
		case strings.HasPrefix(c.Key, "info."):
			if err := checkInfoPath(c.Key); err != nil {
				v.problem(at, "%v", err)
			}
		default:
			v.problem(at, "is nothing that a blob call has: use info, object, method, or a path as in info.tenant")
		}
	}
	for _, c := range m.Annotation {
		at := conditionPath(join(path, "annotation"), c.Key)
		switch {
		case len(c.Key) != 4 || !isVisibleASCII(c.Key):
			v.problem(at, "is not an annotation: it has four characters of ASCII, as in TENT")
		case c.Key == "BLBI":
			v.problem(at, "is what blob looks into: use that")
		}
		v.noNumbers(at, c.Any)
	}
}

func (v *validator) noNumbers(path string, values []Value) {
	for i, value := range values {
		if !value.Number {
			continue
		}
		at := path
		if elem := index(path, i); v.source.has(elem) {
			at = elem
		}
		v.problem(at, `is text in every call, and never the number %s: put it in quotes, "%s"`, value.Text, value.Text)
	}
}

// calls refuses what has an effect on single calls only where there are none.
func (v *validator) calls(path string, r *Route) {
	v.wait(path, r.Delivery, r.Wait)
	if v.source.unreadWithin(join(path, "match")) {
		return
	}
	if len(r.Match.Blob) == 0 {
		if !r.Rewrite.IsZero() {
			v.problem(join(path, "rewrite"), "means nothing without match.blob")
		}
		if r.Delivery != DeliverOne {
			v.problem(join(path, "delivery"), "means nothing without match.blob: only calls with a blob can go to several")
		}
	}
	if !r.Match.PerCall() && r.NoListener != NoListenerError {
		v.problem(join(path, "no_listener"), "means nothing without match.blob or match.annotation")
	}
}

// wait refuses what would have no effect.
func (v *validator) wait(path string, d Delivery, w Wait) {
	at := join(path, "wait")
	if w != WaitAll && v.source.has(at) && d != DeliverAll && !v.source.unread[join(path, "delivery")] {
		v.problem(at, "means nothing with delivery: %s, only with delivery: %s", d, DeliverAll)
	}
}

// methodName is what Python can call a method and Pyro can expose.
var methodName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

const (
	maxMethods = 1000
	maxMethod  = 255
)

// answer checks an answer of our own to a CONNECT.
func (v *validator) answer(path string, r *Route) {
	at := join(path, "answer")
	methods := v.shortPath(at, "methods")
	if r.Answer.IsZero() {
		if v.source.has(at) && v.source.has(methods) && !v.source.unreadWithin(at) && methods != at {
			v.problem(methods, "is empty: name at least one method")
		}
		return
	}
	v.methods(methods, r.Answer.Methods)
	v.methods(join(at, "oneway"), r.Answer.Oneway)
	for i, name := range r.Answer.Oneway {
		if !slices.Contains(r.Answer.Methods, name) && !v.source.unreadWithin(methods) {
			v.problem(v.element(join(at, "oneway"), i), "%q is not among the methods", name)
		}
	}
	if v.source.unreadWithin(join(path, "match")) {
		return
	}
	if r.Match.PerCall() {
		v.problem(at, "means nothing with match.%s: such a route is for single calls, and no CONNECT matches it", r.Match.perCallKey())
		return
	}
	if len(r.Match.Object) == 0 {
		v.problem(at, "needs match.object: the ids of the objects that have these methods")
	}
	for i, p := range r.Match.Object {
		if _, exact := p.Exact(); !exact {
			v.problem(v.element(join(path, "match.object"), i), "%q is not an exact object id, which answer needs", p)
		}
	}
}

func (v *validator) methods(path string, names []string) {
	if len(names) > maxMethods {
		v.problem(path, "has %d elements: at most %d", len(names), maxMethods)
		return
	}
	for i, name := range names {
		switch at := v.element(path, i); {
		case len(name) > maxMethod || !methodName.MatchString(name):
			v.problem(at, "%q is not the name of a method", name)
		case slices.Contains(names[:i], name):
			v.problem(at, "%q is listed twice", name)
		}
	}
}

// element returns the path of an element, or that of the list where its only element
// is written without one.
func (v *validator) element(path string, i int) string {
	if elem := index(path, i); v.source.has(elem) {
		return elem
	}
	return path
}
