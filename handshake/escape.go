package handshake

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// appendUnescaped appends what the body of a Python string literal spells: UTF-8 for a text literal, single bytes for
// a bytes literal. It stops early, with what there is, once dst is longer than limit.
// The rules are those of CPython's _PyUnicode_DecodeUnicodeEscape and PyBytes_DecodeEscape, which also reads
// the strings of pickle's protocol 0. Names of characters (\N{...}) are refused: repr never writes them.
func appendUnescaped(dst, body []byte, isText bool, limit int) ([]byte, error) {
	for i := 0; i < len(body) && len(dst) <= limit; {
		if body[i] != '\\' {
			dst = append(dst, body[i])
			i++
			continue
		}
		if i+1 == len(body) {
			return nil, fmt.Errorf("%w: lone backslash", ErrMalformed)
		}
		c := body[i+1]
		rest := body[i+2:]
		i += 2
		char, digits, ok := rune(-1), 0, true
		switch c {
		case '\n': // a line continued
			continue
		case '\\', '\'', '"':
			char = rune(c)
		case '0', '1', '2', '3', '4', '5', '6', '7':
			char, digits = octal(c, rest)
		case 'x':
			digits = 2
			char, ok = hex(rest, digits)
		case 'u', 'U', 'N':
			switch {
			case !isText: // no escapes there
			case c == 'N':
				ok = false
			case c == 'u':
				digits = 4
				char, ok = hex(rest, digits)
			default:
				digits = 8
				char, ok = hex(rest, digits)
				ok = ok && 0 <= char && char <= utf8.MaxRune
			}
		default:
			if j := bytes.IndexByte([]byte("abfnrtv"), c); j >= 0 {
				char = rune("\a\b\f\n\r\t\v"[j])
			}
		}
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: bad escape in a string", ErrMalformed)
		case char < 0: // not an escape: both characters stand for themselves, the second comes next
			dst = append(dst, '\\')
			i--
		case !isText:
			dst = append(dst, byte(char))
		default:
			dst = appendChar(dst, char)
		}
		i += digits
	}
	return dst, nil
}

// octal reads an octal escape of up to three digits, and returns how many of them came from rest.
func octal(first byte, rest []byte) (rune, int) {
	v, n := rune(first-'0'), 0
	for n < 2 && n < len(rest) && '0' <= rest[n] && rest[n] <= '7' {
		v = v<<3 | rune(rest[n]-'0')
		n++
	}
	return v, n
}

// appendRawUnescaped appends, in UTF-8, what Python's raw-unicode-escape encoding spells: Latin-1 in which only
// \uXXXX and \UXXXXXXXX are escapes. Pickle's protocol 0 writes text that way. It stops early like appendUnescaped.
func appendRawUnescaped(dst, raw []byte, limit int) ([]byte, error) {
	for i := 0; i < len(raw) && len(dst) <= limit; i++ {
		c := raw[i]
		if c != '\\' || i+1 == len(raw) {
			dst = utf8.AppendRune(dst, rune(c))
			continue
		}
		i++
		digits := 0
		switch raw[i] {
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		default:
			dst = utf8.AppendRune(append(dst, '\\'), rune(raw[i]))
			continue
		}
		char, ok := hex(raw[i+1:], digits)
		if !ok || char < 0 || char > utf8.MaxRune {
			return nil, fmt.Errorf("%w: bad escape in a string", ErrMalformed)
		}
		dst = appendChar(dst, char)
		i += digits
	}
	return dst, nil
}

// appendChar appends char in UTF-8. Python's strings can hold half of a surrogate pair, which becomes what marshal
// and pickle write for it: three bytes that are not valid UTF-8, so that no id has one.
func appendChar(dst []byte, char rune) []byte {
	if utf16.IsSurrogate(char) {
		return append(dst, 0xe0|byte(char>>12), 0x80|byte(char>>6)&0xbf, 0x80|byte(char)&0xbf)
	}
	return utf8.AppendRune(dst, char)
}

// hex reads n hexadecimal digits, 8 at most; with 8 the result may be negative.
func hex(b []byte, n int) (rune, bool) {
	if len(b) < n {
		return 0, false
	}
	var v rune
	for _, c := range b[:n] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}
