package values

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// serpentReader reads what serpent writes, in its versions for Python 2 and 3 and in
// other languages: a part of the literals of Python that ast.literal_eval knows.
// Strings with three quotes, raw strings, and numbers in other bases are malformed
// here.
type serpentReader struct {
	data []byte
	pos  int
	b    *budget
}

func readSerpent(data []byte, b *budget) (Value, error) {
	r := serpentReader{data: data, b: b}
	if !utf8.Valid(data) {
		return nil, r.malformed("text that is not UTF-8")
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, r.malformed("a 0 in the text") // serpent.loads refuses it even in a comment
	}
	r.space()
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if r.space(); r.pos < len(r.data) {
		return nil, r.malformed("more behind the value")
	}
	return v, nil
}

// malformed never quotes the input: it is the client's.
func (r *serpentReader) malformed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMalformed, what, r.pos)
}

// space passes over spaces and comments.
func (r *serpentReader) space() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\n', '\r', '\f':
			r.pos++
		case '#':
			end := bytes.IndexByte(r.data[r.pos:], '\n')
			if end < 0 {
				end = len(r.data) - r.pos
			}
			r.pos += end
		default:
			return
		}
	}
}

// peek is the next byte, 0 at the end.
func (r *serpentReader) peek() byte {
	if r.pos < len(r.data) {
		return r.data[r.pos]
	}
	return 0
}

// take passes over c if it is the next byte.
func (r *serpentReader) take(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.pos++
	return true
}

func (r *serpentReader) value() (Value, error) {
	if err := r.b.item(); err != nil {
		return nil, err
	}
	switch c := r.peek(); {
	case c == '(' || c == '[' || c == '{':
		if err := r.b.enter(); err != nil {
			return nil, err
		}
		defer r.b.leave()
		r.pos++
		switch c {
		case '(':
			return r.tuple()
		case '[':
			items, err := r.items(nil, ']')
			return List(items), err
		}
		return r.braces()
	case c == '\'' || c == '"':
		return r.text()
	case (c == 'u' || c == 'U' || c == 'b' || c == 'B') && r.pos+1 < len(r.data) && (r.data[r.pos+1] == '\'' || r.data[r.pos+1] == '"'):
		r.pos++
		if c == 'b' || c == 'B' {
			return r.bytes()
		}
		return r.text()
	case c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9':
		return r.number()
	}
	for _, name := range []struct {
		text  string
		value Value
	}{{"None", nil}, {"True", true}, {"False", false}} {
		if bytes.HasPrefix(r.data[r.pos:], []byte(name.text)) {
			r.pos += len(name.text)
			return name.value, nil
		}
	}
	return nil, r.malformed("no value")
}

// items reads values up to the closing bracket, the first ones being there already.
func (r *serpentReader) items(items []Value, end byte) ([]Value, error) {
	for {
		r.space()
		if r.take(end) {
			return items, nil
		}
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		items = append(items, v)
		if r.space(); !r.take(',') && r.peek() != end {
			return nil, r.malformed("no comma")
		}
	}
}

// tuple reads what follows a round bracket: a tuple, or one value by itself.
func (r *serpentReader) tuple() (Value, error) {
	if r.space(); r.take(')') {
		return Tuple{}, nil
	}
	first, err := r.value()
	if err != nil {
		return nil, err
	}
	r.space()
	if r.take(')') {
		return first, nil
	}
	if !r.take(',') {
		return nil, r.malformed("no comma")
	}
	items, err := r.items([]Value{first}, ')')
	return Tuple(items), err
}

// braces reads what follows a curly bracket: a set or a dict.
func (r *serpentReader) braces() (Value, error) {
	if r.space(); r.take('}') {
		return Dict{}, nil
	}
	first, err := r.value()
	if err != nil {
		return nil, err
	}
	if r.space(); r.peek() != ':' {
		if !r.take(',') && r.peek() != '}' {
			return nil, r.malformed("no comma")
		}
		items, err := r.items([]Value{first}, '}')
		if err != nil {
			return nil, err
		}
		return r.b.set(items)
	}
	pairs := Dict{{Key: first}}
	for {
		if r.space(); !r.take(':') {
			return nil, r.malformed("no colon")
		}
		r.space()
		if pairs[len(pairs)-1].Value, err = r.value(); err != nil {
			return nil, err
		}
		r.space()
		comma := r.take(',')
		r.space()
		if r.take('}') {
			return r.b.dict(pairs)
		}
		if !comma {
			return nil, r.malformed("no comma")
		}
		key, err := r.value()
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, Pair{Key: key})
	}
}

// number reads a number with a sign or not, and the imaginary part of a complex one.
func (r *serpentReader) number() (Value, error) {
	v, err := r.oneNumber()
	if err != nil {
		return nil, err
	}
	here := r.pos
	r.space()
	sign := r.peek()
	if sign != '+' && sign != '-' {
		r.pos = here
		return v, nil
	}
	var re float64
	switch v := v.(type) {
	case int64:
		re = float64(v)
	case float64:
		re = v
	default:
		return nil, r.malformed("sum of other numbers")
	}
	r.pos++
	r.space()
	if c := r.peek(); c == '+' || c == '-' {
		return nil, r.malformed("two signs")
	}
	v, err = r.oneNumber()
	if err != nil {
		return nil, err
	}
	im, ok := v.(complex128)
	if !ok {
		return nil, r.malformed("sum of real numbers")
	}
	// Python adds or subtracts, which keeps no negative zeros.
	if sign == '-' {
		return complex(re, 0-imag(im)), nil
	}
	return complex(re+0, imag(im)), nil
}

// oneNumber reads an integer (of Python 2 with an L behind), a float, or an imaginary
// number.
func (r *serpentReader) oneNumber() (Value, error) {
	start := r.pos
	if c := r.peek(); c == '-' || c == '+' {
		r.pos++
	}
	digits := func() int {
		from := r.pos
		for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
			r.pos++
		}
		return r.pos - from
	}
	first := r.pos
	n := digits()
	whole := r.pos
	if r.take('.') {
		n += digits()
	}
	if n == 0 {
		return nil, r.malformed("no number")
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.pos++
		if c := r.peek(); c == '-' || c == '+' {
			r.pos++
		}
		if digits() == 0 {
			return nil, r.malformed("no exponent")
		}
	}
	text := string(r.data[start:r.pos])
	imaginary := r.take('j') || r.take('J')
	if r.pos == whole {
		if whole-first > 1 && r.data[first] == '0' {
			return nil, r.malformed("zeros in front")
		}
		r.take('L')
		return integer(text)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) { // too large a number is infinite
		return nil, r.malformed("no number")
	}
	if imaginary {
		return complex(0, f), nil
	}
	return f, nil
}
