package values

import (
	"fmt"
	"math/big"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// writer appends one value.
type writer struct {
	codec Codec
	dst   []byte
	depth int // containers that are open
	keys  int // of them, those that are keys or sets: only what Python can hash may be inside

	packer *msgpack.Encoder // writes to this writer; made when it is needed
}

// Write appends data, for packer.
func (w *writer) Write(data []byte) (int, error) {
	w.dst = append(w.dst, data...)
	return len(data), nil
}

// WriteByte appends c, for packer.
func (w *writer) WriteByte(c byte) error {
	w.dst = append(w.dst, c)
	return nil
}

// maxInt is the least integer with more digits than Python converts from text
// (sys.set_int_max_str_digits).
var maxInt = new(big.Int).Exp(big.NewInt(10), big.NewInt(4300), nil)

// value appends v in the codec's serializer.
func (w *writer) value(v Value) error {
	v, err := w.codec.plain(v)
	if err != nil {
		return err
	}
	switch t := v.(type) {
	case List, Dict:
		if w.keys > 0 {
			return fmt.Errorf("%w: %T as a key", ErrUnsupported, v)
		}
	case *big.Int:
		if t == nil || t.CmpAbs(maxInt) >= 0 {
			return fmt.Errorf("%w: integer too large", ErrUnsupported)
		}
		if t.IsInt64() {
			v = t.Int64()
		}
	}
	if w.depth++; w.depth > maxDepth {
		return fmt.Errorf("%w: nested too deep", ErrUnsupported)
	}
	switch w.codec.serializer {
	case wire.Serpent:
		err = w.serpent(v)
	case wire.JSON:
		err = w.json(v)
	case wire.Marshal:
		err = w.marshal(v)
	case wire.Msgpack:
		err = w.msgpack(v)
	default:
		err = w.unsupported(v)
	}
	w.depth--
	return err
}

// key appends a value where Python hashes it.
func (w *writer) key(v Value) error {
	w.keys++
	err := w.value(v)
	w.keys--
	return err
}

func (w *writer) unsupported(v Value) error {
	return fmt.Errorf("%w: %T in %v", ErrUnsupported, v, w.codec.serializer)
}

// items appends items with a separator between them.
func (w *writer) items(items []Value, separator string, one func(Value) error) error {
	for i, item := range items {
		if i > 0 {
			w.dst = append(w.dst, separator...)
		}
		if err := one(item); err != nil {
			return err
		}
	}
	return nil
}

// pairs appends keys and values with separators between them.
func (w *writer) pairs(d Dict, colon, comma string, key func(Value) error) error {
	for i, p := range d {
		if i > 0 {
			w.dst = append(w.dst, comma...)
		}
		if err := key(p.Key); err != nil {
			return err
		}
		w.dst = append(w.dst, colon...)
		if err := w.value(p.Value); err != nil {
			return err
		}
	}
	return nil
}
