package names

import (
	"context"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// queryKind is what a query goes by.
type queryKind int

const (
	everything queryKind = iota
	byPrefix
	byRegex
	byAll // of the metadata
	byAny // of the metadata
)

// query is what list, yplookup and remove select. arg is the argument as it came,
// true in Python's sense.
type query struct {
	kind       queryKind
	arg        values.Value
	maxPattern int // bytes of a regular expression
}

// matcher compiles q. A test may fail, as Python's does, with the first name it is
// asked for.
func (q query) matcher() (func(Registration) (bool, error), error) {
	switch q.kind {
	case byPrefix:
		return func(r Registration) (bool, error) { return startsWith(r.Name, q.arg) }, nil
	case byRegex:
		re, err := q.regex()
		if err != nil {
			return nil, err
		}
		return func(r Registration) (bool, error) { return re.MatchString(r.Name), nil }, nil
	case byAll, byAny:
		wanted, others, err := q.tags()
		if err != nil {
			return nil, err
		}
		if q.kind == byAll {
			return func(r Registration) (bool, error) { return !others && hasAll(r.Metadata, wanted), nil }, nil
		}
		return func(r Registration) (bool, error) { return hasAny(r.Metadata, wanted), nil }, nil
	}
	return func(Registration) (bool, error) { return true, nil }, nil
}

// filter gives the registrations that q selects. Its time is bounded by ctx.
func (q query) filter(ctx context.Context, all []Registration) ([]Registration, error) {
	match, err := q.matcher()
	if err != nil {
		return nil, err
	}
	var found []Registration
	for _, r := range all {
		if ctx.Err() != nil {
			return nil, errSlow()
		}
		ok, err := match(r)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, r)
		}
	}
	return found, nil
}

func errSlow() error { return namingError("too slow: the names could not be searched in time") }

// startsWith is str.startswith, which takes a tuple too.
func startsWith(name string, prefix values.Value) (bool, error) {
	switch p := prefix.(type) {
	case string:
		return strings.HasPrefix(name, p), nil
	case values.Tuple:
		for _, item := range p {
			s, ok := item.(string)
			if !ok {
				return false, typeError("tuple for startswith must only contain str, not " + typeName(item))
			}
			if strings.HasPrefix(name, s) {
				return true, nil
			}
		}
		return false, nil
	}
	return false, typeError("startswith first arg must be str or a tuple of str, not " + typeName(prefix))
}

// regex is re.compile of the argument.
func (q query) regex() (*regexp.Regexp, error) {
	if err := hashable(q.arg); err != nil {
		return nil, err // re's cache hashes it before anything else
	}
	pattern, isText := q.arg.(string)
	if b, ok := q.arg.([]byte); ok {
		pattern = string(b)
	} else if !isText {
		return nil, typeError("first argument must be string or compiled pattern")
	}
	if len(pattern) > q.maxPattern || !utf8.ValidString(pattern) {
		return nil, invalidRegex("too long, or not Unicode")
	}
	re, err := compilePython(pattern)
	if err == nil && !isText {
		err = typeError("cannot use a bytes pattern on a string-like object")
	}
	return re, err
}

// tags are the metadata asked for; others says that there are some that are not
// strings, which no registration has.
func (q query) tags() (wanted []string, others bool, err error) {
	list, err := items(q.arg)
	if err != nil {
		return nil, false, err
	}
	for _, item := range list {
		if err := hashable(item); err != nil {
			return nil, false, err
		}
		if s, ok := item.(string); ok {
			wanted = append(wanted, s)
		} else {
			others = true
		}
	}
	return tags(wanted), others, nil
}

// hasAll and hasAny take sorted lists.
func hasAll(have, want []string) bool {
	i := 0
	for _, w := range want {
		for i < len(have) && have[i] < w {
			i++
		}
		if i == len(have) || have[i] != w {
			return false
		}
	}
	return true
}

func hasAny(have, want []string) bool {
	i := 0
	for _, w := range want {
		for i < len(have) && have[i] < w {
			i++
		}
		if i < len(have) && have[i] == w {
			return true
		}
	}
	return false
}
