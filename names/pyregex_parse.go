package names

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// itemKind is what a repeat asks of the item before it.
type itemKind int

const (
	plain itemKind = iota
	position
	repeated
)

// item is a translated part and its size, repeats multiplied.
type item struct {
	text string
	size int
	kind itemKind
}

// alternatives is _parse_sub.
func (p *pattern) alternatives(flags int, outermost bool) (item, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxGroupDepth {
		return item{}, unsupportedRegex("too many groups inside each other")
	}
	var branches []string
	size := 0
	for first := outermost; ; first = false {
		if p.flags&flagX != 0 && outermost {
			flags |= flagX
		}
		b, err := p.branch(&flags, first)
		if err != nil {
			return item{}, err
		}
		branches = append(branches, b.text)
		size += b.size + 1
		if !p.match("|") {
			break
		}
	}
	return item{text: strings.Join(branches, "|"), size: size}, nil
}

// branch is _parse: the items up to "|", ")" or the end.
func (p *pattern) branch(flags *int, first bool) (item, error) {
	var list []item
	for {
		if p.fail != nil {
			return item{}, p.fail
		}
		this := p.next
		if this == "" || this == "|" || this == ")" {
			break
		}
		p.advance()
		if p.fail != nil {
			return item{}, p.fail
		}
		if *flags&flagX != 0 {
			if strings.Contains(" \t\n\r\v\f", this) {
				continue
			}
			if this == "#" {
				for c := p.get(); c != "" && c != "\n"; c = p.get() {
				}
				continue
			}
		}
		var it item
		var err error
		switch {
		case this[0] == '\\':
			it, err = p.escape(this, *flags)
		case this == "[":
			it, err = p.set(*flags)
		case this == "?" || this == "*" || this == "+" || this == "{":
			var literal bool
			if literal, err = p.repeat(this, list); literal {
				it = item{text: `\{`, size: 1}
			} else if err == nil {
				continue
			}
		case this == ".":
			it = item{text: "(?-s:.)", size: 1}
			if *flags&flagS != 0 {
				it.text = "(?s:.)"
			}
		case this == "(":
			var none bool
			it, none, err = p.group(flags, first && len(list) == 0)
			if err == nil && none {
				continue
			}
		case this == "^":
			it = item{text: `\A`, size: 1, kind: position}
			if *flags&flagM != 0 {
				it.text = "(?m:^)"
			}
		case this == "$":
			it = item{text: `(?:\n?\z)`, size: 2, kind: position}
			if *flags&flagM != 0 {
				it.text = "(?m:$)"
			}
		default:
			it = item{text: regexp.QuoteMeta(this), size: 1}
		}
		if err != nil {
			return item{}, err
		}
		list = append(list, it)
	}
	all := item{}
	var b strings.Builder
	for _, it := range list {
		b.WriteString(it.text)
		all.size += it.size
	}
	all.text = b.String()
	if all.size > maxRegexSize {
		return item{}, unsupportedRegex("too large with its repeats")
	}
	return all, nil
}

// repeat applies a repeat to the last of list; literal says that it was only a brace.
func (p *pattern) repeat(this string, list []item) (literal bool, err error) {
	here := p.tell()
	low, high := 0, -1
	switch this {
	case "?":
		high = 1
	case "+":
		low = 1
	case "{":
		if p.next == "}" {
			return true, nil
		}
		const digits = "0123456789"
		lo := p.getWhile(len(p.runes), digits)
		hi := lo
		if p.match(",") {
			hi = p.getWhile(len(p.runes), digits)
		}
		if !p.match("}") {
			if p.fail != nil {
				return false, p.fail
			}
			p.seek(here)
			return true, nil
		}
		if low, err = count(lo, 0); err != nil {
			return false, err
		}
		if high, err = count(hi, -1); err != nil {
			return false, err
		}
		if high >= 0 && high < low {
			return false, p.error("min repeat greater than max repeat", p.tell()-here)
		}
	}
	if len(list) == 0 || list[len(list)-1].kind == position {
		return false, p.error("nothing to repeat", p.tell()-here+len(this))
	}
	last := &list[len(list)-1]
	if last.kind == repeated {
		return false, p.error("multiple repeat", p.tell()-here+len(this))
	}
	suffix := ""
	if p.match("?") {
		suffix = "?"
	} else if p.match("+") {
		p.cannot("possessive repeat")
	}
	if low > maxRepeat || high > maxRepeat {
		p.cannot(fmt.Sprintf("more than %d repeats", maxRepeat))
		low, high = min(low, 1), min(high, 1)
	}
	times := max(low+1, high)
	last.size *= times
	last.kind = repeated
	if last.size > maxRegexSize {
		return false, unsupportedRegex("too large with its repeats")
	}
	switch {
	case this != "{":
		last.text = "(?:" + last.text + ")" + this + suffix
	case high < 0:
		last.text = fmt.Sprintf("(?:%s){%d,}%s", last.text, low, suffix)
	default:
		last.text = fmt.Sprintf("(?:%s){%d,%d}%s", last.text, low, high, suffix)
	}
	return false, nil
}

func count(digits string, missing int) (int, error) {
	if digits == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n >= pythonRepeat {
		return 0, exception("builtins.OverflowError", "the repetition number is too large")
	}
	return int(n), nil
}
