package router_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{""}, []string{"a"}},
		{"*", []string{"", "a", "a.b/c", "\xff", "é"}, nil},
		{"**", []string{"", "ab"}, nil},
		{"lab.camera", []string{"lab.camera"}, []string{"lab.camera1", "lab.camer", "labxcamera", "Lab.camera", ""}},
		{"lab.*", []string{"lab.", "lab.a", "lab.a.b"}, []string{"lab", "xlab.a"}},
		{"*.camera", []string{".camera", "a.camera", "a.camera.camera"}, []string{"camera", "a.camera1"}},
		{"a*b*c", []string{"abc", "aXbXc", "abbbcbc", "abcc"}, []string{"ab", "acb", "abcX"}},
		{"*ab", []string{"ab", "aab", "abab"}, []string{"aba", "a", ""}},
		{"?", []string{"a", "é", "世", "\xff"}, []string{"", "ab"}},
		{"a?c", []string{"abc", "a.c", "a/c"}, []string{"ac", "abbc"}},
		{"[abc]", []string{"a", "c"}, []string{"d", "", "ab"}},
		{"[a-c]x", []string{"ax", "bx"}, []string{"dx", "x", "-x"}},
		{"[a-cx-z]", []string{"b", "y"}, []string{"d", "-"}},
		{"[!a-c]", []string{"d", "é"}, []string{"a", ""}},
		{"[^a]", []string{"^", "b"}, []string{"a"}},
		{"[a^]", []string{"a", "^"}, []string{"b"}},
		{"[α-ω]*", []string{"λ", "λx"}, []string{"x"}},
		{`\*`, []string{"*"}, []string{"a", `\*`}},
		{`\\x`, []string{`\x`}, []string{"x"}},
		{`[\]]`, []string{"]"}, []string{`\`, "a"}},
		{`[\-a]`, []string{"-", "a"}, []string{"b"}},
		{`[a\-z]`, []string{"-", "a", "z"}, []string{"b"}},
		{`[!\!]`, []string{"a"}, []string{"!"}},
		{"[]]", []string{"]"}, []string{"[", ""}},
		{"[a-]", []string{"a", "-"}, []string{"b"}},
		{"obj_????", []string{"obj_12ab"}, []string{"obj_12a"}},
	}
	for _, test := range tests {
		g, err := router.CompileGlob(test.pattern)
		if err != nil {
			t.Errorf("%q: %v", test.pattern, err)
			continue
		}
		if g.String() != test.pattern {
			t.Errorf("%q is written %q", test.pattern, g)
		}
		for _, id := range test.yes {
			if !g.Match(id) {
				t.Errorf("%q does not match %q", test.pattern, id)
			}
		}
		for _, id := range test.no {
			if g.Match(id) {
				t.Errorf("%q matches %q", test.pattern, id)
			}
		}
	}
	for _, pattern := range []string{"[", "[a", "[!", "[]", "[a-", `\`, `a\`, `[\`, `[a\]`, `[a-\`} {
		if g, err := router.CompileGlob(pattern); !errors.Is(err, router.ErrGlob) {
			t.Errorf("%q gives %q, %v", pattern, g, err)
		}
	}
}

// FuzzGlob compares with a matcher that tries everything, and holds
// CompileGlob to accepting what the configuration does.
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"*a*b*c", "aabbcc"}, {"[a-c]?*", "bxyz"}, {`[!\]]\*`, "x*"}, {"[]]", "]"}, {"a[b-]", "a-"}, {"[z-a]", "m"}, {"?é*", "xé\xff"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, id string) {
		if len(pattern) > 30 || len(id) > 30 {
			return // the naive matcher is exponential
		}
		g, err := router.CompileGlob(pattern)
		var p config.Pattern
		if p.UnmarshalText([]byte(pattern)) == nil && err != nil {
			t.Fatalf("%q is a pattern of the configuration: %v", pattern, err)
		}
		if err != nil {
			if !errors.Is(err, router.ErrGlob) {
				t.Fatal(err)
			}
			return
		}
		if !utf8.ValidString(pattern) {
			return // read as U+FFFD; the configuration does not allow it
		}
		steps := 0
		if want := naive([]rune(pattern), runes(id), &steps); steps < maxNaive && g.Match(id) != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, id, !want, want)
		}
	})
}

// runes are the characters of id, each invalid byte one.
func runes(id string) (all []rune) {
	for len(id) > 0 {
		r, size := utf8.DecodeRuneInString(id)
		all = append(all, r)
		id = id[size:]
	}
	return all
}

// maxNaive bounds the work of naive, whose answer is worth nothing beyond.
const maxNaive = 1 << 20

// naive matches straight from the pattern's text, by trying everything.
func naive(p, id []rune, steps *int) bool {
	if *steps++; *steps >= maxNaive {
		return false
	}
	if len(p) == 0 {
		return len(id) == 0
	}
	switch p[0] {
	case '*':
		return naive(p[1:], id, steps) || len(id) > 0 && naive(p, id[1:], steps)
	case '?':
		return len(id) > 0 && naive(p[1:], id[1:], steps)
	case '\\':
		return len(id) > 0 && id[0] == p[1] && naive(p[2:], id[1:], steps)
	case '[':
		if len(id) == 0 {
			return false
		}
		in, rest := naiveSet(p[1:], id[0])
		return in && naive(rest, id[1:], steps)
	}
	return len(id) > 0 && id[0] == p[0] && naive(p[1:], id[1:], steps)
}

// naiveSet reports whether c is in the set that p begins with, and what follows.
func naiveSet(p []rune, c rune) (in bool, rest []rune) {
	negated := p[0] == '!' || p[0] == '^'
	if negated {
		p = p[1:]
	}
	next := func() rune {
		if p[0] == '\\' {
			p = p[1:]
		}
		r := p[0]
		p = p[1:]
		return r
	}
	for first := true; first || p[0] != ']'; first = false {
		low := next()
		high := low
		if p[0] == '-' && p[1] != ']' {
			p = p[1:]
			high = next()
		}
		in = in || low <= c && c <= high
	}
	return in != negated, p[1:]
}

// TestCorpora: fuzz targets are only as good as their seeds, so the folders of
// committed ones must not vanish unnoticed.
func TestCorpora(t *testing.T) {
	for _, target := range []string{"FuzzGlob", "FuzzSession"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(seeds) == 0 {
			t.Errorf("%s has no seeds", target)
		}
		for _, seed := range seeds {
			if b, err := os.ReadFile(seed); err != nil || len(b) == 0 {
				t.Errorf("%s: %v", seed, err)
			}
		}
	}
}
