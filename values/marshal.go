package values

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"

	"github.com/pyro-dispatch/pyro-dispatch/pymarshal"
)

// marshal appends a plain value in version 2 of the format, which every Python reads.
func (w *writer) marshal(v Value) error {
	le := binary.LittleEndian
	switch v := v.(type) {
	case nil:
		w.dst = append(w.dst, 'N')
	case bool:
		if v {
			w.dst = append(w.dst, 'T')
		} else {
			w.dst = append(w.dst, 'F')
		}
	case int64:
		if v >= math.MinInt32 && v <= math.MaxInt32 {
			w.dst = le.AppendUint32(append(w.dst, 'i'), uint32(v))
		} else {
			w.marshalLong(big.NewInt(v))
		}
	case *big.Int:
		w.marshalLong(v)
	case float64:
		w.dst = le.AppendUint64(append(w.dst, 'g'), math.Float64bits(v))
	case complex128:
		w.dst = le.AppendUint64(append(w.dst, 'y'), math.Float64bits(real(v)))
		w.dst = le.AppendUint64(w.dst, math.Float64bits(imag(v)))
	case string:
		if !isText(v) {
			return w.unsupported(v)
		}
		w.marshalHead('u', len(v))
		w.dst = append(w.dst, v...)
	case []byte:
		w.marshalHead('s', len(v))
		w.dst = append(w.dst, v...)
	case Tuple:
		w.marshalHead('(', len(v))
		return w.items(v, "", w.value)
	case List:
		w.marshalHead('[', len(v))
		return w.items(v, "", w.value)
	case Set:
		code := byte('<')
		if w.keys > 0 {
			code = '>' // a frozenset
		}
		w.marshalHead(code, len(v))
		return w.items(v, "", w.key)
	case Dict:
		w.dst = append(w.dst, '{')
		if err := w.pairs(v, "", "", w.key); err != nil {
			return err
		}
		w.dst = append(w.dst, '0')
	default:
		return w.unsupported(v)
	}
	return nil
}

func (w *writer) marshalHead(code byte, n int) {
	w.dst = binary.LittleEndian.AppendUint32(append(w.dst, code), uint32(n))
}

// marshalLong appends digits of 15 bits, least first, behind their number, which has
// the sign.
func (w *writer) marshalLong(i *big.Int) {
	n := (i.BitLen() + 14) / 15
	w.marshalHead('l', n*i.Sign())
	var digits []uint16
	// The bytes from the last on: two of 15 bits come in 30 bits of the number.
	var have uint32
	bits := 0
	raw := i.Bytes() // of the absolute value
	for at := len(raw) - 1; at >= 0; at-- {
		have |= uint32(raw[at]) << bits
		if bits += 8; bits >= 15 {
			digits = append(digits, uint16(have&0x7fff))
			have >>= 15
			bits -= 15
		}
	}
	for len(digits) < n {
		digits = append(digits, uint16(have&0x7fff))
		have >>= 15
	}
	for _, d := range digits[:n] {
		w.dst = binary.LittleEndian.AppendUint16(w.dst, d)
	}
}

// marshalReader builds values from what pymarshal reads.
type marshalReader struct {
	r      pymarshal.Reader
	b      *budget
	shared map[int]shared // containers that can be mentioned again, by Place
}

// shared is a container that has been read: mentioned again it is the same value, but
// it counts again, or a small payload could stand for a huge value.
type shared struct {
	value                Value
	depth, items, length int
}

func readMarshal(data []byte, lim Limits, b *budget) (Value, error) {
	r := marshalReader{
		r: pymarshal.NewReader(data, pymarshal.Limits{Depth: lim.Depth, Items: lim.Items}),
		b: b, shared: map[int]shared{},
	}
	head, err := r.next()
	if err != nil {
		return nil, err
	}
	v, _, err := r.value(head)
	return v, err // like marshal.loads it does not care what follows
}

func (r *marshalReader) next() (pymarshal.Value, error) {
	head, err := r.r.Next()
	switch {
	case errors.Is(err, pymarshal.ErrLimit):
		return head, fmt.Errorf("%w: %w", ErrLimit, err)
	case err != nil:
		return head, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return head, nil
}

func (r *marshalReader) malformed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMalformed, what, r.r.Offset())
}

