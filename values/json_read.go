package values

import (
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonNames are the values that have names.
var jsonNames = []struct {
	text  string
	value Value
}{
	{"null", nil}, {"true", true}, {"false", false},
	{"NaN", math.NaN()}, {"Infinity", math.Inf(1)}, {"-Infinity", math.Inf(-1)},
}

func (r *jsonReader) value() (Value, error) {
	if err := r.b.item(); err != nil {
		return nil, err
	}
	c := r.peek()
	if c == '[' || c == '{' {
		if err := r.b.enter(); err != nil {
			return nil, err
		}
		defer r.b.leave()
		r.pos++
		if c == '[' {
			return r.list()
		}
		return r.dict()
	}
	if c == '"' {
		return r.text()
	}
	for _, name := range jsonNames {
		if r.take(name.text) {
			return name.value, nil
		}
	}
	return r.number()
}

// list reads what follows the bracket.
func (r *jsonReader) list() (Value, error) {
	items := List{}
	if r.space(); r.take("]") {
		return items, nil
	}
	for {
		r.space()
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		items = append(items, v)
		r.space()
		if r.take("]") {
			return items, nil
		}
		if !r.take(",") {
			return nil, r.malformed("no comma")
		}
	}
}

// dict reads what follows the bracket.
func (r *jsonReader) dict() (Value, error) {
	pairs := Dict{}
	if r.space(); r.take("}") {
		return pairs, nil
	}
	for {
		r.space()
		if err := r.b.item(); err != nil {
			return nil, err
		}
		key, err := r.text()
		if err != nil {
			return nil, err
		}
		if r.space(); !r.take(":") {
			return nil, r.malformed("no colon")
		}
		r.space()
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, Pair{key, v})
		r.space()
		if r.take("}") {
			return r.b.dict(pairs)
		}
		if !r.take(",") {
			return nil, r.malformed("no comma")
		}
	}
}

func (r *jsonReader) number() (Value, error) {
	start := r.pos
	r.take("-")
	digits := func() int {
		from := r.pos
		for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
			r.pos++
		}
		return r.pos - from
	}
	first := r.peek()
	if n := digits(); n == 0 || n > 1 && first == '0' {
		return nil, r.malformed("no value")
	}
	whole := r.pos
	if r.take(".") && digits() == 0 {
		return nil, r.malformed("no digits behind the point")
	}
	if r.take("e") || r.take("E") {
		if !r.take("-") {
			r.take("+")
		}
		if digits() == 0 {
			return nil, r.malformed("no exponent")
		}
	}
	text := string(r.data[start:r.pos])
	if r.pos == whole {
		return integer(text)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) { // too large a number is infinite
		return nil, r.malformed("no number")
	}
	return f, nil
}

func (r *jsonReader) text() (Value, error) {
	if !r.take(`"`) {
		return nil, r.malformed("no string")
	}
	out := []byte{}
	for r.pos < len(r.data) {
		c := r.data[r.pos]
		switch {
		case c == '"':
			r.pos++
			return string(out), r.b.content(len(out))
		case c < ' ':
			return nil, r.malformed("control character in a string")
		case c == '\\':
			r.pos++
			var err error
			if out, err = r.escape(out); err != nil {
				return nil, err
			}
		default:
			out = append(out, c)
			r.pos++
		}
	}
	return nil, r.malformed("string without an end")
}

// escape reads what follows a backslash. Two halves of a pair of surrogates are one
// character, and a single one stays what it is.
func (r *jsonReader) escape(out []byte) ([]byte, error) {
	c := r.peek()
	switch c {
	case '"', '\\', '/':
		r.pos++
		return append(out, c), nil
	case 'b', 'f', 'n', 'r', 't':
		r.pos++
		return append(out, escapes[c]), nil
	case 'u':
		n, ok := hexDigits(r.data[r.pos+1:], 4)
		if !ok {
			return nil, r.malformed("escape without a character")
		}
		r.pos += 5
		if rest := r.data[r.pos:]; isSurrogate(n) && len(rest) >= 2 && rest[0] == '\\' && rest[1] == 'u' {
			if low, ok := hexDigits(rest[2:], 4); ok {
				if pair := utf16.DecodeRune(n, low); pair != utf8.RuneError {
					r.pos += 6
					return utf8.AppendRune(out, pair), nil
				}
			}
		}
		return appendCharacter(out, n, true), nil
	}
	return nil, r.malformed("unknown escape")
}
