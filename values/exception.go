package values

import (
	"fmt"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Exception is an exception of Python's. As a Value it is what Decode gives a pointer
// to; Append takes both. The pointer is an error too.
type Exception struct {
	// Class is its full name. Pyro's own classes are "errors." and the name (such as
	// "errors.NamingError"), written with the module of the dialect in front; Python's
	// are "builtins." and the name, which Python 2 knows too. Other classes, such as
	// "sqlite3.OperationalError", clients know or not.
	Class      string
	Args       []Value
	Attributes Dict // such as "_pyroTraceback", a List of strings
}

// Error is the class without its module, and the arguments.
func (e *Exception) Error() string {
	name := e.Class[strings.LastIndexByte(e.Class, '.')+1:]
	switch len(e.Args) {
	case 0:
		return name
	case 1:
		if text, ok := Text(e.Args[0]); ok {
			return name + ": " + text
		}
		return fmt.Sprintf("%s: %v", name, e.Args[0])
	}
	return fmt.Sprintf("%s: %v", name, e.Args)
}

// Raised stands in the result of a batch for the call that raised Exception:
// _ExceptionWrapper of both libraries. The results end with it.
type Raised struct{ Exception *Exception }

// pyroErrors are the names in errors.py of both libraries. Without a module they are
// taken for Pyro's before Python's, as by all_exceptions there.
var pyroErrors = map[string]bool{
	"PyroError": true, "CommunicationError": true, "ConnectionClosedError": true, "TimeoutError": true,
	"ProtocolError": true, "MessageTooLargeError": true, "NamingError": true, "DaemonError": true,
	"SecurityError": true, "SerializeError": true,
}

// neutralClass is the class of an exception by its name in a payload. What the
// libraries' dict_to_class takes for the same class is the same here.
func neutralClass(name string) string {
	for _, library := range []string{"Pyro4.", "Pyro5."} {
		if rest, ok := strings.CutPrefix(name, library); ok && strings.HasPrefix(rest, "errors.") {
			return rest
		}
	}
	if rest, ok := strings.CutPrefix(name, "exceptions."); ok { // Python 2
		return "builtins." + rest
	}
	if strings.Contains(name, ".") {
		return name
	}
	if pyroErrors[name] {
		return "errors." + name
	}
	return "builtins." + name
}

// dialectClass is the name of the class in payloads of a dialect.
func dialectClass(class string, d wire.Dialect) string {
	class = neutralClass(class)
	if strings.HasPrefix(class, "errors.") {
		return library(d) + class
	}
	return class
}

func library(d wire.Dialect) string {
	if d == wire.V48 {
		return "Pyro4."
	}
	return "Pyro5."
}
