package handshake

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

func (m *pickleMachine) push(v pickled) error {
	if len(m.stack) >= m.items {
		return m.tooMany()
	}
	m.stack = append(m.stack, v)
	return nil
}

// pushString pushes the string, or bytes, whose source is data[start:end].
func (m *pickleMachine) pushString(k pickledKind, start, end int) error {
	v := pickled{kind: k, start: uint32(start), end: uint32(end)}
	v.isKey = m.spellsKey(v)
	var err error
	if v.sum, err = m.sumOfString(v); err != nil {
		return err
	}
	return m.push(v)
}

// pushHolding pushes a value made of parts, which are off the stack already.
func (m *pickleMachine) pushHolding(k pickledKind, parts []pickled) error {
	sum, err := m.keep(m.total(parts))
	if err != nil {
		return err
	}
	return m.push(pickled{kind: k, sum: sum})
}

func (m *pickleMachine) pushDict(d pickledDict, items []pickled) error {
	if len(m.dicts) >= m.items {
		return m.tooMany()
	}
	m.dicts = append(m.dicts, d)
	sum, err := m.keep(m.total(items))
	if err != nil {
		return err
	}
	return m.push(pickled{kind: aDict, start: uint32(len(m.dicts) - 1), sum: sum})
}

// fence is the height of the stack at the last mark. Only popMark and opPop reach below it.
func (m *pickleMachine) fence() int {
	if len(m.marks) == 0 {
		return 0
	}
	return int(m.marks[len(m.marks)-1])
}

// pop takes n values off the stack. They stay intact until the next push.
func (m *pickleMachine) pop(n int) ([]pickled, error) {
	height := len(m.stack) - n
	if height < m.fence() {
		return nil, m.malformed("stack underflow")
	}
	popped := m.stack[height:]
	m.stack = m.stack[:height]
	return popped, nil
}

// popMark takes the last mark, and what is above it, off the stack. That stays intact until the next push.
func (m *pickleMachine) popMark() ([]pickled, error) {
	if len(m.marks) == 0 {
		return nil, m.malformed("no mark")
	}
	popped, err := m.pop(len(m.stack) - m.fence())
	m.marks = m.marks[:len(m.marks)-1]
	return popped, err
}

func (m *pickleMachine) top() (pickled, error) {
	if len(m.stack) <= m.fence() {
		return pickled{}, m.malformed("stack underflow")
	}
	return m.stack[len(m.stack)-1], nil
}

// replace makes one value of the n on top.
func (m *pickleMachine) replace(n int, k pickledKind) error {
	parts, err := m.pop(n)
	if err != nil {
		return err
	}
	return m.pushHolding(k, parts)
}

// fold puts items, which are off the stack already, into the value on top. That has to be there.
func (m *pickleMachine) fold(items []pickled, err error) error {
	if err != nil {
		return err
	}
	target, err := m.top()
	if err != nil {
		return err
	}
	m.addTo(target, items)
	return nil
}

// object makes an opaque value of what is above the mark, atLeast so many.
func (m *pickleMachine) object(atLeast int) error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	if len(items) < atLeast {
		return m.malformed("stack underflow")
	}
	return m.pushHolding(opaque, items)
}

// put enters the top of the stack into the memo at i. The picklers number their entries one by one, so an index
// past the number of bytes read is nonsense, and must not make the memo grow.
func (m *pickleMachine) put(i int, err error) error {
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	if i >= m.items || i > m.pos {
		return m.tooMany()
	}
	if i >= len(m.memo) {
		m.memo = append(m.memo, make([]pickled, i+1-len(m.memo))...)
	}
	if m.memo[i].kind == absent {
		m.known++
	}
	m.memo[i] = v
	return nil
}

func (m *pickleMachine) get(i int, err error) error {
	if err != nil {
		return err
	}
	if i >= len(m.memo) || m.memo[i].kind == absent {
		return m.malformed("nothing memorized")
	}
	return m.push(m.memo[i])
}

// take returns the next n bytes, which alias the data.
func (m *pickleMachine) take(n int) ([]byte, error) {
	if n > len(m.data)-m.pos {
		return nil, m.malformed("truncated")
	}
	b := m.data[m.pos : m.pos+n]
	m.pos += n
	return b, nil
}

