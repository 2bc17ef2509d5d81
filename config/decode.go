package config

import (
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// decoder fills the structs of this package from YAML nodes, and notes the
// place of every value. It goes on after a problem, so that one run tells all.
// The standard decoder does neither, and takes 0x10 or yes for what they look
// like to it.
type decoder struct {
	source   *source
	problems Problems
}

// value decodes a node into v, which holds the default until then.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	d.source.remember(path, place{file: d.source.file, line: n.Line, column: n.Column})
	switch {
	case n.Kind == yaml.AliasNode:
		// Without them a document can neither loop nor grow when it is read,
		// and each value has one place.
		d.refuse(path, "aliases (*%s) are not supported: write the value out", n.Value)
	case v.Kind() == reflect.Pointer:
		own := reflect.New(v.Type().Elem())
		if d.value(path, n, own.Elem()); !d.source.unread[path] {
			v.Set(own)
		}
	case v.Type() == reflect.TypeFor[Wait]() && n.Kind == yaml.MappingNode:
		d.quorum(path, n, v)
	case isScalar(v.Type()):
		d.scalar(path, n, v)
	case v.Type() == reflect.TypeFor[Conditions]():
		d.conditions(path, n, v)
	case v.Kind() == reflect.Slice:
		d.list(path, n, v)
	default:
		d.mapping(path, n, v)
	}
}

func (d *decoder) refuse(path, format string, args ...any) {
	d.problems = append(d.problems, d.source.problem(path, format, args...))
	if d.source.unread == nil {
		d.source.unread = make(map[string]bool)
	}
	d.source.unread[path] = true
}

func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	if n.ShortTag() == "!!null" {
		return // a section whose keys are all commented out
	}
	fields := fieldsOf(v.Type())
	if short := fields.short(); short != nil && standsFor(n, v.Field(short.index).Type()) {
		d.value(path, n, v.Field(short.index))
		return
	}
	if n.Kind != yaml.MappingNode {
		d.refuse(path, "must be a mapping with the keys %s, not %s", fields, kind(n))
		return
	}
	seen := make(map[string]int) // key: its line
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if line, twice := seen[key.Value]; twice && key.Kind == yaml.ScalarNode {
			d.source.remember(at, place{file: d.source.file, line: key.Line, column: key.Column})
			d.refuse(at, "given twice, first in line %d", line)
			continue
		}
		field := fields.named(key.Value)
		if key.Kind != yaml.ScalarNode || field == nil {
			d.unknown(path, key, fields)
			continue
		}
		seen[key.Value] = key.Line
		d.value(at, value, v.Field(field.index))
		if field.some && value.Kind == yaml.SequenceNode && len(value.Content) == 0 {
			d.refuse(at, "is an empty list, which nothing matches: leave the key out to match everything")
		}
	}
	for _, f := range fields {
		// The lists at the top may also come from flags: Validate sees to them.
		if f.required && seen[f.key] == 0 && path != "" {
			d.refuse(join(path, f.key), "is missing")
		}
	}
}

// standsFor reports whether a node in place of a mapping is the value of its
// short key, which is of type t.
func standsFor(n *yaml.Node, t reflect.Type) bool {
	return n.Kind == yaml.ScalarNode || n.Kind == yaml.SequenceNode && len(n.Content) > 0 && t.Kind() == reflect.Slice
}

// plainKey matches the keys that a message can hold as they are.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// unknown reports a key that is not in the schema, at the key rather than at
// its value.
func (d *decoder) unknown(path string, key *yaml.Node, fields fields) {
	var at string
	switch {
	case key.Kind != yaml.ScalarNode:
		at = join(path, "?") // YAML's own sign for a key that is not a scalar
	case plainKey.MatchString(key.Value):
		at = join(path, key.Value)
	default:
		at = join(path, strconv.Quote(key.Value))
	}
	d.source.remember(at, place{file: d.source.file, line: key.Line, column: key.Column})
	d.refuse(at, "unknown key: the keys here are %s", fields)
}

// maxElements bounds a list, because elements are compared with each other.
const maxElements = 10_000

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	switch {
	case n.Kind == yaml.SequenceNode:
	case n.ShortTag() == "!!null":
		return
	case isScalar(v.Type().Elem()) && n.Kind == yaml.ScalarNode:
		// The only element, written without a list around it.
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(path, n, elem)
		v.Set(reflect.Append(v, elem))
		return
	default:
		d.refuse(path, "must be a list, not %s", kind(n))
		return
	}
	if len(n.Content) > maxElements {
		d.refuse(path, "has %d elements: at most %d", len(n.Content), maxElements)
		return
	}
	for i, node := range n.Content {
		elem := reflect.New(v.Type().Elem()).Elem()
		switch e := elem.Addr().Interface().(type) {
		case *Listener:
			*e = DefaultListener()
		case *Route:
			*e = DefaultRoute()
		case *Cluster:
			*e = DefaultCluster()
		case *Endpoint:
			*e = DefaultEndpoint()
		case *NameListener:
			*e = DefaultNameListener()
		}
		if node.ShortTag() == "!!null" {
			d.source.remember(index(path, i), place{file: d.source.file, line: node.Line, column: node.Column})
			d.refuse(index(path, i), "has no value: write one, or leave the element out")
		} else {
			d.value(index(path, i), node, elem)
		}
		v.Set(reflect.Append(v, elem))
	}
}
