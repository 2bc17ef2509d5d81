package handshake

import (
	"fmt"
	"sync"
)

// pickleMachine follows a pickle of protocol 0 to 5 on an abstract stack, which knows strings and dicts and no
// more. It never imports, calls or builds anything. What a call would have returned is opaque: it may be
// of any type, so it may even equal the key "object". The opcodes are described in CPython's pickletools.py,
// and done here as _pickle.c does them.
//
// A program that changed the top-level dict from within such a call would go unnoticed. Pyro's pickles cannot: the dict
// is Pyro's own, and the user's handshake object has no hold on it.
type pickleMachine struct {
	data  []byte
	pos   int
	frame int // end of the current frame
	items int // limit on each of the tables below

	stack []pickled
	marks []uint32 // heights of the stack
	memo  []pickled
	known int // entries of memo in use, which MEMOIZE numbers by
	dicts []pickledDict

	strings *tally // what values hold, if not nil
}

// pickled is one value on the stack or in the memo.
type pickled struct {
	kind       pickledKind
	isKey      bool // it spells "object"; worked out once, so that a long key fetched often costs nothing
	start, end uint32
	sum        uint32 // its place among the sums, 0 if nothing adds to it
}

type pickledKind uint8

const (
	absent   pickledKind = iota // nothing: an unused memo entry
	plain                       // a value of a builtin type that no string equals
	opaque                      // anything at all
	aDict                       // start is its index in dicts
	utf8Text                    // a string, data[start:end], as the following are
	quoted                      // str of Python 2 with escapes, protocol 0
	rawText                     // text in raw-unicode-escape, protocol 0
	bytesOf                     // bytes
)

// pickledDict is what matters of a dict. Which one is at the top is known only at the end.
type pickledDict struct {
	object pickled // the value under "object"
	unsure bool    // an opaque key may have been "object"
}

// pickleMachines keeps the tables of earlier runs: an ordinary pickle takes no allocation but the id.
var pickleMachines = sync.Pool{New: func() any { return new(pickleMachine) }}

// keptValues is the size up to which a table is kept.
const keptValues = 1024

// pickleObject runs a pickle. Like pickle.loads it ignores what follows.
func pickleObject(data []byte, lim Limits) (string, error) {
	m := pickleMachines.Get().(*pickleMachine)
	defer m.release()
	m.data, m.items = data, lim.Items
	top, err := m.run()
	if err != nil {
		return "", err
	}
	if top.kind != aDict {
		return "", ErrNoObject
	}
	d := m.dicts[top.start]
	if d.unsure {
		return "", fmt.Errorf("%w: a key that only running the pickle would tell", ErrMalformed)
	}
	return m.id(d.object)
}

// release empties m and gives it back.
func (m *pickleMachine) release() {
	empty := pickleMachine{stack: m.stack[:0], marks: m.marks[:0], memo: m.memo[:0], dicts: m.dicts[:0]}
	if max(cap(m.stack), cap(m.marks), cap(m.memo), cap(m.dicts)) > keptValues {
		empty = pickleMachine{}
	}
	*m = empty
	pickleMachines.Put(m)
}

// run does opcodes up to STOP, and returns the value that leaves.
func (m *pickleMachine) run() (pickled, error) {
	for {
		start := m.pos
		op, err := m.take(1)
		if err != nil {
			return pickled{}, err
		}
		if op[0] == opStop {
			return m.top()
		}
		if err := m.step(op[0]); err != nil {
			return pickled{}, err
		}
		// Picklers end their frames between opcodes. Given one that ends elsewhere, the unpicklers do not agree: that
		// of pickle.py refuses it, that of C ignores frames in memory, and loses its place in a file (dill's way).
		if start < m.frame && m.frame < m.pos {
			return pickled{}, m.malformed("opcode across the end of a frame")
		}
	}
}

func (m *pickleMachine) id(v pickled) (string, error) {
	if v.kind < utf8Text {
		return "", ErrNoObject
	}
	var decoded []byte
	raw, err := m.decode(v, &decoded)
	if err != nil {
		return "", err
	}
	return id(raw)
}

// spellsKey reports whether a string spells "object". Bytes never do: pickles with a bytes type come from Python 3, where
// b"object" is another key.
func (m *pickleMachine) spellsKey(v pickled) bool {
	var buf [4 * len(objectKey)]byte
	raw := m.data[v.start:v.end]
	key := raw
	var err error
	switch v.kind {
	case utf8Text:
	case quoted:
		key, err = appendUnescaped(buf[:0], raw, false, len(objectKey))
	case rawText:
		key, err = appendRawUnescaped(buf[:0], raw, len(objectKey))
	default:
		return false
	}
	return err == nil && string(key) == objectKey
}

