package names

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// signature is that of a method of the libraries' class NameServer.
type signature struct {
	params   []string // without self
	required int      // how many of them have no default
}

// signatures are those of Pyro4/naming.py and Pyro5/nameserver.py.
var signatures = map[string]signature{
	"count":        {},
	"ping":         {},
	"lookup":       {[]string{"name", "return_metadata"}, 1},
	"register":     {[]string{"name", "uri", "safe", "metadata"}, 2},
	"set_metadata": {[]string{"name", "metadata"}, 2},
	"remove":       {[]string{"name", "prefix", "regex"}, 0},
	"yplookup":     {[]string{"meta_all", "meta_any", "return_metadata"}, 0},
}

// Both libraries have a list, with different parameters.
var (
	list4 = signature{[]string{"prefix", "regex", "metadata_all", "metadata_any", "return_metadata"}, 0}
	list5 = signature{[]string{"prefix", "regex", "return_metadata"}, 0}
)

func signatureOf(method string, d wire.Dialect) (signature, bool) {
	if method == "list" {
		if d == wire.V48 {
			return list4, true
		}
		return list5, true
	}
	s, ok := signatures[method]
	return s, ok
}

// bound are arguments by the names of their parameters; those not given are missing.
type bound map[string]values.Value

// bind does what CPython does with the arguments of a call, its errors and their
// order included: keywords, then too many, then too few. The texts are those of
// Python 3.10 and later.
func bind(method string, s signature, args []values.Value, kwargs values.Dict) (bound, error) {
	name := "NameServer." + method + "()"
	got := make(bound, len(s.params))
	for i, v := range args {
		if i < len(s.params) {
			got[s.params[i]] = v
		}
	}
	for _, p := range kwargs {
		key, ok := p.Key.(string)
		switch {
		case !ok:
			return nil, typeError("keywords must be strings")
		case key != "self" && !slices.Contains(s.params, key):
			return nil, typeError(fmt.Sprintf("%s got an unexpected keyword argument '%s'", name, key))
		}
		if _, twice := got[key]; twice || key == "self" {
			return nil, typeError(fmt.Sprintf("%s got multiple values for argument '%s'", name, key))
		}
		got[key] = p.Value
	}
	if len(args) > len(s.params) {
		return nil, typeError(tooMany(name, s, len(args)))
	}
	var missing []string
	for _, p := range s.params[:s.required] {
		if _, ok := got[p]; !ok {
			missing = append(missing, "'"+p+"'")
		}
	}
	if len(missing) > 0 {
		plural := ""
		if len(missing) > 1 {
			plural = "s"
		}
		return nil, typeError(fmt.Sprintf("%s missing %d required positional argument%s: %s",
			name, len(missing), plural, strings.Join(missing, " and ")))
	}
	return got, nil
}

// ofPython2 makes text of bytes that can be, also inside containers: as bytes the ordinary
// strings of Python 2 come, where there is Pyro4, in marshal and in msgpack. A name server
// that runs there takes them.
func ofPython2(v values.Value) values.Value {
	each := func(items []values.Value) []values.Value {
		all := make([]values.Value, len(items))
		for i, item := range items {
			all[i] = ofPython2(item)
		}
		return all
	}
	switch v := v.(type) {
	case []byte:
		if text, ok := values.Text(v); ok {
			return text
		}
	case values.List:
		return values.List(each(v))
	case values.Tuple:
		return values.Tuple(each(v))
	case values.Set:
		return values.Set(each(v))
	}
	return v
}

// tooMany counts self, as Python does.
func tooMany(name string, s signature, given int) string {
	most, least := len(s.params)+1, s.required+1
	switch {
	case least != most:
		return fmt.Sprintf("%s takes from %d to %d positional arguments but %d were given", name, least, most, given+1)
	case most == 1:
		return fmt.Sprintf("%s takes 1 positional argument but %d were given", name, given+1)
	}
	return fmt.Sprintf("%s takes %d positional arguments but %d were given", name, most, given+1)
}
