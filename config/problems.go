package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one reason to refuse a configuration.
type Problem struct {
	File   string // the name given to Load, or the flag ("--listen"); empty when the value has no origin
	Line   int    // in the file, from 1; 0 when unknown, or when the key is absent
	Column int    // in the line, from 1, in characters; 0 when unknown
	Path   string // the key, as in "listeners[0].address"; empty when the document as a whole is meant
	Text   string // a sentence without its full stop
}

// Error returns "file:line:column: path: text", without the parts that are
// not known.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	for _, n := range []int{p.Line, p.Column} {
		if n == 0 {
			break
		}
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(n))
	}
	for _, part := range []string{p.Path, p.Text} {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Problems are all the reasons to refuse a configuration, in the order of the
// file. An empty list means there are none; do not return one as an error.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// sort puts problems in the order of the file, those without a line last: they
// are about what is not there.
func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return b.Line - a.Line
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// source remembers where the values of a Config came from, by their paths.
// The zero value remembers nothing and may be read.
type source struct {
	file   string
	places map[string]place
	// unread holds the paths whose value was refused by Load. Nothing more is
	// said about them: it would be about a value that nobody wrote.
	unread map[string]bool
}

type place struct {
	file         string
	line, column int
}

// problem makes a Problem at the place of path, or of the innermost value
// around it that the file does hold.
func (s *source) problem(path, format string, args ...any) Problem {
	at := place{file: s.file}
	for p := path; ; p = parent(p) {
		if known, ok := s.places[p]; ok && (p != "" || path == "") {
			at = known // what is missing from the whole document has no line in it
			break
		}
		if p == "" {
			break
		}
	}
	return Problem{File: at.file, Line: at.line, Column: at.column, Path: path, Text: fmt.Sprintf(format, args...)}
}

func (s *source) remember(path string, at place) {
	if s.places == nil {
		s.places = make(map[string]place)
	}
	s.places[path] = at
}

// has reports whether a value was written at path.
func (s *source) has(path string) bool {
	_, ok := s.places[path]
	return ok
}

// unreadWithin reports whether Load refused the value at path or one within it.
func (s *source) unreadWithin(path string) bool {
	for p := range s.unread {
		if rest, found := strings.CutPrefix(p, path); found && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// replace notes that a flag took the place of whole lists of the file.
func (s *source) replace(flag string, lists ...string) {
	for _, list := range lists {
		for p := range s.places {
			if p == list || strings.HasPrefix(p, list+"[") {
				delete(s.places, p)
			}
		}
		s.remember(list, place{file: flag})
	}
}

// parent returns the path of the value that holds the one at path.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// join returns the path of a key in the mapping at path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// index returns the path of an element of the list at path.
func index(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}
