package config

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// Conditions are what a route asks of a call, all of it, in the order of the file.
type Conditions []Condition

// Condition is what one part of a call has to be.
type Condition struct {
	// Key is "info", "object", "method" or a path that begins with "info.", as
	// package blob reads paths; or the id of an annotation.
	Key string
	// Any has at least one element, and is content with any of them.
	Any []Value
}

// Value is what something has to be: text that a pattern matches, or a number.
type Value struct {
	// Number: it is exactly this number, and no text. Otherwise it is text that the
	// pattern matches, and no number.
	Number bool
	// Text is the Pattern, or the number: a whole one of any size in decimal digits,
	// any other as strconv.ParseFloat reads it, and never whole.
	Text string
}

// Pattern returns the pattern of a value that is no number.
func (v Value) Pattern() Pattern { return Pattern(v.Text) }

// UnmarshalText accepts a pattern. Numbers are told from text by how they are
// written in YAML, and so are read elsewhere.
func (v *Value) UnmarshalText(text []byte) error {
	var p Pattern
	if err := p.UnmarshalText(text); err != nil {
		return err
	}
	*v = Value{Text: string(p)}
	return nil
}

// decimal is how numbers are written: as in Python, and as people expect to be
// understood; YAML's hexadecimal and octal forms are not.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// maxDigits bounds a number's length.
const maxDigits = 400

// unmarshalNumber accepts a number, whole or not.
func (v *Value) unmarshalNumber(text string) error {
	if len(text) > maxDigits {
		return fmt.Errorf("is a number of more than %d digits", maxDigits)
	}
	if !decimal.MatchString(text) {
		return fmt.Errorf("%q is not written as a decimal number: write it as in 7, -7 or 0.5, or put text in quotes", text)
	}
	if n, ok := new(big.Int).SetString(text, 10); ok {
		*v = Value{Number: true, Text: n.String()} // -0 is 0
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("%q is too large", text)
	}
	if f == math.Trunc(f) { // 7.0 is 7, in Python as well
		n, _ := big.NewFloat(f).Int(nil)
		*v = Value{Number: true, Text: n.String()}
		return nil
	}
	*v = Value{Number: true, Text: strconv.FormatFloat(f, 'g', -1, 64)}
	return nil
}

// Template makes an object id or the name of a method of what a call says: text with
// {info}, {info.path}, {object} and {method} in it, and {{ and }} for braces. Empty,
// it is none. Package blob compiles it.
type Template string

// UnmarshalText checks the syntax of a template.
func (t *Template) UnmarshalText(text []byte) error {
	if err := checkTemplate(string(text)); err != nil {
		return fmt.Errorf("%q is not a template: %w", text, err)
	}
	*t = Template(text)
	return nil
}

func checkTemplate(text string) error {
	if len(text) > maxText {
		return fmt.Errorf("it has more than %d bytes", maxText)
	}
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}"):
			rest = rest[2:]
			continue
		case rest[0] == '}':
			return errors.New("a } without its { (a brace itself is }})")
		case rest[0] != '{':
			rest = rest[1:]
			continue
		}
		end := closingBrace(rest)
		if end < 0 {
			return errors.New("a { without its } (a brace itself is {{)")
		}
		if name := rest[1:end]; name != "object" && name != "method" {
			if name != "info" && !strings.HasPrefix(name, "info.") {
				return fmt.Errorf("there is no {%s}, only {info}, {info.path}, {object} and {method}", name)
			}
			if err := checkInfoPath(name); err != nil {
				return err
			}
		}
		rest = rest[end+1:]
	}
	return nil
}

// closingBrace returns where the brace is that closes the one text begins with, or
// -1. One in quotes is part of a path.
func closingBrace(text string) int {
	quoted := false
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if quoted {
				i++
			}
		case '"':
			quoted = !quoted
		case '}':
			if !quoted {
				return i
			}
		}
	}
	return -1
}

// checkInfoPath checks "info" and what follows it, step by step: .name, .0 or
// ."quoted".
func checkInfoPath(path string) error {
	for rest := strings.TrimPrefix(path, "info"); rest != ""; {
		if rest[0] != '.' {
			return fmt.Errorf("the path %s lacks a dot behind a quoted name", path)
		}
		step := rest[1:]
		if strings.HasPrefix(step, `"`) {
			end := closingQuote(step)
			if end < 0 {
				return fmt.Errorf(`the path %s has a quote that is not closed, or a \ in it before something else than a quote or a \`, path)
			}
			rest = step[end+1:]
			continue
		}
		name, _, _ := strings.Cut(step, ".")
		switch {
		case name == "":
			return fmt.Errorf("the path %s lacks a name behind a dot", path)
		case strings.ContainsAny(name, `"\{}`):
			return fmt.Errorf("the path %s needs quotes around %s", path, name)
		case allDigits(strings.TrimPrefix(name, "-")):
			if _, err := strconv.ParseInt(name, 10, 64); err != nil {
				return fmt.Errorf("the path %s has too large a number", path)
			}
		}
		rest = step[len(name):]
	}
	return nil
}

// closingQuote returns where the quote is that closes the one text begins with, or
// -1.
func closingQuote(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i
		case '\\':
			if i++; i >= len(text) || text[i] != '"' && text[i] != '\\' {
				return -1
			}
		}
	}
	return -1
}
