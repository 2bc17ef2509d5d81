package values

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// surrogate is where Python's strings may hold what is no character: a half of a pair,
// written in UTF-8's manner in three bytes. It returns the half at the beginning of s.
func surrogate(s string) (rune, bool) {
	if len(s) >= 3 && s[0] == 0xed && s[1] >= 0xa0 && s[1] <= 0xbf && s[2]&0xc0 == 0x80 {
		return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
	}
	return 0, false
}

func appendSurrogate(dst []byte, r rune) []byte {
	return append(dst, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0xbf, 0x80|byte(r)&0xbf)
}

func isSurrogate(r rune) bool { return r >= 0xd800 && r <= 0xdfff }

// isText reports whether s could be a str of Python's.
func isText(s string) bool {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size <= 1 {
			if _, ok := surrogate(s[i:]); !ok {
				return false
			}
			size = 3
		}
		i += size
	}
	return true
}

// appendFloat appends a finite float as Python's repr does: the shortest digits, with
// a point or an exponent.
func appendFloat(dst []byte, f float64) []byte {
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	text := string(dst[start:])
	exponent, err := strconv.Atoi(text[strings.IndexByte(text, 'e')+1:])
	if err != nil || exponent < -4 || exponent >= 16 {
		return dst
	}
	dst = strconv.AppendFloat(dst[:start], f, 'f', -1, 64)
	if f == math.Trunc(f) {
		dst = append(dst, ".0"...)
	}
	return dst
}

// appendEscaped appends a character by its number: \xNN, \uNNNN or \UNNNNNNNN.
func appendEscaped(dst []byte, letter byte, digits int, r rune) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '\\', letter)
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hex[r>>shift&0xf])
	}
	return dst
}
