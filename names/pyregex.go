package names

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// compilePython makes a regular expression of Python's module re into one of RE2 that
// matches the same names, as re.match does: from their beginning, not to their end.
// It follows CPython's re/_parser.py (3.11), so that what Python rejects is rejected
// with its text. What RE2 cannot do in linear time (lookaround, references to groups,
// possessive repeats) is an error too, and says so. Known differences: \b knows ASCII
// words only, and "$" before a final newline takes that newline.
func compilePython(pattern string) (*regexp.Regexp, error) {
	p := newPattern(pattern, 0)
	text, err := p.whole()
	if errors.Is(err, errVerbose) {
		p = newPattern(pattern, flagX)
		text, err = p.whole()
	}
	if err != nil {
		return nil, err
	}
	if p.unsupported != "" {
		return nil, unsupportedRegex(p.unsupported)
	}
	re, err := regexp.Compile(`\A(?:` + text + `)`)
	if err != nil {
		return nil, unsupportedRegex(err.Error())
	}
	return re, nil
}

func invalidRegex(why string) *values.Exception { return namingError("invalid regex: " + why) }
func unsupportedRegex(what string) *values.Exception {
	return invalidRegex(what + " (not supported by this name server)")
}

// errVerbose: the pattern turned out to be a verbose one and must be read as such.
var errVerbose = errors.New("verbose")

// Bounds: groups inside each other, and how much a pattern grows by repeats.
const (
	maxGroupDepth = 50
	maxRegexSize  = 1000
	maxRepeat     = 1000       // RE2's
	pythonRepeat  = 4294967295 // MAXREPEAT: Python's
)

// The flags, as letters of (?aiLmsux).
const (
	flagA = 1 << iota
	flagI
	flagL
	flagM
	flagS
	flagU
	flagX
	flagT
)

var flagLetters = map[string]int{"a": flagA, "i": flagI, "L": flagL, "m": flagM, "s": flagS, "u": flagU, "x": flagX, "t": flagT}

const typeFlags = flagA | flagL | flagU

// pattern is the state of reading one.
type pattern struct {
	runes []rune
	index int    // behind next
	next  string // the token ahead: a character, or two with a backslash; "" at the end
	fail  error  // of the tokenizer, to be raised with the first chance

	flags       int // global
	depth       int
	groups      int // with group 0
	open        map[int]bool
	names       map[string]int
	conditions  map[int]int // numbers of groups asked for before they were known, and where
	unsupported string      // the first thing that RE2 has not
}

func newPattern(text string, flags int) *pattern {
	p := &pattern{runes: []rune(text), flags: flags, groups: 1,
		open: map[int]bool{}, names: map[string]int{}, conditions: map[int]int{}}
	p.advance()
	return p
}

// advance reads the token ahead (Tokenizer.__next).
func (p *pattern) advance() {
	if p.index >= len(p.runes) {
		p.next = ""
		return
	}
	n := 1
	if p.runes[p.index] == '\\' {
		n = 2
		if p.index+1 >= len(p.runes) {
			p.fail = p.errorAt("bad escape (end of pattern)", len(p.runes)-1)
			p.next, p.index = "", len(p.runes)
			return
		}
	}
	p.next = string(p.runes[p.index : p.index+n])
	p.index += n
}

func (p *pattern) get() string {
	this := p.next
	p.advance()
	return this
}

func (p *pattern) match(token string) bool {
	if p.next != token {
		return false
	}
	p.advance()
	return true
}

func (p *pattern) getWhile(n int, charset string) string {
	var b strings.Builder
	for range n {
		if p.next == "" || !strings.Contains(charset, p.next) {
			break
		}
		b.WriteString(p.get())
	}
	return b.String()
}

func (p *pattern) getUntil(terminator, what string) (string, error) {
	result := ""
	for {
		c := p.get()
		switch {
		case c == "" && p.fail != nil:
			return "", p.fail
		case c == "" && result == "":
			return "", p.error("missing "+what, 0)
		case c == "":
			return "", p.error("missing "+terminator+", unterminated name", runeLen(result))
		case c == terminator && result == "":
			return "", p.error("missing "+what, 1)
		case c == terminator:
			return result, nil
		}
		result += c
	}
}

func (p *pattern) tell() int          { return p.index - runeLen(p.next) }
func (p *pattern) seek(index int)     { p.index = index; p.advance() }
func runeLen(s string) int            { return len([]rune(s)) }
func (p *pattern) cannot(what string) { p.unsupported = firstOf(p.unsupported, what) }

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// error is re.error at offset characters before the token ahead.
func (p *pattern) error(msg string, offset int) error { return p.errorAt(msg, p.tell()-offset) }

func (p *pattern) errorAt(msg string, pos int) error {
	if p.fail != nil {
		return p.fail // the tokenizer would have raised it before
	}
	msg = fmt.Sprintf("%s at position %d", msg, pos)
	if text := string(p.runes); strings.Contains(text, "\n") {
		before := string(p.runes[:max(0, min(pos, len(p.runes)))])
		line := strings.Count(before, "\n") + 1
		column := pos - (runeLen(before[:strings.LastIndex(before, "\n")+1]) - 1)
		msg = fmt.Sprintf("%s (line %d, column %d)", msg, line, column)
	}
	return invalidRegex(msg)
}

// whole reads all of it (parse in _parser.py).
func (p *pattern) whole() (string, error) {
	item, err := p.alternatives(p.flags, true)
	if err == nil && p.fail != nil {
		err = p.fail
	}
	if err != nil {
		return "", err
	}
	if p.next != "" {
		return "", p.error("unbalanced parenthesis", 0)
	}
	for group, at := range p.conditions {
		if group >= p.groups {
			return "", p.errorAt(fmt.Sprintf("invalid group reference %d", group), at)
		}
	}
	if p.flags&flagI != 0 {
		return "(?i:" + item.text + ")", nil
	}
	return item.text, nil
}
