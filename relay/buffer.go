package relay

// buffer holds what one direction has read and its session has not consumed
// yet. While nothing is, it holds no memory.
type buffer struct {
	b      []byte          // what is kept; its spare capacity is read into
	pooled *[readSize]byte // b's memory, where it comes from the pool
	large  bool            // or where it is that of a large message
	charge charge          // for b
	want   int             // the capacity needed, where the account had no room for it
}

// room makes sure that there is space to read into, and returns it.
func (k *buffer) room() []byte {
	if len(k.b) == cap(k.b) {
		if len(k.b) > 0 {
			// It should have had room for all that its session needs; better more
			// memory than lost bytes.
			grown := append(make([]byte, 0, len(k.b)+readSize), k.b...)
			if k.large {
				giveLarge(k.b)
				k.large = false
			}
			k.b = grown
			return k.b[len(k.b):cap(k.b)]
		}
		k.pooled = readPool.Get().(*[readSize]byte)
		k.b = k.pooled[:0]
	}
	return k.b[len(k.b):cap(k.b)]
}

// filled counts n bytes that were read into the room.
func (k *buffer) filled(n int) { k.b = k.b[:len(k.b)+n] }

// consume drops the first n bytes. Of what is left at least need bytes will be
// wanted together; it moves to memory of that size, charged to m unless that is
// nil. Where m has no room, it is left as small as it is, and want is set if more is
// needed.
func (k *buffer) consume(m *memory, n, need int) {
	k.want = 0 // what was wanted before may have been for what is consumed now
	rest := k.b[n:]
	if len(rest) == 0 {
		k.drop()
		return
	}
	if n == 0 && k.pooled == nil && need <= cap(k.b) {
		return
	}
	var kept buffer
	size := max(need, len(rest))
	if size > spliceMin {
		size = largeSize(size)
	}
	switch {
	case size <= freeSize:
		size = freeSize
	case m == nil:
	case m.tryTake(size):
		kept.charge = charge{m, size}
	default:
		if need > len(rest) { // else it is all here, and to be shown again at once
			kept.want = size
		}
		size = len(rest)
	}
	kept.make(size)
	kept.b = append(kept.b, rest...)
	k.drop()
	*k = kept
}

// make gets memory for n bytes.
func (k *buffer) make(n int) {
	if n > spliceMin && n == largeSize(n) {
		k.b, k.large = takeLarge(n), true
		return
	}
	k.b = make([]byte, 0, n)
}

// grow moves what is kept into memory of the wanted size, which has been taken
// from m.
func (k *buffer) grow(m *memory) {
	var grown buffer
	grown.make(k.want)
	grown.b = append(grown.b, k.b...)
	grown.charge = charge{m, k.want}
	k.drop()
	*k = grown
}

// handOver gives the charge for what is kept to the caller, who keeps a copy.
func (k *buffer) handOver() charge {
	c := k.charge
	k.charge = charge{}
	return c
}

// drop gives all memory back.
func (k *buffer) drop() {
	if k.pooled != nil {
		readPool.Put(k.pooled)
	}
	if k.large {
		giveLarge(k.b)
	}
	k.charge.settle()
	*k = buffer{}
}
