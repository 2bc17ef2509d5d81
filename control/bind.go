package control

import (
	"fmt"
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// Bind gives the arguments of a call in the order of the method's parameters, nil
// (None) for those left out. The first required ones cannot be. The error is the
// TypeError that Python raises, a *values.Exception; method is what its text calls the
// method, by custom "Class.method".
func Bind(method string, parameters []string, required int, args []values.Value, kwargs values.Dict) ([]values.Value, error) {
	typeError := func(format string, a ...any) error {
		return &values.Exception{
			Class: "builtins.TypeError", Args: []values.Value{method + "() " + fmt.Sprintf(format, a...)},
		}
	}
	if len(args) > len(parameters) {
		// Python counts self.
		return nil, typeError("takes %s but %d were given", takes(required+1, len(parameters)+1), len(args)+1)
	}
	bound := make([]values.Value, len(parameters))
	given := make([]bool, len(parameters))
	for i, a := range args {
		bound[i], given[i] = a, true
	}
	for _, p := range kwargs {
		name, _ := values.Text(p.Key)
		i := slices.Index(parameters, name)
		switch {
		case i < 0:
			return nil, typeError("got an unexpected keyword argument '%s'", clip(name))
		case given[i]:
			return nil, typeError("got multiple values for argument '%s'", name)
		}
		bound[i], given[i] = p.Value, true
	}
	var missing []string
	for i, name := range parameters[:required] {
		if !given[i] {
			missing = append(missing, "'"+name+"'")
		}
	}
	switch n := len(missing); {
	case n == 1:
		return nil, typeError("missing 1 required positional argument: %s", missing[0])
	case n > 1:
		return nil, typeError("missing %d required positional arguments: %s", n, enumerate(missing))
	}
	return bound, nil
}

func takes(least, most int) string {
	switch {
	case least != most:
		return fmt.Sprintf("from %d to %d positional arguments", least, most)
	case most == 1:
		return "1 positional argument"
	}
	return fmt.Sprintf("%d positional arguments", most)
}

// enumerate is "a and b", or "a, b, and c", as Python writes it.
func enumerate(names []string) string {
	if len(names) == 2 {
		return names[0] + " and " + names[1]
	}
	text := ""
	for _, n := range names[:len(names)-1] {
		text += n + ", "
	}
	return text + "and " + names[len(names)-1]
}
