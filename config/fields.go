package config

import (
	"reflect"
	"strings"
)

// field is a key of a mapping, as the tag of a struct's field declares it.
type field struct {
	index                 int
	key                   string
	required, short, some bool
}

type fields []field

func fieldsOf(t reflect.Type) fields {
	var fs fields
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		key, options, _ := strings.Cut(tag, ",")
		f := field{index: i, key: key}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "required":
				f.required = true
			case "short":
				f.short = true
			case "some":
				f.some = true
			}
		}
		fs = append(fs, f)
	}
	return fs
}

func (fs fields) named(key string) *field {
	for i := range fs {
		if fs[i].key == key {
			return &fs[i]
		}
	}
	return nil
}

func (fs fields) short() *field {
	for i := range fs {
		if fs[i].short {
			return &fs[i]
		}
	}
	return nil
}

// String lists the keys, for messages.
func (fs fields) String() string {
	keys := make([]string, len(fs))
	for i, f := range fs {
		keys[i] = f.key
	}
	return strings.Join(keys, ", ")
}
