package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxDocument is the largest document that Load reads, in bytes. It bounds
// what a wrong file name can cost; no configuration comes near it.
const MaxDocument = 4 << 20

// Load reads a YAML document over the defaults. The name is used in messages
// only. Unknown and repeated keys, wrong types and values that cannot be read
// are errors; so are aliases and a second document.
//
// A non-nil error is a Problems, the Config is nil then. It holds all that is
// wrong with the document, what Validate would say included. A nil error says
// nothing about meaning: call Validate, after ApplyQuick where that is used.
func Load(name string, doc []byte) (*Config, error) {
	root, problem := parse(name, doc)
	if problem != nil {
		return nil, Problems{*problem}
	}
	c := Default()
	c.source.file = name
	d := decoder{source: &c.source}
	if root != nil {
		d.value("", root, reflect.ValueOf(&c).Elem())
	}
	c.fillIn()
	if len(d.problems) > 0 {
		all := append(d.problems, c.Validate()...)
		all.sort()
		return nil, all
	}
	return &c, nil
}

// parse returns the root of the only document, or nil where there is no
// content.
func parse(name string, doc []byte) (*yaml.Node, *Problem) {
	if len(doc) > MaxDocument {
		return nil, &Problem{File: name, Text: fmt.Sprintf("larger than %s: this cannot be a configuration", Size(MaxDocument))}
	}
	dec := yaml.NewDecoder(bytes.NewReader(doc))
	var first, second yaml.Node
	if err := dec.Decode(&first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxProblem(name, err)
	}
	if err := dec.Decode(&second); err == nil {
		return nil, &Problem{File: name, Line: second.Line, Column: second.Column, Text: "a second document begins here: a configuration is one document"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxProblem(name, err)
	}
	root := first.Content[0]
	if root.ShortTag() == "!!null" {
		return nil, nil
	}
	return root, nil
}

var yamlErrorLine = regexp.MustCompile(`^line ([0-9]+): `)

// syntaxProblem takes the line out of the YAML parser's error text, which is
// the only place where it says it.
func syntaxProblem(name string, err error) *Problem {
	p := Problem{File: name}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlErrorLine.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	p.Text = "not valid YAML: " + text
	return &p
}

// fillIn gives values to the keys whose default depends on other keys.
func (c *Config) fillIn() {
	for i := range c.Listeners {
		if l := &c.Listeners[i]; l.Name == "" {
			l.Name = l.Address.String()
		}
	}
	for i := range c.NameServer.Listeners {
		if l := &c.NameServer.Listeners[i]; l.Name == "" {
			l.Name = l.Address.String()
		}
	}
	c.nameRoutes()
	for i := range c.Routes {
		if r := &c.Routes[i]; r.alwaysCall() && !c.source.has(join(index("routes", i), "mode")) {
			r.Mode = ModeCall
		}
	}
	for i := range c.Clusters {
		cluster := &c.Clusters[i]
		for j := range cluster.Static {
			if e := &cluster.Static[j]; e.Dialect == 0 {
				e.Dialect = cluster.Dialect
			}
		}
	}
}

// nameRoutes gives names to the routes that have none.
func (c *Config) nameRoutes() {
	taken := make(map[string]bool)
	for _, r := range c.Routes {
		taken[r.Name] = true
	}
	tried := make(map[string]int) // base: the last number given to a route of it
	for i := range c.Routes {
		r := &c.Routes[i]
		base := r.Cluster
		if base == "" {
			base = r.answered()
		}
		if r.Name != "" || base == "" {
			continue
		}
		n := max(1, tried[base])
		for r.Name = base; taken[r.Name]; r.Name = base + "-" + strconv.Itoa(n) {
			n++
		}
		taken[r.Name] = true
		tried[base] = n
	}
}
