package pymarshal

import (
	"encoding/binary"
	"fmt"
)

// count reads a 32-bit length and checks it against the input, of which every item takes a byte at least.
func (r *Reader) count() (int, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	n := int32(binary.LittleEndian.Uint32(b))
	if n < 0 || int(n) > len(r.data)-r.pos {
		return 0, r.malformed("length out of range")
	}
	return int(n), nil
}

func (r *Reader) counted(k Kind) (Value, error) {
	n, err := r.count()
	return Value{Kind: k, Len: n}, err
}

func (r *Reader) sized(k Kind) (Value, error) {
	n, err := r.count()
	if err != nil {
		return Value{}, err
	}
	b, err := r.take(n)
	return Value{Kind: k, Data: b}, err
}

func (r *Reader) short(k Kind) (Value, error) {
	n, err := r.take(1)
	if err != nil {
		return Value{}, err
	}
	b, err := r.take(int(n[0]))
	return Value{Kind: k, Data: b}, err
}

// ascii holds the strings that call themselves ASCII to it. CPython would read other bytes as Latin-1, but
// never writes them, and here they would pass for UTF-8.
func (r *Reader) ascii(v Value, err error) (Value, error) {
	if err != nil {
		return Value{}, err
	}
	for _, c := range v.Data {
		if c >= 0x80 {
			return Value{}, r.malformed("ASCII string with other bytes")
		}
	}
	return v, nil
}

// take returns the next n bytes, which alias the input.
func (r *Reader) take(n int) ([]byte, error) {
	if n > len(r.data)-r.pos {
		return nil, r.malformed("truncated")
	}
	b := r.data[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return b, nil
}

// malformed never quotes the input: it is the user's.
func (r *Reader) malformed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMalformed, what, r.pos)
}
