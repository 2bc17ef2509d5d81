package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// exposed is nil where the object has what the call asks for, and otherwise what the
// libraries raise (getAttribute, get_exposed_property_value).
func exposed(m Members, call values.Call) *values.Exception {
	attribute := func(format string, args ...any) *values.Exception {
		return &values.Exception{Class: "builtins.AttributeError", Args: []values.Value{fmt.Sprintf(format, args...)}}
	}
	if want, ok := map[string]int{"__getattr__": 1, "__setattr__": 2}[call.Method]; ok {
		if len(call.Args) < want {
			return &values.Exception{Class: "builtins.IndexError", Args: []values.Value{"tuple index out of range"}}
		}
		if name, ok := values.Text(call.Args[0]); !ok || !slices.Contains(m.Attrs, name) {
			return attribute("attempt to access unexposed or unknown remote attribute '%s'", clip(name))
		}
		return nil
	}
	switch class := m.Class; {
	case slices.Contains(m.Methods, call.Method):
		return nil
	case strings.HasPrefix(call.Method, "_"):
		return attribute("attempt to access private attribute '%s'", clip(call.Method))
	case class == "":
		return attribute("'object' object has no attribute '%s'", clip(call.Method))
	default:
		return attribute("'%s' object has no attribute '%s'", class, clip(call.Method))
	}
}