// step does one opcode.
func (m *pickleMachine) step(op byte) error {
	switch op {
	case opProto:
		b, err := m.take(1)
		if err == nil && b[0] > 5 {
			return m.malformed("unknown protocol")
		}
		return err
	case opFrame:
		if m.pos <= m.frame {
			return m.malformed("frame inside a frame")
		}
		n, err := m.length(8)
		m.frame = m.pos + n
		return err

	// Values that have no bearing on the id.
	case opNone, opNewTrue, opNewFalse, opEmptyTuple:
		return m.push(pickled{kind: plain})
	case opBinInt1:
		return m.skip(1, plain)
	case opBinInt2:
		return m.skip(2, plain)
	case opBinInt:
		return m.skip(4, plain)
	case opBinFloat:
		return m.skip(8, plain)
	case opInt, opLong, opFloat:
		if _, err := m.line(); err != nil {
			return err
		}
		return m.push(pickled{kind: plain})
	case opLong1:
		return m.sized(1, plain)
	case opLong4:
		return m.sized(4, plain)
	case opByteArray8:
		return m.bytearray()

	// Strings.
	case opShortBinString, opShortBinUnicode:
		return m.sized(1, utf8Text)
	case opBinString, opBinUnicode:
		return m.sized(4, utf8Text)
	case opBinUnicode8:
		return m.sized(8, utf8Text)
	case opShortBinBytes:
		return m.sized(1, bytesOf)
	case opBinBytes:
		return m.sized(4, bytesOf)
	case opBinBytes8:
		return m.sized(8, bytesOf)
	case opString:
		return m.quotedLine()
	case opUnicode:
		line, err := m.line()
		if err != nil {
			return err
		}
		return m.pushString(rawText, m.pos-len(line)-1, m.pos-1)

	// Containers other than dicts.
	case opEmptyList, opEmptySet:
		return m.pushHolding(plain, nil)
	case opTuple1:
		return m.replace(1, plain)
	case opTuple2:
		return m.replace(2, plain)
	case opTuple3:
		return m.replace(3, plain)
	case opTuple, opList, opFrozenSet:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		return m.pushHolding(plain, items)
	case opAppend:
		return m.fold(m.pop(1))
	case opAppends, opAddItems:
		return m.fold(m.popMark())

	// Dicts.
	case opEmptyDict:
		return m.pushDict(pickledDict{}, nil)
	case opDict:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		var d pickledDict
		if !d.set(items) {
			return m.malformed("key without a value")
		}
		return m.pushDict(d, items)
	case opSetItem:
		items, err := m.pop(2)
		if err != nil {
			return err
		}
		return m.setItems(items)
	case opSetItems:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		return m.setItems(items)

	// The stack and the memo.
	case opMark:
		if len(m.marks) >= m.items {
			return m.tooMany()
		}
		m.marks = append(m.marks, uint32(len(m.stack)))
		return nil
	case opPop:
		if n := len(m.marks); n > 0 && m.fence() == len(m.stack) {
			m.marks = m.marks[:n-1]
			return nil
		}
		_, err := m.pop(1)
		return err
	case opPopMark:
		_, err := m.popMark()
		return err
	case opDup:
		top, err := m.top()
		if err != nil {
			return err
		}
		return m.push(top)
	case opPut:
		return m.put(m.decimal())
	case opBinPut:
		return m.put(m.number(1))
	case opLongBinPut:
		return m.put(m.number(4))
	case opMemoize:
		return m.put(m.known, nil)
	case opGet:
		return m.get(m.decimal())
	case opBinGet:
		return m.get(m.number(1))
	case opLongBinGet:
		return m.get(m.number(4))

	// What a program would import, call or look up elsewhere.
	case opGlobal:
		if err := m.twoLines(); err != nil {
			return err
		}
		return m.push(pickled{kind: opaque})
	case opInst:
		if err := m.twoLines(); err != nil {
			return err
		}
		return m.object(0)
	case opObj:
		return m.object(1)
	case opStackGlobal: // as opGlobal, with the names on the stack
		if _, err := m.pop(2); err != nil {
			return err
		}
		return m.push(pickled{kind: opaque})
	case opReduce, opNewObj:
		return m.replace(2, opaque)
	case opNewObjEx:
		return m.replace(3, opaque)
	case opBuild: // changes the object below
		return m.fold(m.pop(1))
	case opExt1:
		return m.skip(1, opaque)
	case opExt2:
		return m.skip(2, opaque)
	case opExt4:
		return m.skip(4, opaque)
	case opPersID:
		if _, err := m.line(); err != nil {
			return err
		}
		return m.push(pickled{kind: opaque})
	case opBinPersID:
		return m.replace(1, opaque)
	case opNextBuffer:
		return m.push(pickled{kind: opaque})
	case opReadonlyBuffer:
		_, err := m.top()
		return err
	}
	return m.malformed("unknown opcode")
}

// setItems puts pairs, which are off the stack already, into the dict on top.
func (m *pickleMachine) setItems(items []pickled) error {
	target, err := m.top()
	if err != nil {
		return err
	}
	var other pickledDict // stands for a subclass of dict, which some call made
	d := &other
	if target.kind == aDict {
		d = &m.dicts[target.start]
	}
	if !d.set(items) {
		return m.malformed("key without a value")
	}
	m.addTo(target, items)
	return nil
}

// set puts pairs into d. It reports false if one of them lacks its value.
func (d *pickledDict) set(items []pickled) bool {
	for i := 0; i+1 < len(items); i += 2 {
		if items[i].isKey {
			d.object = items[i+1]
		}
		d.unsure = d.unsure || items[i].kind == opaque
	}
	return len(items)%2 == 0
}
