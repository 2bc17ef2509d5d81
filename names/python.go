package names

import (
	"math/big"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// The libraries' methods take whatever Python takes, so arguments of other types than
// meant are answered as Python would: these are its rules for truth, type names,
// hashing and iteration.

// truth is Python's bool(v).
func truth(v values.Value) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case *big.Int:
		return v != nil && v.Sign() != 0
	case float64:
		return v != 0
	case complex128:
		return v != 0
	case string:
		return v != ""
	case []byte:
		return len(v) > 0
	case values.Tuple:
		return len(v) > 0
	case values.List:
		return len(v) > 0
	case values.Set:
		return len(v) > 0
	case values.Dict:
		return len(v) > 0
	}
	return true
}

// typeName is Python's type(v).__name__.
func typeName(v values.Value) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case complex128:
		return "complex"
	case string:
		return "str"
	case []byte:
		return "bytes"
	case values.Tuple:
		return "tuple"
	case values.List:
		return "list"
	case values.Set:
		return "set"
	case values.Dict:
		return "dict"
	case values.URI, *values.URI:
		return "URI"
	case values.Proxy, *values.Proxy:
		return "Proxy"
	case values.Exception:
		return lastPart(v.Class)
	case *values.Exception:
		return lastPart(v.Class)
	case values.Instance:
		return lastPart(v.Class)
	}
	return "object"
}

func lastPart(class string) string { return class[strings.LastIndexByte(class, '.')+1:] }

// hashable gives the TypeError of Python's hash(v), or nil.
func hashable(v values.Value) error {
	switch v := v.(type) {
	case values.List, values.Set, values.Dict:
		return typeError("unhashable type: '" + typeName(v) + "'")
	case values.Tuple:
		for _, item := range v {
			if err := hashable(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// items gives what Python's iter(v) yields.
func items(v values.Value) ([]values.Value, error) {
	switch v := v.(type) {
	case values.Tuple:
		return v, nil
	case values.List:
		return v, nil
	case values.Set:
		return v, nil
	case values.Dict:
		keys := make([]values.Value, len(v))
		for i, p := range v {
			keys[i] = p.Key
		}
		return keys, nil
	case []byte:
		numbers := make([]values.Value, len(v))
		for i, b := range v {
			numbers[i] = int64(b)
		}
		return numbers, nil
	case string:
		var runes []values.Value
		for _, r := range v {
			runes = append(runes, string(r))
		}
		return runes, nil
	}
	return nil, typeError("'" + typeName(v) + "' object is not iterable")
}
