package blob

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/pymarshal"
)

// ErrPath: ParsePath was given something else than a path.
var ErrPath = errors.New("not a path into a blob's info")

// Path leads to the info of a blob or into it. Its zero value leads to the info
// itself.
type Path struct {
	steps []Scalar
}

// ParsePath compiles "info", or "info" and steps: info.tenant, info.0.name,
// info."a.b". A step of digits is the index in a tuple or list, from the end if it
// is negative, or a number as the key of a dict. Any other, and one in quotes
// whatever it holds, is the text of a key; in the quotes a backslash takes a quote
// or a backslash.
func ParsePath(text string) (Path, error) {
	rest, ok := strings.CutPrefix(text, "info")
	if !ok || rest != "" && rest[0] != '.' {
		return Path{}, fmt.Errorf("%w: %q does not start with info", ErrPath, text)
	}
	var p Path
	for rest != "" {
		step, after, err := parseStep(rest[1:])
		if err != nil {
			return Path{}, fmt.Errorf("%w: %q: %w", ErrPath, text, err)
		}
		if after != "" && after[0] != '.' {
			return Path{}, fmt.Errorf("%w: %q: no dot behind a quoted name", ErrPath, text)
		}
		p.steps = append(p.steps, step)
		rest = after
	}
	return p, nil
}

func parseStep(text string) (step Scalar, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		name, rest, err := parseQuoted(text[1:])
		return TextScalar(name), rest, err
	}
	end := strings.IndexByte(text, '.')
	if end < 0 {
		end = len(text)
	}
	name := text[:end]
	switch {
	case name == "":
		return Scalar{}, "", errors.New("a name is missing")
	case strings.ContainsAny(name, `"\{}`):
		return Scalar{}, "", fmt.Errorf("%s has to be put in quotes", name)
	case strings.Trim(strings.TrimPrefix(name, "-"), "0123456789") != "" || name == "-":
		return TextScalar(name), text[end:], nil
	}
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		return Scalar{}, "", fmt.Errorf("%s is too large", name)
	}
	return IntScalar(n), text[end:], nil
}

// parseQuoted reads up to the closing quote and returns what follows that.
func parseQuoted(text string) (name, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		case c == '\\':
			return "", "", errors.New("a backslash takes a quote or a backslash")
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("a quote is not closed")
}

// String is the path as ParsePath reads it.
func (p Path) String() string {
	var b strings.Builder
	b.WriteString("info")
	for _, step := range p.steps {
		b.WriteByte('.')
		name := step.String()
		if again, rest, err := parseStep(name); err != nil || rest != "" || again != step {
			name = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
		}
		b.WriteString(name)
	}
	return b.String()
}

// Scalar is the info itself, if it is a string or a number. The text of a string
// shares the annotation's memory.
func (i Value) Scalar() (Scalar, bool) { return i.At(Path{}) }

// At is what p leads to, if there is such a thing and it is a string or a number.
// Where a dict has a key more than once the last counts, as in Python. The text of
// a string shares the annotation's memory.
func (i Value) At(p Path) (Scalar, bool) {
	r := pymarshal.NewReader(i.annotation, limits)
	if i.refs {
		// What references mean has to be known first. Parse has seen that all this can
		// be read.
		for r.Offset() < i.tupleEnd {
			if _, err := r.Next(); err != nil {
				return Scalar{}, false
			}
		}
	}
	r.Return(i.start)
	v, err := r.Next()
	for n := 0; err == nil && n < len(p.steps); n++ {
		if v, err = r.Follow(v); err == nil {
			v, err = step(&r, v, p.steps[n])
		}
	}
	if err != nil {
		return Scalar{}, false
	}
	return scalarOf(v)
}

var errNothingThere = errors.New("nothing there")

// step goes from the head of a container to one of its items.
func step(r *pymarshal.Reader, v pymarshal.Value, s Scalar) (pymarshal.Value, error) {
	switch v.Kind {
	case pymarshal.Dict:
		return value(r, s)
	case pymarshal.Tuple, pymarshal.List:
		at := s.whole
		if at < 0 {
			at += int64(v.Len)
		}
		if s.Kind != Number || at < 0 || at >= int64(v.Len) {
			return pymarshal.Value{}, errNothingThere
		}
		for ; at > 0; at-- {
			if _, err := pass(r); err != nil {
				return pymarshal.Value{}, err
			}
		}
		return r.Next()
	}
	return pymarshal.Value{}, errNothingThere
}

// value finds the value of a key in the dict that r is in.
func value(r *pymarshal.Reader, key Scalar) (pymarshal.Value, error) {
	found := -1
	for {
		k, err := pass(r)
		if err != nil {
			return pymarshal.Value{}, err
		}
		if k.Kind == pymarshal.End {
			break
		}
		at := r.Offset()
		if _, err := pass(r); err != nil {
			return pymarshal.Value{}, err
		}
		if s, ok := scalarOf(k); ok && s == key {
			found = at
		}
	}
	if found < 0 {
		return pymarshal.Value{}, errNothingThere
	}
	r.Return(found)
	return r.Next()
}

// pass reads a value and all in it, and returns its head.
func pass(r *pymarshal.Reader) (pymarshal.Value, error) {
	v, err := r.Next()
	if err != nil || v.Kind == pymarshal.End {
		return v, err
	}
	return v, r.Skip(v)
}