// value builds what head begins. depth is that of the containers in it.
func (r *marshalReader) value(head pymarshal.Value) (v Value, depth int, err error) {
	if err := r.b.item(); err != nil {
		return nil, 0, err
	}
	switch head.Kind {
	case pymarshal.None:
		return nil, 0, nil
	case pymarshal.Bool:
		return head.Int == 1, 0, nil
	case pymarshal.Int:
		v, err = marshalInt(head)
		return v, 0, err
	case pymarshal.Float:
		return head.Float, 0, nil
	case pymarshal.Complex:
		return complex(head.Float, head.Imag), 0, nil
	case pymarshal.Text, pymarshal.Bytes:
		if err := r.b.content(len(head.Data)); err != nil {
			return nil, 0, err
		}
		if head.Kind == pymarshal.Bytes {
			return append([]byte{}, head.Data...), 0, nil
		}
		s := string(head.Data)
		if !isText(s) {
			return nil, 0, r.malformed("text that is not UTF-8")
		}
		return s, 0, nil
	case pymarshal.Tuple, pymarshal.List, pymarshal.Set, pymarshal.Dict:
		if head.Ref {
			return r.again(head)
		}
		return r.container(head)
	}
	return nil, 0, r.malformed("no value that Pyro knows")
}

func marshalInt(head pymarshal.Value) (Value, error) {
	if head.Digits == nil {
		return head.Int, nil
	}
	if len(head.Digits)/2 > maxInt.BitLen()/15+1 {
		return nil, fmt.Errorf("%w: integer too large", ErrLimit)
	}
	i := new(big.Int)
	for at := len(head.Digits) - 2; at >= 0; at -= 2 {
		i.Lsh(i, 15)
		i.Or(i, big.NewInt(int64(binary.LittleEndian.Uint16(head.Digits[at:]))))
	}
	if i.Cmp(maxInt) >= 0 {
		return nil, fmt.Errorf("%w: integer too large", ErrLimit)
	}
	if head.Negative {
		i.Neg(i)
	}
	return i, nil
}

// container builds a container and remembers it.
func (r *marshalReader) container(head pymarshal.Value) (v Value, depth int, err error) {
	if err := r.b.enter(); err != nil {
		return nil, 0, err
	}
	defer r.b.leave()
	before := *r.b
	items := []Value{}
	pairs := Dict{}
	one := func() (Value, bool, error) {
		h, err := r.next()
		if err != nil || head.Kind == pymarshal.Dict && h.Kind == pymarshal.End {
			return nil, false, err
		}
		v, d, err := r.value(h)
		depth = max(depth, d)
		return v, err == nil, err
	}
	for n := 0; head.Kind == pymarshal.Dict || n < head.Len; n++ {
		item, ok, err := one()
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			break
		}
		if head.Kind != pymarshal.Dict {
			items = append(items, item)
			continue
		}
		v, ok, err := one()
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			return nil, 0, r.malformed("key without a value")
		}
		pairs = append(pairs, Pair{item, v})
	}
	switch head.Kind {
	case pymarshal.Tuple:
		v = Tuple(items)
	case pymarshal.List:
		v = List(items)
	case pymarshal.Set:
		v, err = r.b.set(items)
	default:
		v, err = r.b.dict(pairs)
	}
	depth++
	if err == nil && head.Place > 0 {
		r.shared[head.Place] = shared{v, depth, before.items - r.b.items, before.bytes - r.b.bytes}
	}
	return v, depth, err
}

// again gives a container that was mentioned before. One that is not finished would
// hold itself.
func (r *marshalReader) again(head pymarshal.Value) (Value, int, error) {
	s, ok := r.shared[head.Place]
	if !ok {
		return nil, 0, r.malformed("container inside itself")
	}
	r.b.items -= s.items
	r.b.bytes -= s.length
	if r.b.items < 0 || r.b.bytes < 0 || s.depth > r.b.depth {
		return nil, 0, fmt.Errorf("%w: value mentioned too often", ErrLimit)
	}
	return s.value, s.depth, nil
}
