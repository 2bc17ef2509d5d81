package handshake

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader steps through JSON the way Python's json module reads it: RFC 8259, and NaN, Infinity and -Infinity
// as well.
type jsonReader struct {
	data    []byte
	pos     int
	strings *tally // counts them, if not nil
}

// jsonObject reads one JSON object that is all of data, but for white space.
func jsonObject(data []byte, lim Limits) (string, error) {
	r := jsonReader{data: data}
	var object binding
	if err := r.all(lim.Depth, &object); err != nil {
		return "", err
	}
	v, err := object.bound()
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(v.raw, '\\') < 0 {
		return string(v.raw), nil
	}
	return id(appendJSON(make([]byte, 0, len(v.raw)), v.raw))
}

// all steps over the one value that is all of the data, but for white space.
func (r *jsonReader) all(depth int, object *binding) error {
	if !utf8.Valid(r.data) {
		return fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	if _, err := r.value(depth, object); err != nil {
		return err
	}
	if r.space(); r.pos != len(r.data) {
		return malformed("data after the value", r.pos)
	}
	return nil
}

// value steps over one value. If that is a JSON object and object is not nil, object learns its members; nothing inside
// gets to see it.
func (r *jsonReader) value(depth int, object *binding) (token, error) {
	r.space()
	if r.pos == len(r.data) {
		return token{}, malformed("truncated", r.pos)
	}
	switch c := r.data[r.pos]; {
	case c == '"':
		raw, err := r.str()
		return token{kind: text, raw: raw}, err
	case c == '{':
		return token{}, r.members(depth, object)
	case c == '[':
		return token{}, r.elements(depth)
	case c == '-' || '0' <= c && c <= '9':
		return token{}, r.number()
	}
	for _, word := range [...]string{"null", "true", "false", "NaN", "Infinity"} {
		if r.word(word) {
			return token{}, nil
		}
	}
	return token{}, malformed("no JSON value", r.pos)
}

func (r *jsonReader) members(depth int, object *binding) error {
	if depth <= 0 {
		return tooDeep(r.pos)
	}
	r.pos++ // {
	if r.next('}') {
		return nil
	}
	for {
		if r.space(); r.pos == len(r.data) || r.data[r.pos] != '"' {
			return malformed("no member name", r.pos)
		}
		key, err := r.str()
		if err != nil {
			return err
		}
		if !r.next(':') {
			return malformed("no colon", r.pos)
		}
		value, err := r.value(depth-1, nil)
		if err != nil {
			return err
		}
		if object != nil && jsonSpellsKey(key) {
			object.bind(text, value)
		}
		if r.next('}') {
			return nil
		}
		if !r.next(',') {
			return malformed("no comma or brace", r.pos)
		}
	}
}

func (r *jsonReader) elements(depth int) error {
	if depth <= 0 {
		return tooDeep(r.pos)
	}
	r.pos++ // [
	if r.next(']') {
		return nil
	}
	for {
		if _, err := r.value(depth-1, nil); err != nil {
			return err
		}
		if r.next(']') {
			return nil
		}
		if !r.next(',') {
			return malformed("no comma or bracket", r.pos)
		}
	}
}

// str steps over a string and returns what is between the quotes, whose escapes it has checked.
func (r *jsonReader) str() ([]byte, error) {
	start := r.pos + 1
	for i := start; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			r.pos = i + 1
			raw := r.data[start:i]
			if r.strings != nil {
				r.strings.json(raw)
			}
			return raw, nil
		case c < 0x20:
			return nil, malformed("control character in a string", i)
		case c == '\\':
			n := jsonEscapeLen(r.data[i:])
			if n == 0 {
				return nil, malformed("bad escape", i)
			}
			i += n - 1
		}
	}
	return nil, malformed("truncated", len(r.data))
}

// jsonEscapeLen is the length of the escape sequence that b begins with, 0 if it is none.
func jsonEscapeLen(b []byte) int {
	if len(b) < 2 || b[0] != '\\' {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex(b[2:], 4); ok {
			return 6
		}
	}
	return 0
}

// number steps over a number; the leading character is there.
func (r *jsonReader) number() error {
	if r.data[r.pos] == '-' {
		r.pos++
		if r.word("Infinity") {
			return nil
		}
	}
	whole := r.pos
	if n := r.digits(); n == 0 || n > 1 && r.data[whole] == '0' {
		return malformed("bad number", whole)
	}
	if r.here('.') {
		if r.pos++; r.digits() == 0 {
			return malformed("bad number", r.pos)
		}
	}
	if r.here('e') || r.here('E') {
		r.pos++
		if r.here('+') || r.here('-') {
			r.pos++
		}
		if r.digits() == 0 {
			return malformed("bad number", r.pos)
		}
	}
	return nil
}

func (r *jsonReader) digits() int {
	start := r.pos
	for r.pos < len(r.data) && '0' <= r.data[r.pos] && r.data[r.pos] <= '9' {
		r.pos++
	}
	return r.pos - start
}

func (r *jsonReader) here(c byte) bool { return r.pos < len(r.data) && r.data[r.pos] == c }

// word steps over w if it is what comes next.
func (r *jsonReader) word(w string) bool {
	if rest := r.data[r.pos:]; len(rest) < len(w) || string(rest[:len(w)]) != w {
		return false
	}
	r.pos += len(w)
	return true
}

// next steps over white space and, if that comes then, over c.
func (r *jsonReader) next(c byte) bool {
	if r.space(); !r.here(c) {
		return false
	}
	r.pos++
	return true
}

func (r *jsonReader) space() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// jsonSpellsKey reports whether a checked string spells "object", plainly or in escapes.
func jsonSpellsKey(raw []byte) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw) == objectKey
	}
	const longest = len(`\u006f`) * len(objectKey)
	if len(raw) > longest {
		return false
	}
	var buf [longest]byte
	return string(appendJSON(buf[:0], raw)) == objectKey
}

// appendJSON appends what the checked string raw spells.
func appendJSON(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		n := 1
		switch {
		case raw[i] != '\\':
			dst = append(dst, raw[i])
		case raw[i+1] != 'u':
			n = 2
			dst = append(dst, jsonControl(raw[i+1]))
		default:
			n = 6
			char, _ := hex(raw[i+2:], 4)
			if utf16.IsSurrogate(char) && jsonEscapeLen(raw[i+6:]) == 6 {
				low, _ := hex(raw[i+8:], 4)
				if pair := utf16.DecodeRune(char, low); pair != utf8.RuneError {
					char, n = pair, 12
				}
			}
			dst = appendChar(dst, char)
		}
		i += n
	}
	return dst
}

// jsonControl gives the character that an escape of one letter stands for.
func jsonControl(letter byte) byte {
	switch letter {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return letter
}
