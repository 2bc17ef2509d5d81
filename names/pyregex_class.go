package names

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// inlineFlags is _parse_flags: what follows "(?"; global says that they were no group.
func (p *pattern) inlineFlags(char string) (add, del int, global bool, err error) {
	bad := func(msg string, offset int) (int, int, bool, error) { return 0, 0, false, p.error(msg, offset) }
	unknown := func(char, otherwise string) (int, int, bool, error) {
		if r, _ := utf8.DecodeRuneInString(char); unicode.IsLetter(r) {
			otherwise = "unknown flag"
		}
		return bad(otherwise, runeLen(char))
	}
	for char != "-" {
		flag := flagLetters[char]
		if flag == flagL {
			return bad("bad inline flags: cannot use 'L' flag with a str pattern", 0)
		}
		add |= flag
		if flag&typeFlags != 0 && add&typeFlags != flag {
			return bad("bad inline flags: flags 'a', 'u' and 'L' are incompatible", 0)
		}
		if char = p.get(); char == "" {
			return bad("missing -, : or )", 0)
		}
		if char == ")" {
			return add, 0, true, nil
		}
		if char == ":" || char == "-" {
			break
		}
		if flagLetters[char] == 0 {
			return unknown(char, "missing -, : or )")
		}
	}
	if add&flagT != 0 {
		return bad("bad inline flags: cannot turn on global flag", 1)
	}
	if char == "-" {
		if char = p.get(); char == "" {
			return bad("missing flag", 0)
		}
		if flagLetters[char] == 0 {
			return unknown(char, "missing flag")
		}
		for char != ":" {
			flag := flagLetters[char]
			if flag&typeFlags != 0 {
				return bad("bad inline flags: cannot turn off flags 'a', 'u' and 'L'", 0)
			}
			del |= flag
			if char = p.get(); char == "" {
				return bad("missing :", 0)
			}
			if char != ":" && flagLetters[char] == 0 {
				return unknown(char, "missing :")
			}
		}
	}
	switch {
	case del&flagT != 0:
		return bad("bad inline flags: cannot turn off global flag", 1)
	case add&del != 0:
		return bad("bad inline flags: flag turned on and off", 1)
	}
	return add, del, false, nil
}

// The categories as contents of a RE2 set, in Unicode and in ASCII: str.isdecimal,
// str.isspace and str.isalnum with the underscore.
var categories = map[byte][2]string{
	'd': {`\p{Nd}`, `0-9`},
	's': {`\s\x0b\x1c-\x1f\x{85}\p{Z}`, `\s\x0b`},
	'w': {`\p{L}\p{N}_`, `0-9A-Za-z_`},
}

func category(letter byte, flags int) string {
	if flags&flagA != 0 {
		return categories[letter][1]
	}
	return categories[letter][0]
}

// escape is _escape: a backslash outside of sets.
func (p *pattern) escape(this string, flags int) (item, error) {
	c := this[1]
	switch c {
	case 'A':
		return item{text: `\A`, size: 1, kind: position}, nil
	case 'Z':
		return item{text: `\z`, size: 1, kind: position}, nil
	case 'b', 'B':
		return item{text: this, size: 1, kind: position}, nil
	case 'd', 's', 'w':
		return item{text: "[" + category(c, flags) + "]", size: 1}, nil
	case 'D', 'S', 'W':
		return item{text: "[^" + category(c|0x20, flags) + "]", size: 1}, nil
	}
	if c >= '1' && c <= '9' {
		return p.octalOrGroup(this)
	}
	r, err := p.character(this)
	return item{text: runeText(r), size: 1}, err
}

// octalOrGroup: three octal digits are a character, anything else is a group.
func (p *pattern) octalOrGroup(escape string) (item, error) {
	const octal = "01234567"
	if p.next != "" && strings.Contains("0123456789", p.next) {
		escape += p.get()
		if strings.Contains(octal, escape[1:2]) && strings.Contains(octal, escape[2:3]) &&
			p.next != "" && strings.Contains(octal, p.next) {
			escape += p.get()
			n, _ := strconv.ParseInt(escape[1:], 8, 32)
			if n > 0o377 {
				return item{}, p.error(fmt.Sprintf("octal escape value %s outside of range 0-0o377", escape), len(escape))
			}
			return item{text: runeText(rune(n)), size: 1}, nil
		}
	}
	group, _ := strconv.Atoi(escape[1:])
	if group >= p.groups {
		return item{}, p.error(fmt.Sprintf("invalid group reference %d", group), len(escape)-1)
	}
	if p.open[group] {
		return item{}, p.error("cannot refer to an open group", len(escape))
	}
	p.cannot("reference to a group")
	return item{size: 1}, nil
}

