package config

import (
	"encoding"
	"net/netip"
	"reflect"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar decodes a single value. The value's own text counts, not what YAML
// makes of it.
func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.refuse(path, "must be %s, not %s", scalarKind(v.Type()), kind(n))
		return
	}
	var fits, quotes bool // quotes: they would make it a string, as it should be
	switch n.ShortTag() {
	case "!!null":
		d.refuse(path, "has no value: write one, or leave the key out")
		return
	case "!!str":
		fits = v.Type() != reflect.TypeFor[int]() && v.Type() != reflect.TypeFor[bool]()
	case "!!int", "!!float":
		fits = takesNumber(v.Type())
		quotes = scalarKind(v.Type()) == "a string"
		if value, ok := v.Addr().Interface().(*Value); ok {
			if err := value.unmarshalNumber(n.Value); err != nil {
				d.refuse(path, "%v", err)
			}
			return
		}
	case "!!bool":
		fits = v.Type() == reflect.TypeFor[bool]() || v.Type() == reflect.TypeFor[Broadcast]()
		quotes = scalarKind(v.Type()) == "a string"
	case "!!timestamp":
		quotes = scalarKind(v.Type()) == "a string"
	}
	switch {
	case fits:
	case quotes:
		d.refuse(path, "must be %s, not %s: put it in quotes, \"%s\"", scalarKind(v.Type()), kind(n), n.Value)
		return
	default:
		d.refuse(path, "must be %s, not %s", scalarKind(v.Type()), kind(n))
		return
	}
	if err := setScalar(v, n.Value); err != nil {
		d.refuse(path, "%v", err)
	}
}

// setScalar parses text into v, whose type isScalar accepts.
func setScalar(v reflect.Value, text string) (err error) {
	switch dst := v.Addr().Interface().(type) {
	case *string:
		*dst = text
	case *int:
		*dst, err = parseCount(text)
	case *bool:
		*dst, err = parseBool(text)
	case *time.Duration:
		*dst, err = parseDuration(text)
	case *netip.Prefix:
		*dst, err = parsePrefix(text)
	case encoding.TextUnmarshaler:
		return dst.UnmarshalText([]byte(text))
	}
	return err
}

func isScalar(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[bool](),
		reflect.TypeFor[time.Duration](), reflect.TypeFor[netip.Prefix]():
		return true
	}
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// takesNumber reports whether a bare number is worth parsing for t, if only
// because the parser says better what the number lacks.
func takesNumber(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[int](), reflect.TypeFor[Size](), reflect.TypeFor[Percent](), reflect.TypeFor[Dialect](),
		reflect.TypeFor[time.Duration](), reflect.TypeFor[PortRange](), reflect.TypeFor[Wait]():
		return true
	}
	return false
}

func scalarKind(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[int]():
		return "a whole number"
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[Percent]():
		return "a percentage"
	case reflect.TypeFor[Size]():
		return "a size"
	case reflect.TypeFor[time.Duration]():
		return "a duration"
	case reflect.TypeFor[PortRange]():
		return "a range of ports"
	case reflect.TypeFor[Broadcast]():
		return "true, false or an address"
	case reflect.TypeFor[Value]():
		return "a string or a number"
	default:
		return "a string"
	}
}

// kind names what a node is, for a message that says what it should have been.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch tag := n.ShortTag(); tag {
	case "!!str":
		return "a string"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	case "!!timestamp":
		return "a date"
	case "!!null":
		return "nothing"
	default:
		return "a value tagged " + tag
	}
}
