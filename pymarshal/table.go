package pymarshal

// table keeps entries by index. The first few live in the Reader itself, so that an ordinary CONNECT costs no allocation.
type table struct {
	n    int
	few  [16]entry
	more []entry
}

type entry struct {
	kind  Kind
	typ   byte   // the code of its type, without the flag
	place uint32 // as in Value
	start uint32 // where it starts, behind the code
}

func (t *table) add(e entry) {
	if t.n < len(t.few) {
		t.few[t.n] = e
	} else {
		if t.more == nil {
			t.more = make([]entry, 0, 2*len(t.few)) // enough for the names of an ordinary object
		}
		t.more = append(t.more, e)
	}
	t.n++
}

func (t *table) at(i uint32) (entry, bool) {
	switch {
	case int64(i) >= int64(t.n):
		return entry{}, false
	case int(i) < len(t.few):
		return t.few[i], true
	}
	return t.more[int(i)-len(t.few)], true
}
