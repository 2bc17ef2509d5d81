package handshake

import (
	"bytes"
	"fmt"
)

// stringLiteral is one string of Python source.
type stringLiteral struct {
	body       []byte // between the quotes
	raw, bytes bool   // by its prefix
	end        int    // length of the whole, 0 if this is no string
}

func (l stringLiteral) kind() kind {
	if l.bytes {
		return octets
	}
	return text
}

// returns reports whether a carriage return stands in the body. Python reads every line end as \n; none
// of its writers leaves one in a string, so the reader refuses to decode it instead.
func (l stringLiteral) returns() bool { return bytes.IndexByte(l.body, '\r') >= 0 }

// literal reads the string that src begins with: quotes of all styles, and the prefixes u, r, b, br and rb. Formatted
// strings are none.
func literal(src []byte) stringLiteral {
	var l stringLiteral
	i := 0
	for ; i < len(src) && i < 3 && src[i] != '\'' && src[i] != '"'; i++ {
		switch src[i] | 0x20 {
		case 'r':
			if l.raw {
				return stringLiteral{}
			}
			l.raw = true
		case 'b':
			if l.bytes {
				return stringLiteral{}
			}
			l.bytes = true
		case 'u':
			if i > 0 || len(src) == 1 || src[1] != '\'' && src[1] != '"' { // u stands alone
				return stringLiteral{}
			}
		default:
			return stringLiteral{}
		}
	}
	if i == len(src) || i == 3 {
		return stringLiteral{}
	}
	quote := src[i : i+1]
	triple := len(src) >= i+3 && src[i+1] == quote[0] && src[i+2] == quote[0]
	if triple {
		quote = src[i : i+3]
	}
	start := i + len(quote)
	for i = start; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\\':
			// Whatever follows closes nothing, in raw strings too. A line end of two characters counts as one.
			if i++; i+1 < len(src) && src[i] == '\r' && src[i+1] == '\n' {
				i++
			}
		case c == quote[0] && bytes.HasPrefix(src[i:], quote):
			l.body = src[start:i]
			l.end = i + len(quote)
			return l
		case (c == '\n' || c == '\r') && !triple, c >= 0x80 && l.bytes:
			return stringLiteral{}
		}
	}
	return stringLiteral{}
}

// plainLiteral returns what the literals in src spell if they are a single one that stands for itself.
func plainLiteral(src []byte) ([]byte, bool) {
	lit := literal(src)
	return lit.body, lit.end == len(src) && bytes.IndexByte(lit.body, '\\') < 0 && !lit.returns()
}

// appendLiterals appends what the string literals in src spell, which follow one another with nothing but
// space and comments between them. It stops early, with what there is, once dst is longer than limit.
func appendLiterals(dst, src []byte, limit int) ([]byte, error) {
	r := serpentReader{src: src}
	for r.pos < len(src) && len(dst) <= limit {
		lit := literal(src[r.pos:])
		if lit.end == 0 {
			return nil, malformed("no string", r.pos)
		}
		if lit.returns() {
			return nil, fmt.Errorf("%w: carriage return in a string", ErrMalformed)
		}
		var err error
		if lit.raw {
			dst = append(dst, lit.body...)
		} else if dst, err = appendUnescaped(dst, lit.body, !lit.bytes, limit); err != nil {
			return nil, err
		}
		r.pos += lit.end
		r.blank()
	}
	return dst, nil
}

// literalsSpellKey reports whether the literals in src spell "object". It fails where it cannot tell.
func literalsSpellKey(src []byte) (bool, error) {
	var buf [2 * len(objectKey)]byte
	key, err := appendLiterals(buf[:0], src, len(objectKey))
	return string(key) == objectKey, err
}
