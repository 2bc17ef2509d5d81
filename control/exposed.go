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
		name, ok := values.Text(call.Args[0])
		switch {
		case ok && slices.Contains(m.Attrs, name):
			return nil
		case call.Method == "__setattr__" || !ok || m.Class == "" || private(name) || slices.Contains(m.Methods, name):
			return attribute("attempt to access unexposed or unknown remote attribute '%s'", clip(name))
		}
		return attribute("type object '%s' has no attribute '%s'", m.Class, clip(name)) // as getattr says
	}
	switch class := m.Class; {
	case slices.Contains(m.Methods, call.Method):
		return nil
	case private(call.Method):
		return attribute("attempt to access private attribute '%s'", clip(call.Method))
	case slices.Contains(m.Hidden, call.Method):
		return attribute("attempt to access unexposed attribute '%s'", call.Method)
	case class == "":
		return attribute("'object' object has no attribute '%s'", clip(call.Method))
	default:
		return attribute("'%s' object has no attribute '%s'", class, clip(call.Method))
	}
}

// private is is_private_attribute of both libraries.
func private(name string) bool {
	switch {
	case privateDunder[name]:
		return true
	case !strings.HasPrefix(name, "_"):
		return false
	}
	return len(name) <= 4 || !strings.HasPrefix(name, "__") || !strings.HasSuffix(name, "__")
}

// privateDunder are the names with two underscores at either end that are private
// (_private_dunder_methods).
var privateDunder = map[string]bool{
	"__init__": true, "__init_subclass__": true, "__class__": true, "__module__": true, "__weakref__": true,
	"__call__": true, "__new__": true, "__del__": true, "__repr__": true, "__unicode__": true,
	"__str__": true, "__format__": true, "__nonzero__": true, "__bool__": true, "__coerce__": true,
	"__cmp__": true, "__eq__": true, "__ne__": true, "__hash__": true, "__ge__": true, "__gt__": true, "__le__": true, "__lt__": true,
	"__dir__": true, "__enter__": true, "__exit__": true, "__copy__": true, "__deepcopy__": true, "__sizeof__": true,
	"__getattr__": true, "__setattr__": true, "__hasattr__": true, "__getattribute__": true, "__delattr__": true,
	"__instancecheck__": true, "__subclasscheck__": true, "__getinitargs__": true, "__getnewargs__": true,
	"__getstate__": true, "__setstate__": true, "__reduce__": true, "__reduce_ex__": true,
	"__getstate_for_dict__": true, "__setstate_from_dict__": true, "__subclasshook__": true,
}