// character reads an escape that stands for one character, in sets and outside.
func (p *pattern) character(escape string) (rune, error) {
	if i := strings.IndexByte(`afnrtv\`, escape[1]); i >= 0 {
		return rune("\a\f\n\r\t\v\\"[i]), nil
	}
	const hex, octal = "0123456789abcdefABCDEF", "01234567"
	bad := func() (rune, error) { return 0, p.error("bad escape "+escape, runeLen(escape)) }
	switch c := escape[1]; {
	case c == 'x' || c == 'u' || c == 'U':
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
		escape += p.getWhile(digits, hex)
		if len(escape) != digits+2 {
			return 0, p.error("incomplete escape "+escape, len(escape))
		}
		n, _ := strconv.ParseUint(escape[2:], 16, 32)
		switch {
		case n > math.MaxInt32:
			return 0, exception("builtins.OverflowError", "Python int too large to convert to C int")
		case n > unicode.MaxRune:
			return bad()
		}
		return rune(n), nil
	case c == 'N':
		if !p.match("{") {
			return 0, p.error("missing {", 0)
		}
		if _, err := p.getUntil("}", "character name"); err != nil {
			return 0, err
		}
		p.cannot("name of a character")
		return 0, nil
	case strings.IndexByte(octal, c) >= 0:
		escape += p.getWhile(2, octal)
		n, _ := strconv.ParseInt(escape[1:], 8, 32)
		if n > 0o377 {
			return 0, p.error(fmt.Sprintf("octal escape value %s outside of range 0-0o377", escape), len(escape))
		}
		return rune(n), nil
	case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return bad()
	}
	r, _ := utf8.DecodeRuneInString(escape[1:])
	return r, nil
}

// runeText is r in RE2's syntax, inside a set or not. Surrogates are in no name.
func runeText(r rune) string {
	if r >= 0xd800 && r < 0xe000 {
		r = utf8.RuneError
	}
	return fmt.Sprintf(`\x{%x}`, r)
}

// set reads what follows "[".
func (p *pattern) set(flags int) (item, error) {
	here := p.tell() - 1
	negate := p.match("^")
	var in, outside []string // contents of the set; sets that are alternatives to it
	unterminated := func() (item, error) {
		return item{}, p.error("unterminated character set", p.tell()-here)
	}
	for n := 0; ; n++ {
		this := p.get()
		if this == "" {
			return unterminated()
		}
		if this == "]" && n > 0 {
			break
		}
		low, class, err := p.member(this, flags)
		if err != nil {
			return item{}, err
		}
		last := false
		if p.match("-") {
			that := p.get()
			if that == "" {
				return unterminated()
			}
			if last = that == "]"; !last {
				high, class2, err := p.member(that, flags)
				if err != nil {
					return item{}, err
				}
				if class != "" || class2 != "" || high < low {
					return item{}, p.error("bad character range "+this+"-"+that, runeLen(this)+1+runeLen(that))
				}
				in = append(in, runeText(low)+"-"+runeText(high))
				continue
			}
		}
		switch {
		case strings.HasPrefix(class, "^"):
			outside = append(outside, "["+class+"]")
		case class != "":
			in = append(in, class)
		default:
			in = append(in, runeText(low))
		}
		if last {
			in = append(in, `\-`)
			break
		}
	}
	return p.setItem(negate, strings.Join(in, ""), outside), nil
}

// setItem puts a set together: RE2 has no negated category of several parts inside
// of sets, so such become alternatives.
func (p *pattern) setItem(negate bool, in string, outside []string) item {
	switch {
	case negate && len(outside) == 0:
		return item{text: "[^" + in + "]", size: 1}
	case negate && len(outside) == 1 && in == "": // [^\W] is \w
		return item{text: "[" + outside[0][2:], size: 1}
	case negate:
		p.cannot("negated set with \\W, \\S or \\D and more")
		return item{size: 1}
	}
	if in != "" {
		outside = append(outside, "["+in+"]")
	}
	return item{text: "(?:" + strings.Join(outside, "|") + ")", size: len(outside)}
}

// member reads a character of a set, or a category in class, negated with "^".
func (p *pattern) member(this string, flags int) (r rune, class string, err error) {
	if this[0] != '\\' {
		r, _ = utf8.DecodeRuneInString(this)
		return r, "", nil
	}
	switch c := this[1]; c {
	case 'b':
		return '\b', "", nil
	case 'd', 's', 'w':
		return 0, category(c, flags), nil
	case 'D', 'S', 'W':
		return 0, "^" + category(c|0x20, flags), nil
	}
	r, err = p.character(this)
	return r, "", err
}
