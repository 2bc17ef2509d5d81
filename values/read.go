package values

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// budget is what is left of Limits while a value is read. Every reader makes its
// containers through it.
type budget struct {
	serpent             bool // serpent's own dicts are known
	frozen              bool // a Set may be a frozenset
	depth, items, bytes int
}

// item accounts for a value.
func (b *budget) item() error {
	if b.items--; b.items < 0 {
		return fmt.Errorf("%w: too many values", ErrLimit)
	}
	return nil
}

// enter accounts for a container; leave is called at its end.
func (b *budget) enter() error {
	if b.depth--; b.depth < 0 {
		return fmt.Errorf("%w: nested too deep", ErrLimit)
	}
	return nil
}

func (b *budget) leave() { b.depth++ }

// content accounts for n bytes of a string. Only where a payload can mention the same
// string twice can there be more of them than the payload has.
func (b *budget) content(n int) error {
	if b.bytes -= n; b.bytes < 0 {
		return fmt.Errorf("%w: too many bytes in all", ErrLimit)
	}
	return nil
}

// dict makes a value of the pairs of a dict: the class that it stands for, or a Dict
// in which each key is there once.
func (b *budget) dict(pairs Dict) (Value, error) {
	seen := make(map[string]int, len(pairs))
	kept := pairs[:0]
	for _, p := range pairs {
		k, err := b.hashed(nil, p.Key)
		if err != nil {
			return nil, err
		}
		if at, again := seen[string(k)]; again {
			kept[at].Value = p.Value // and the first key, as Python does
			continue
		}
		seen[string(k)] = len(kept)
		kept = append(kept, p)
	}
	clear(pairs[len(kept):])
	return b.class(kept)
}

// set makes a Set in which each item is there once.
func (b *budget) set(items []Value) (Value, error) {
	seen := make(map[string]bool, len(items))
	kept := items[:0]
	for _, item := range items {
		k, err := b.hashed(nil, item)
		if err != nil {
			return nil, err
		}
		if !seen[string(k)] {
			seen[string(k)] = true
			kept = append(kept, item)
		}
	}
	clear(items[len(kept):])
	return Set(kept), nil
}

// hashed appends to dst what is the same for values that are equal in Python (1, 1.0
// and True are), and different for others. What Python cannot hash gives ErrMalformed.
func (b *budget) hashed(dst []byte, v Value) ([]byte, error) {
	sized := func(kind byte, s string) []byte {
		dst = append(dst, kind)
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		return append(dst, s...)
	}
	switch v := v.(type) {
	case nil:
		return append(dst, 'N'), nil
	case bool:
		if v {
			return b.hashed(dst, int64(1))
		}
		return b.hashed(dst, int64(0))
	case int64:
		return binary.AppendVarint(append(dst, 'i'), v), nil
	case *big.Int:
		if v.IsInt64() {
			return b.hashed(dst, v.Int64())
		}
		return sized('I', v.Text(62)), nil
	case float64:
		if b.serpent && math.IsNaN(v) {
			break // a dict was there
		}
		if v == math.Trunc(v) && !math.IsInf(v, 0) {
			i, _ := big.NewFloat(v).Int(nil)
			return b.hashed(dst, i)
		}
		return binary.BigEndian.AppendUint64(append(dst, 'f'), math.Float64bits(v)), nil
	case complex128:
		if imag(v) == 0 {
			return b.hashed(dst, real(v))
		}
		dst, err := b.hashed(append(dst, 'c'), real(v))
		if err != nil {
			return nil, err
		}
		return b.hashed(dst, imag(v))
	case string:
		return sized('s', v), nil
	case []byte:
		return sized('b', string(v)), nil
	case Tuple:
		dst = binary.AppendUvarint(append(dst, '('), uint64(len(v)))
		for _, item := range v {
			var err error
			if dst, err = b.hashed(dst, item); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case Set:
		if !b.frozen {
			break
		}
		items := make([]string, 0, len(v))
		for _, item := range v {
			k, err := b.hashed(nil, item)
			if err != nil {
				return nil, err
			}
			items = append(items, string(k))
		}
		slices.Sort(items)
		dst = binary.AppendUvarint(append(dst, '<'), uint64(len(v)))
		return append(dst, strings.Join(items, "")...), nil
	}
	return nil, fmt.Errorf("%w: a key that cannot be one", ErrMalformed)
}

// integer reads the decimal text of an integer, with a sign or not.
func integer(text string) (Value, error) {
	if len(text) > 4301 { // as Python 3.11 does, since conversion takes quadratic time
		return nil, fmt.Errorf("%w: an integer of more than 4300 digits", ErrLimit)
	}
	if small, err := strconv.ParseInt(text, 10, 64); err == nil {
		return small, nil
	}
	i, ok := new(big.Int).SetString(text, 10)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: an integer that is none", ErrMalformed)
	case i.CmpAbs(maxInt) >= 0:
		return nil, fmt.Errorf("%w: an integer of more than 4300 digits", ErrLimit)
	}
	return i, nil
}
