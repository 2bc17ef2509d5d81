package router

import (
	"errors"
	"unicode/utf8"
)

// Glob is a pattern for object ids: `*` is any run of characters, `?` one
// character, `[abc]`, `[a-z]` one of a set, `[!abc]` or `[^abc]` one outside
// it, and `\` takes the next character literally. No character is special in
// the id: `*` crosses dots and slashes.
type Glob struct {
	text string
	toks []globToken
}

type globToken struct {
	kind    globKind
	char    rune
	negated bool
	ranges  [][2]rune
}

type globKind uint8

const (
	globChar globKind = iota
	globAny
	globSet
	globStar
)

// ErrGlob: a pattern with an unfinished set or a backslash at its end.
var ErrGlob = errors.New("unfinished pattern")

// CompileGlob reads a pattern.
func CompileGlob(pattern string) (Glob, error) {
	g := Glob{text: pattern}
	for rest := []rune(pattern); len(rest) > 0; {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case '*':
			g.toks = append(g.toks, globToken{kind: globStar})
		case '?':
			g.toks = append(g.toks, globToken{kind: globAny})
		case '[':
			tok, n, ok := compileSet(rest)
			if !ok {
				return Glob{}, ErrGlob
			}
			g.toks = append(g.toks, tok)
			rest = rest[n:]
		case '\\':
			if len(rest) == 0 {
				return Glob{}, ErrGlob
			}
			g.toks = append(g.toks, globToken{char: rest[0]})
			rest = rest[1:]
		default:
			g.toks = append(g.toks, globToken{char: c})
		}
	}
	return g, nil
}

// compileSet reads a set after its opening bracket and returns how many runes
// it took. A closing bracket in first place belongs to the set.
func compileSet(s []rune) (tok globToken, n int, ok bool) {
	tok.kind = globSet
	if n < len(s) && (s[n] == '!' || s[n] == '^') {
		tok.negated = true
		n++
	}
	for first := true; ; first = false {
		if n < len(s) && s[n] == ']' && !first {
			return tok, n + 1, true
		}
		lo, used := setRune(s[n:])
		if used == 0 {
			return tok, 0, false
		}
		n += used
		hi := lo
		if n+1 < len(s) && s[n] == '-' && s[n+1] != ']' {
			hi, used = setRune(s[n+1:])
			if used == 0 {
				return tok, 0, false
			}
			n += 1 + used
		}
		tok.ranges = append(tok.ranges, [2]rune{lo, hi})
	}
}

func setRune(s []rune) (r rune, used int) {
	switch {
	case len(s) > 1 && s[0] == '\\':
		return s[1], 2
	case len(s) > 0 && s[0] != '\\':
		return s[0], 1
	}
	return 0, 0
}

// String is the pattern as it was written.
func (g Glob) String() string { return g.text }

// Match reports whether the whole of id matches.
func (g Glob) Match(id string) bool {
	ok, _ := g.match(id)
	return ok
}

// match also counts its steps: at most (len(id)+1) × (len(toks)+1), since only
// the last star is ever tried again, and never at the same place.
func (g Glob) match(id string) (ok bool, steps int) {
	var (
		t, i         int
		star, starAt = -1, 0
	)
	for ; i < len(id); steps++ {
		r, size := utf8.DecodeRuneInString(id[i:])
		switch {
		case t < len(g.toks) && g.toks[t].kind == globStar:
			star, starAt = t, i
			t++
		case t < len(g.toks) && g.toks[t].matches(r):
			t++
			i += size
		case star >= 0:
			_, skip := utf8.DecodeRuneInString(id[starAt:])
			starAt += skip
			t, i = star+1, starAt
		default:
			return false, steps
		}
	}
	for t < len(g.toks) && g.toks[t].kind == globStar {
		t++
	}
	return t == len(g.toks), steps
}

func (t *globToken) matches(r rune) bool {
	switch t.kind {
	case globAny:
		return true
	case globSet:
		for _, x := range t.ranges {
			if x[0] <= r && r <= x[1] {
				return !t.negated
			}
		}
		return t.negated
	}
	return t.char == r
}
