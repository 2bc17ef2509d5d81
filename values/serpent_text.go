package values

import (
	"unicode/utf8"
)

// text reads a string, from its first quote on.
func (r *serpentReader) text() (Value, error) {
	s, err := r.quoted(true)
	if err != nil {
		return nil, err
	}
	return string(s), r.b.content(len(s))
}

// bytes reads a bytes literal, from its first quote on.
func (r *serpentReader) bytes() (Value, error) {
	s, err := r.quoted(false)
	if err != nil {
		return nil, err
	}
	return s, r.b.content(len(s))
}

// quoted reads a string or bytes, which have escapes of their own.
func (r *serpentReader) quoted(text bool) ([]byte, error) {
	quote := r.peek()
	r.pos++
	out := []byte{}
	for r.pos < len(r.data) {
		c := r.data[r.pos]
		switch {
		case c == quote:
			r.pos++
			return out, nil
		case c == '\\':
			r.pos++
			var err error
			if out, err = r.escape(out, text); err != nil {
				return nil, err
			}
			continue
		case c == '\n' || c == '\r' || c == 0:
			return nil, r.malformed("the end of the line in a string")
		case !text && c >= utf8.RuneSelf:
			return nil, r.malformed("bytes that are not ASCII")
		}
		out = append(out, c)
		r.pos++
	}
	return nil, r.malformed("string without an end")
}

// escapes are the simple ones.
var escapes = [256]byte{
	'\\': '\\', '\'': '\'', '"': '"', 'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
}

// escape reads what follows a backslash. One that begins nothing stays, as in Python.
func (r *serpentReader) escape(out []byte, text bool) ([]byte, error) {
	c := r.peek()
	if plain := escapes[c]; plain != 0 {
		r.pos++
		return append(out, plain), nil
	}
	switch {
	case c == '\n':
		r.pos++
		return out, nil
	case c >= '0' && c <= '7':
		n := rune(0)
		for i := 0; i < 3 && r.peek() >= '0' && r.peek() <= '7'; i++ {
			n = n<<3 | rune(r.peek()-'0')
			r.pos++
		}
		return appendCharacter(out, n, text), nil
	case c == 'x':
		return r.hex(out, 2, text)
	case c == 'u' && text:
		return r.hex(out, 4, text)
	case c == 'U' && text:
		return r.hex(out, 8, text)
	case c == 'N' && text, c == 0, c == '\r':
		return nil, r.malformed("unknown escape")
	}
	return append(out, '\\'), nil // the character itself is next
}

// hex reads the letter of an escape, and the digits behind it.
func (r *serpentReader) hex(out []byte, digits int, text bool) ([]byte, error) {
	n, ok := hexDigits(r.data[r.pos+1:], digits)
	if !ok || n > utf8.MaxRune {
		return nil, r.malformed("escape without a character")
	}
	r.pos += 1 + digits
	return appendCharacter(out, n, text), nil
}

// hexDigits reads the first n bytes of data.
func hexDigits(data []byte, n int) (r rune, ok bool) {
	if len(data) < n {
		return 0, false
	}
	var all uint32
	for _, c := range data[:n] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		all = all<<4 | uint32(c)
	}
	return rune(min(all, utf8.MaxRune+1)), true
}

// appendCharacter appends a character to a string, or a byte to bytes.
func appendCharacter(out []byte, r rune, text bool) []byte {
	switch {
	case !text:
		return append(out, byte(r))
	case isSurrogate(r):
		return appendSurrogate(out, r)
	}
	return utf8.AppendRune(out, r)
}
