package blob

import (
	"errors"
	"fmt"
	"strings"
)

// MaxName is the length of the longest name in bytes that a Template makes.
const MaxName = 1024

// ErrTemplate: ParseTemplate was given something else than a template.
var ErrTemplate = errors.New("not a template for a blob's target")

// Template makes the name of an object or method of what a blob's annotation
// says.
type Template struct {
	text  string
	parts []part
}

// part is literal text or something to look up.
type part struct {
	from    source
	literal string
	path    Path
}

type source uint8

const (
	fromLiteral source = iota
	fromInfo
	fromObject
	fromMethod
)

// ParseTemplate compiles text in which {info}, {info.path} as ParsePath has it,
// {object} and {method} stand for what the annotation says, and {{ and }} for
// braces. Numbers come out as Scalar.String writes them.
func ParseTemplate(text string) (Template, error) {
	t := Template{text: text}
	var literal strings.Builder
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}"):
			literal.WriteByte(rest[0])
			rest = rest[2:]
			continue
		case rest[0] == '}':
			return Template{}, fmt.Errorf("%w: %q: a } without its {; a brace itself is }}", ErrTemplate, text)
		case rest[0] != '{':
			literal.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		end := closing(rest)
		if end < 0 {
			return Template{}, fmt.Errorf("%w: %q: a { without its }; a brace itself is {{", ErrTemplate, text)
		}
		p, err := parsePart(rest[1:end])
		if err != nil {
			return Template{}, fmt.Errorf("%w: %q: %w", ErrTemplate, text, err)
		}
		t.addLiteral(&literal)
		t.parts = append(t.parts, p)
		rest = rest[end+1:]
	}
	t.addLiteral(&literal)
	if len(t.parts) == 0 {
		return Template{}, fmt.Errorf("%w: it is empty", ErrTemplate)
	}
	return t, nil
}

func (t *Template) addLiteral(b *strings.Builder) {
	if b.Len() > 0 {
		t.parts = append(t.parts, part{literal: b.String()})
		b.Reset()
	}
}

// closing is where the brace is that closes the one text starts with, or -1.
func closing(text string) int {
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

func parsePart(name string) (part, error) {
	switch name {
	case "object":
		return part{from: fromObject}, nil
	case "method":
		return part{from: fromMethod}, nil
	}
	path, err := ParsePath(name)
	if err != nil && name != "info" && !strings.HasPrefix(name, "info.") {
		return part{}, fmt.Errorf("there is no {%s}, only {info}, {info.path}, {object} and {method}", name)
	}
	return part{from: fromInfo, path: path}, err
}

// String is the text the template was made of.
func (t Template) String() string { return t.text }

// Append appends the name to dst. ok is false, and dst as it was, if the
// info has no string or number where one is wanted, or the name would be empty or
// longer than MaxName.
func (t Template) Append(dst []byte, c Call) (name []byte, ok bool) {
	start := len(dst)
	name = dst
	for _, p := range t.parts {
		text := p.literal
		switch p.from {
		case fromObject:
			text = c.Object
		case fromMethod:
			text = c.Method
		case fromInfo:
			s, ok := c.Info.At(p.path)
			if !ok || len(s.Text) > MaxName {
				return dst, false
			}
			text = s.String()
		}
		if len(name)-start+len(text) > MaxName {
			return dst, false
		}
		name = append(name, text...)
	}
	if len(name) == start {
		return dst, false
	}
	return name, true
}
