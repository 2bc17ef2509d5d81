package handshake

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"
)

// serpentReader steps through a Python expression of the kind ast.literal_eval takes, which is what serpent writes:
// strings, numbers, None, True, False, tuples, lists, sets, dicts and comments. Strings with unicode_literals
// in force, as Python 2's serpent has it, are those of Python 3.
type serpentReader struct {
	src     []byte
	pos     int
	strings *tally // counts them, if not nil
}

// serpentObject reads one dict that is all of src, but for space and comments.
func serpentObject(src []byte, lim Limits) (string, error) {
	r := serpentReader{src: src}
	var object binding
	top, err := r.all(lim.Depth, &object)
	if err != nil {
		return "", err
	}
	if top.kind != dict {
		return "", ErrNoObject
	}
	v, err := object.bound()
	if err != nil {
		return "", err
	}
	if plain, ok := plainLiteral(v.raw); ok {
		return id(plain)
	}
	b, err := appendLiterals(make([]byte, 0, len(v.raw)), v.raw, math.MaxInt)
	if err != nil {
		return "", err
	}
	return id(b)
}

// all steps over the one expression that is all of the source, but for space and comments.
func (r *serpentReader) all(depth int, object *binding) (token, error) {
	// serpent.loads refuses both before it looks any closer.
	if !utf8.Valid(r.src) || bytes.IndexByte(r.src, 0) >= 0 {
		return token{}, fmt.Errorf("%w: not UTF-8 text", ErrMalformed)
	}
	top, err := r.value(depth, object)
	if err != nil {
		return token{}, err
	}
	if r.blank(); r.pos != len(r.src) {
		return token{}, malformed("something after the expression", r.pos)
	}
	return top, nil
}

// value steps over one expression. If that is a dict and object is not nil, object learns its items; nothing inside
// the dict gets to see it.
func (r *serpentReader) value(depth int, object *binding) (token, error) {
	r.blank()
	if lit := literal(r.src[r.pos:]); lit.end != 0 {
		return r.literals(lit)
	}
	switch c := r.peek(); {
	case c == '{', c == '[', c == '(':
		if depth <= 0 {
			return token{}, tooDeep(r.pos)
		}
		r.pos++
		switch c {
		case '{':
			return r.braces(depth-1, object)
		case '[':
			if r.next(']') {
				return token{}, nil
			}
			if _, err := r.value(depth-1, nil); err != nil {
				return token{}, err
			}
			return token{}, r.more(']', depth-1)
		}
		return r.parens(depth-1, object)
	case '0' <= c && c <= '9', c == '.', c == '-', c == '+':
		return token{}, r.number()
	}
	for _, word := range [...]string{"None", "True", "False", "set()"} {
		if end := r.pos + len(word); end <= len(r.src) && string(r.src[r.pos:end]) == word {
			r.pos = end
			return token{}, nil
		}
	}
	return token{}, malformed("no literal", r.pos)
}

// literals steps over a string and those next to it, which Python joins. All of them are of one kind.
func (r *serpentReader) literals(lit stringLiteral) (token, error) {
	start, first := r.pos, lit.kind()
	r.pos += lit.end
	for {
		end := r.pos
		r.blank()
		lit := literal(r.src[r.pos:])
		if lit.end == 0 {
			r.pos = end
			raw := r.src[start:end]
			if r.strings != nil {
				if err := r.strings.literals(raw); err != nil {
					return token{}, err
				}
			}
			return token{kind: first, raw: raw}, nil
		}
		if lit.kind() != first {
			return token{}, malformed("text next to bytes", r.pos)
		}
		r.pos += lit.end
	}
}