// number reads an unsigned number of 1 or 4 bytes.
func (m *pickleMachine) number(width int) (int, error) {
	b, err := m.take(width)
	if err != nil {
		return 0, err
	}
	if width == 1 {
		return int(b[0]), nil
	}
	return int(min(binary.LittleEndian.Uint32(b), math.MaxInt32)), nil // beyond any memo either way
}

// length reads a length of 1, 4 or 8 bytes, of which no more than the data can be right. That covers the negative ones.
func (m *pickleMachine) length(width int) (int, error) {
	b, err := m.take(width)
	if err != nil {
		return 0, err
	}
	var n uint64
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	if n > uint64(len(m.data)-m.pos) {
		return 0, m.malformed("truncated")
	}
	return int(n), nil
}

// skip pushes a value that n bytes describe.
func (m *pickleMachine) skip(n int, k pickledKind) error {
	if _, err := m.take(n); err != nil {
		return err
	}
	return m.push(pickled{kind: k})
}

// sized pushes a value that a length and so many bytes describe.
func (m *pickleMachine) sized(width int, k pickledKind) error {
	n, err := m.length(width)
	if err != nil {
		return err
	}
	start := m.pos
	m.pos += n
	if k == plain {
		return m.push(pickled{kind: plain})
	}
	return m.pushString(k, start, m.pos)
}

// bytearray pushes one. It is no string, as it is never a key, but counts as one.
func (m *pickleMachine) bytearray() error {
	n, err := m.length(8)
	if err != nil {
		return err
	}
	start := m.pos
	m.pos += n
	sum, err := m.sumOfString(pickled{kind: bytesOf, start: uint32(start), end: uint32(m.pos)})
	if err != nil {
		return err
	}
	return m.push(pickled{kind: plain, sum: sum})
}

// line reads up to the next line end, which it leaves out.
func (m *pickleMachine) line() ([]byte, error) {
	n := bytes.IndexByte(m.data[m.pos:], '\n')
	if n < 0 {
		return nil, m.malformed("truncated")
	}
	line := m.data[m.pos : m.pos+n]
	m.pos += n + 1
	return line, nil
}

func (m *pickleMachine) twoLines() error {
	if _, err := m.line(); err != nil {
		return err
	}
	_, err := m.line()
	return err
}

// quotedLine pushes the string that the next line has in quotes.
func (m *pickleMachine) quotedLine() error {
	line, err := m.line()
	if err != nil {
		return err
	}
	last := len(line) - 1
	if last < 1 || line[0] != line[last] || line[0] != '\'' && line[0] != '"' {
		return m.malformed("string without quotes")
	}
	end := m.pos - 1
	return m.pushString(quoted, end-last, end-1)
}

// decode returns what a string spells, in *decoded if it is not there as such.
func (m *pickleMachine) decode(v pickled, decoded *[]byte) ([]byte, error) {
	raw := m.data[v.start:v.end]
	var err error
	switch v.kind {
	case quoted:
		raw, err = appendUnescaped((*decoded)[:0], raw, false, len(raw))
	case rawText:
		raw, err = appendRawUnescaped((*decoded)[:0], raw, 2*len(raw))
	default:
		return raw, nil
	}
	if err == nil {
		*decoded = raw
	}
	return raw, err
}

// decimal reads a memo index as protocol 0 has it.
func (m *pickleMachine) decimal() (int, error) {
	line, err := m.line()
	if err != nil {
		return 0, err
	}
	if len(line) == 0 || len(line) > 9 {
		return 0, m.malformed("bad memo index")
	}
	n := 0
	for _, c := range line {
		if c < '0' || c > '9' {
			return 0, m.malformed("bad memo index")
		}
		n = 10*n + int(c-'0')
	}
	return n, nil
}

func (m *pickleMachine) malformed(what string) error {
	return malformed(what, m.pos)
}

func (m *pickleMachine) tooMany() error {
	return fmt.Errorf("%w: too many values at byte %d", ErrLimit, m.pos)
}
