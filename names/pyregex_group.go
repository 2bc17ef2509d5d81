package names

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// group reads what follows "("; none says that it is no item: a comment or flags.
func (p *pattern) group(flags *int, first bool) (it item, none bool, err error) {
	start := p.tell() - 1
	capture, name := true, ""
	add, del := 0, 0
	end := func() error { return p.error("unexpected end of pattern", 0) }
	if p.match("?") {
		switch char := p.get(); char {
		case "":
			return it, false, end()
		case "P":
			if p.match("=") {
				return p.reference()
			}
			if !p.match("<") {
				if char = p.get(); char == "" {
					return it, false, end()
				}
				return it, false, p.error("unknown extension ?P"+char, runeLen(char)+2)
			}
			if name, err = p.groupName(">"); err != nil {
				return it, false, err
			}
		case ":":
			capture = false
		case "#":
			for {
				if p.next == "" {
					return it, false, p.error("missing ), unterminated comment", p.tell()-start)
				}
				if p.get() == ")" {
					return it, true, nil
				}
			}
		case "=", "!", "<":
			if char == "<" {
				if char = p.get(); char == "" {
					return it, false, end()
				} else if char != "=" && char != "!" {
					return it, false, p.error("unknown extension ?<"+char, runeLen(char)+2)
				}
			}
			p.cannot("lookahead and lookbehind")
			capture = false
		case "(":
			return p.conditional(*flags, start)
		case ">":
			p.cannot("atomic group")
			capture = false
		default:
			if _, ok := flagLetters[char]; !ok && char != "-" {
				return it, false, p.error("unknown extension ?"+char, runeLen(char)+1)
			}
			var global bool
			if add, del, global, err = p.inlineFlags(char); err != nil {
				return it, false, err
			}
			if global {
				if !first {
					return it, false, p.error("global flags not at the start of the expression", p.tell()-start)
				}
				if p.flags&flagX == 0 && add&flagX != 0 {
					return it, false, errVerbose
				}
				p.flags |= add
				*flags |= add
				return it, true, nil
			}
			capture = false
		}
	}
	number := p.groups
	if capture {
		p.groups++
		p.open[number] = true
		if name != "" {
			if was, ok := p.names[name]; ok {
				return it, false, p.error(fmt.Sprintf("redefinition of group name %s as group %d; was group %d",
					quote(name), number, was), runeLen(name)+1)
			}
			p.names[name] = number
		}
	}
	inner := *flags
	if add&typeFlags != 0 {
		inner &^= typeFlags
	}
	inner = (inner | add) &^ del
	it, err = p.alternatives(inner, false)
	if err != nil {
		return it, false, err
	}
	if !p.match(")") {
		return it, false, p.error("missing ), unterminated subpattern", p.tell()-start)
	}
	delete(p.open, number)
	switch {
	case add&flagI != 0:
		it.text = "(?i:" + it.text + ")"
	case del&flagI != 0:
		it.text = "(?-i:" + it.text + ")"
	default:
		it.text = "(?:" + it.text + ")"
	}
	return it, false, nil
}

// reference reads (?P=name).
func (p *pattern) reference() (item, bool, error) {
	name, err := p.groupName(")")
	if err != nil {
		return item{}, false, err
	}
	number, ok := p.names[name]
	switch {
	case !ok:
		return item{}, false, p.error("unknown group name "+quote(name), runeLen(name)+1)
	case p.open[number]:
		return item{}, false, p.error("cannot refer to an open group", runeLen(name)+1)
	}
	p.cannot("reference to a group")
	return item{size: 1}, false, nil
}

func (p *pattern) groupName(terminator string) (string, error) {
	name, err := p.getUntil(terminator, "group name")
	if err == nil && !identifier(name) {
		err = p.error("bad character in group name "+quote(name), runeLen(name)+1)
	}
	return name, err
}

// conditional reads what follows (?(, two branches at most.
func (p *pattern) conditional(flags, start int) (it item, none bool, err error) {
	if err = p.condition(); err != nil {
		return it, false, err
	}
	if p.depth++; p.depth > maxGroupDepth {
		return it, false, unsupportedRegex("too many groups inside each other")
	}
	defer func() { p.depth-- }()
	if _, err = p.branch(&flags, false); err != nil {
		return it, false, err
	}
	if p.match("|") {
		if _, err = p.branch(&flags, false); err != nil {
			return it, false, err
		}
		if p.next == "|" {
			return it, false, p.error("conditional backref with more than two branches", 0)
		}
	}
	if !p.match(")") {
		return it, false, p.error("missing ), unterminated subpattern", p.tell()-start)
	}
	return item{size: 1}, false, nil
}

// condition reads the beginning of (?(group)yes|no).
func (p *pattern) condition() error {
	name, err := p.getUntil(")", "group name")
	if err != nil {
		return err
	}
	p.cannot("conditional group")
	if identifier(name) {
		if _, ok := p.names[name]; !ok {
			return p.error("unknown group name "+quote(name), runeLen(name)+1)
		}
		return nil
	}
	n, err := strconv.ParseUint(name, 10, 31)
	switch {
	case err != nil:
		return p.error("bad character in group name "+quote(name), runeLen(name)+1)
	case n == 0:
		return p.error("bad group number", runeLen(name)+1)
	}
	if _, ok := p.conditions[int(n)]; !ok {
		p.conditions[int(n)] = p.tell() - runeLen(name) - 1
	}
	return nil
}

func identifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// quote is Python's repr of a string that is short and mostly harmless.
func quote(s string) string {
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + s + `"`
	}
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) + "'"
}
