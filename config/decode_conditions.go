package config

import (
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxConditions bounds what is looked at for each call.
const maxConditions = 100

// conditions decodes a mapping whose keys are those of a call and not of the schema.
// What keys there are is Validate's business.
func (d *decoder) conditions(path string, n *yaml.Node, v reflect.Value) {
	switch {
	case n.Kind != yaml.MappingNode:
		d.refuse(path, "must be a mapping, not %s", kind(n))
		return
	case len(n.Content) == 0:
		d.refuse(path, "is empty: leave the key out, or say what a call must have")
		return
	case len(n.Content)/2 > maxConditions:
		d.refuse(path, "has %d keys: at most %d", len(n.Content)/2, maxConditions)
		return
	}
	var all Conditions
	seen := make(map[string]int) // key: its line
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, node := n.Content[i], n.Content[i+1]
		at := conditionPath(path, key.Value)
		if key.Kind != yaml.ScalarNode {
			at = join(path, "?")
		}
		if line, twice := seen[at]; twice || key.Kind != yaml.ScalarNode {
			d.source.remember(at, place{file: d.source.file, line: key.Line, column: key.Column})
			if twice {
				d.refuse(at, "given twice, first in line %d", line)
			} else {
				d.refuse(at, "is no key: keys are scalars")
			}
			continue
		}
		seen[at] = key.Line
		c := Condition{Key: key.Value}
		d.value(at, node, reflect.ValueOf(&c.Any).Elem())
		if len(c.Any) == 0 && !d.source.unread[at] {
			d.refuse(at, "has no value: write one, or leave the key out")
		}
		all = append(all, c)
	}
	v.Set(reflect.ValueOf(all))
}

// conditionPath returns the path of a condition's key. One with dots is quoted, so
// that it does not look like keys within each other.
func conditionPath(path, key string) string {
	if !plainKey.MatchString(key) {
		key = strconv.Quote(key)
	}
	return join(path, key)
}

// quorum decodes {quorum: N}, the other way to write "quorum N".
func (d *decoder) quorum(path string, n *yaml.Node, v reflect.Value) {
	var q struct {
		Quorum int `yaml:"quorum,required"`
	}
	d.mapping(path, n, reflect.ValueOf(&q).Elem())
	if d.source.unreadWithin(path) {
		d.source.unread[path] = true
		return
	}
	var w Wait
	if err := w.UnmarshalText([]byte(waitQuorum + strconv.Itoa(q.Quorum))); err != nil {
		d.refuse(path, "a quorum is from 1 to %d, not %d", maxQuorum, q.Quorum)
		return
	}
	v.SetString(string(w))
}
