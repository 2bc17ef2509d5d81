package relay

// buffer holds what one direction has read and its session has not consumed
// yet. While nothing is, it holds no memory.
type buffer struct {
	b       []byte          // what is kept; its spare capacity is read into
	pooled  *[readSize]byte // b's memory, where it comes from the pool
	charged int             // bytes charged to the account for b
	want    int             // the capacity needed, where the account had no room for it
}

// room makes sure that there is space to read into, and returns it.
func (k *buffer) room() []byte {
	if len(k.b) == cap(k.b) {
		if len(k.b) > 0 {
			// Paused sessions do not read, so a full buffer means that more is
			// needed than was said; grow by a read.
			k.b = append(make([]byte, 0, len(k.b)+readSize), k.b...)
		} else {
			k.pooled = readPool.Get().(*[readSize]byte)
			k.b = k.pooled[:0]
		}
	}
	return k.b[len(k.b):cap(k.b)]
}

// filled counts n bytes that were read into the room.
func (k *buffer) filled(n int) { k.b = k.b[:len(k.b)+n] }

// consume drops the first n bytes. Of what is left at least need bytes will be
// wanted together; it moves to memory of that size. Where the account has no
// room, it is left as small as it is and want is set.
func (k *buffer) consume(m *memory, n, need int) {
	k.want = 0 // what was wanted before may have been for what is consumed now
	rest := k.b[n:]
	if len(rest) == 0 {
		k.drop(m)
		return
	}
	if n == 0 && k.pooled == nil && need <= cap(k.b) {
		return
	}
	size, charge := max(need, len(rest)), 0
	if size <= freeSize {
		size = freeSize
	} else if m.tryTake(size) {
		charge = size
	} else {
		k.want = size
		size = len(rest)
	}
	kept := append(make([]byte, 0, size), rest...)
	want := k.want
	k.drop(m)
	k.b, k.charged, k.want = kept, charge, want
}

// grow moves what is kept into memory of the wanted size, which has been taken
// from the account.
func (k *buffer) grow() {
	k.b = append(make([]byte, 0, k.want), k.b...)
	k.charged, k.want = k.want, 0
}

// drop gives all memory back.
func (k *buffer) drop(m *memory) {
	if k.pooled != nil {
		readPool.Put(k.pooled)
	}
	m.give(k.charged)
	*k = buffer{}
}
