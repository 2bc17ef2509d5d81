package values

import (
	"math/big"
	"unicode/utf8"
)

// Int gives v as an integer. A bool is one in Python, and not here.
func Int(v Value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case *big.Int:
		if v != nil && v.IsInt64() {
			return v.Int64(), true
		}
	}
	return 0, false
}

// Text gives v as a string: a string, or bytes that are valid UTF-8, as which Python 2
// writes its strings in marshal and msgpack.
func Text(v Value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), utf8.Valid(v)
	}
	return "", false
}

// Strings gives the strings in a List, Tuple or Set of what Text takes. The slice is
// the caller's, and never nil where ok is true.
func Strings(v Value) (all []string, ok bool) {
	items, ok := sequence(v)
	if !ok {
		set, isSet := v.(Set)
		if !isSet {
			return nil, false
		}
		items = set
	}
	all = make([]string, 0, len(items))
	for _, item := range items {
		text, ok := Text(item)
		if !ok {
			return nil, false
		}
		all = append(all, text)
	}
	return all, true
}

// sequence gives the items of a List or a Tuple: what is a tuple when it is written is
// a list when it is read, in JSON and in msgpack.
func sequence(v Value) ([]Value, bool) {
	switch v := v.(type) {
	case List:
		return v, true
	case Tuple:
		return v, true
	case []Value:
		return v, true
	}
	return nil, false
}

// Get gives the value of the first key that Text gives as key.
func (d Dict) Get(key string) (Value, bool) {
	for _, p := range d {
		switch k := p.Key.(type) {
		case string:
			if k == key {
				return p.Value, true
			}
		case []byte:
			if string(k) == key {
				return p.Value, true
			}
		}
	}
	return nil, false
}
