package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Pattern is a glob for object ids whose syntax was checked:
//
//   - any run of characters, also none, and also / and .
//     ?        exactly one character
//     [abc]    one of the characters; [a-z] one of the range
//     [!abc]   one character that is none of these; [^abc] is the same
//     \x       the character x itself, inside brackets too
//
// In a class, ] and - stand for themselves only behind a \, and a class holds
// at least one character. A character is a Unicode code point. Every other
// character stands for itself; case counts.
//
// It differs from path.Match in that * crosses slashes, and in [!abc].
type Pattern string

// UnmarshalText checks the syntax of a pattern.
func (p *Pattern) UnmarshalText(text []byte) error {
	if err := checkPattern(string(text)); err != nil {
		return fmt.Errorf("%q is not a pattern: %w", text, err)
	}
	*p = Pattern(text)
	return nil
}

// Exact returns the only text that the pattern matches; ok is false if there may be
// several.
func (p Pattern) Exact() (text string, ok bool) {
	var b strings.Builder
	for rest := string(p); rest != ""; rest = rest[1:] {
		switch rest[0] {
		case '*', '?', '[':
			return "", false
		case '\\':
			if rest = rest[1:]; rest == "" {
				return "", false
			}
		}
		b.WriteByte(rest[0])
	}
	return b.String(), b.Len() > 0
}

func checkPattern(pattern string) error {
	if pattern == "" {
		return errors.New("it is empty (* is every object)")
	}
	if !utf8.ValidString(pattern) {
		return errors.New("it is not valid UTF-8")
	}
	for rest := pattern; rest != ""; {
		switch rest[0] {
		case '\\':
			if rest = rest[1:]; rest == "" {
				return errors.New(`a \ stands at its end`)
			}
			_, size := utf8.DecodeRuneInString(rest)
			rest = rest[size:]
		case '[':
			after, err := checkClass(rest)
			if err != nil {
				return err
			}
			rest = after
		default:
			rest = rest[1:]
		}
	}
	return nil
}

// checkClass checks the class that s begins with, and returns what follows it.
func checkClass(s string) (rest string, err error) {
	rest = s[1:]
	if rest != "" && (rest[0] == '!' || rest[0] == '^') {
		rest = rest[1:]
	}
	for first := true; ; first = false {
		if strings.HasPrefix(rest, "]") {
			if first {
				return "", errors.New(`a class is empty (write \] for a bracket in it)`)
			}
			return rest[1:], nil
		}
		if strings.HasPrefix(rest, "-") {
			return "", errors.New(`a range has no beginning (write \- for a hyphen)`)
		}
		low, after, ok := classChar(rest)
		if !ok {
			return "", errors.New("a [ is not closed")
		}
		rest = after
		if !strings.HasPrefix(rest, "-") {
			continue
		}
		if strings.HasPrefix(rest, "-]") || strings.HasPrefix(rest, "--") {
			return "", errors.New(`a range has no end (write \- for a hyphen)`)
		}
		high, after, ok := classChar(rest[1:])
		if !ok {
			return "", errors.New("a [ is not closed")
		}
		if high < low {
			return "", fmt.Errorf("the range %c-%c is the wrong way round", low, high)
		}
		rest = after
	}
}

// classChar takes one character, escaped or not, off the front of s.
func classChar(s string) (c rune, rest string, ok bool) {
	s = strings.TrimPrefix(s, `\`)
	if s == "" {
		return 0, "", false
	}
	c, size := utf8.DecodeRuneInString(s)
	return c, s[size:], true
}