// braces steps over a dict or set, whose opening is read.
func (r *serpentReader) braces(depth int, object *binding) (token, error) {
	if r.next('}') {
		return token{kind: dict}, nil
	}
	key, err := r.value(depth, nil)
	if err != nil {
		return token{}, err
	}
	if !r.next(':') {
		return token{}, r.more('}', depth)
	}
	for {
		value, err := r.value(depth, nil)
		if err != nil {
			return token{}, err
		}
		if object != nil && (key.kind == text || key.kind == octets) {
			isKey, err := literalsSpellKey(key.raw)
			if err != nil {
				return token{}, err
			}
			if isKey {
				object.bind(key.kind, value)
			}
		}
		comma := r.next(',')
		if r.next('}') {
			return token{kind: dict}, nil
		}
		if !comma {
			return token{}, malformed("no comma or brace", r.pos)
		}
		if key, err = r.value(depth, nil); err != nil {
			return token{}, err
		}
		if !r.next(':') {
			return token{}, malformed("no colon", r.pos)
		}
	}
}

// parens steps over a tuple, whose opening is read, or over a value that merely stands in parentheses: Python
// takes ('object') for the string.
func (r *serpentReader) parens(depth int, object *binding) (token, error) {
	if r.next(')') {
		return token{}, nil
	}
	v, err := r.value(depth, object)
	if err != nil {
		return token{}, err
	}
	if r.next(')') {
		return v, nil
	}
	return token{}, r.more(')', depth)
}

// more steps over what follows the first item of a list, set or tuple, closing bracket included.
func (r *serpentReader) more(closing byte, depth int) error {
	for {
		comma := r.next(',')
		if r.next(closing) {
			return nil
		}
		if !comma {
			return malformed("no comma or closing bracket", r.pos)
		}
		if _, err := r.value(depth, nil); err != nil {
			return err
		}
	}
}

// next steps over space and, if that comes then, over c. Between brackets, where it is used, Python ignores line ends.
func (r *serpentReader) next(c byte) bool {
	if r.blank(); r.peek() != c {
		return false
	}
	r.pos++
	return true
}

// peek returns the next character, 0 at the end.
func (r *serpentReader) peek() byte {
	if r.pos == len(r.src) {
		return 0
	}
	return r.src[r.pos]
}

// blank steps over white space, line ends and comments.
func (r *serpentReader) blank() {
	for ; r.pos < len(r.src); r.pos++ {
		switch r.src[r.pos] {
		case ' ', '\t', '\f', '\n', '\r':
		case '#':
			n := bytes.IndexAny(r.src[r.pos:], "\r\n")
			if n < 0 {
				r.pos = len(r.src)
				return
			}
			r.pos += n
		default:
			return
		}
	}
}

// number steps over a number with its sign, or over a complex one: a number, a sign, and a number that ends in j.
func (r *serpentReader) number() error {
	if c := r.peek(); c == '-' || c == '+' {
		r.pos++
		r.blank()
	}
	if !r.unsigned() {
		return malformed("bad number", r.pos)
	}
	end := r.pos
	r.blank()
	if c := r.peek(); c != '-' && c != '+' {
		r.pos = end
		return nil
	}
	r.pos++
	r.blank()
	if !r.unsigned() || r.src[r.pos-1]|0x20 != 'j' {
		return malformed("bad complex number", r.pos)
	}
	return nil
}

// unsigned steps over the characters of one number. It does not look at the order of hexadecimal and octal digits,
// underscores and the like: no string and no bracket can hide among these characters, so Python, if it
// reads them at all, reads one number.
func (r *serpentReader) unsigned() bool {
	start := r.pos
	digit := false
	for ; r.pos < len(r.src); r.pos++ {
		switch c := r.src[r.pos]; {
		case '0' <= c && c <= '9':
			digit = true
		case 'a' <= c|0x20 && c|0x20 <= 'f', c|0x20 == 'j', c|0x20 == 'o', c|0x20 == 'x', c == '_', c == '.':
			if !digit && c != '.' {
				return false
			}
		case (c == '+' || c == '-') && digit && r.src[r.pos-1]|0x20 == 'e' && !r.hexadecimal(start):
		default:
			return digit
		}
	}
	return digit
}

// hexadecimal tells 0x1e+1j, a sum, from 1e+1j, a number.
func (r *serpentReader) hexadecimal(start int) bool {
	return start+1 < len(r.src) && r.src[start+1]|0x20 == 'x'
}
