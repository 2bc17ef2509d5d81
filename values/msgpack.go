package values

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/big"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// The extension types of the libraries' MsgpackSerializer. It has others for dates,
// which are no Values.
const (
	extComplex = 0x30 // two float64 in the writer's byte order
	extLong    = 0x31 // decimal digits
)

// msgpack appends a plain value as msgpack.packb(use_bin_type=True) does.
func (w *writer) msgpack(v Value) error {
	if w.packer == nil {
		w.packer = msgpack.NewEncoder(w)
	}
	switch v := v.(type) {
	case nil:
		return w.packer.EncodeNil()
	case bool:
		return w.packer.EncodeBool(v)
	case int64:
		return w.packer.EncodeInt(v)
	case *big.Int:
		if v.IsUint64() {
			return w.packer.EncodeUint(v.Uint64())
		}
		return w.extension(extLong, v.Append(nil, 10))
	case float64:
		return w.packer.EncodeFloat64(v)
	case complex128:
		parts := binary.LittleEndian.AppendUint64(nil, math.Float64bits(real(v)))
		return w.extension(extComplex, binary.LittleEndian.AppendUint64(parts, math.Float64bits(imag(v))))
	case string:
		if !utf8.ValidString(v) {
			return w.unsupported(v)
		}
		return w.packer.EncodeString(v)
	case []byte:
		err := w.packer.EncodeBytesLen(len(v)) // EncodeBytes takes nil for None
		w.dst = append(w.dst, v...)
		return err
	case Tuple:
		return w.msgpack(List(v))
	case Set:
		return w.msgpack(List(v))
	case List:
		if err := w.packer.EncodeArrayLen(len(v)); err != nil {
			return err
		}
		return w.items(v, "", w.value)
	case Dict:
		if err := w.packer.EncodeMapLen(len(v)); err != nil {
			return err
		}
		return w.pairs(v, "", "", w.key)
	}
	return w.unsupported(v)
}

func (w *writer) extension(id int8, data []byte) error {
	err := w.packer.EncodeExtHeader(id, len(data))
	w.dst = append(w.dst, data...)
	return err
}

// msgpackReader reads what the library's msgpack.unpackb(raw=False) does.
type msgpackReader struct {
	in  *bytes.Reader // which dec reads without a buffer of its own
	dec *msgpack.Decoder
	b   *budget
}

func readMsgpack(data []byte, b *budget) (Value, error) {
	in := bytes.NewReader(data)
	r := msgpackReader{in: in, dec: msgpack.NewDecoder(in), b: b}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if in.Len() > 0 {
		return nil, r.malformed("more behind the value")
	}
	return v, nil
}

// malformed never quotes the input: it is the client's.
func (r *msgpackReader) malformed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMalformed, what, r.in.Size()-int64(r.in.Len()))
}

func (r *msgpackReader) value() (Value, error) {
	if err := r.b.item(); err != nil {
		return nil, err
	}
	c, err := r.dec.PeekCode()
	if err != nil {
		return nil, r.malformed("truncated")
	}
	var v Value
	switch {
	case c == msgpcode.Nil:
		err = r.dec.DecodeNil()
	case c == msgpcode.True || c == msgpcode.False:
		v, err = r.dec.DecodeBool()
	case c == msgpcode.Uint64:
		var n uint64
		if n, err = r.dec.DecodeUint64(); n <= math.MaxInt64 {
			v = int64(n)
		} else {
			v = new(big.Int).SetUint64(n)
		}
	case msgpcode.IsFixedNum(c) || c >= msgpcode.Uint8 && c <= msgpcode.Int64:
		v, err = r.dec.DecodeInt64()
	case c == msgpcode.Float:
		var f float32
		f, err = r.dec.DecodeFloat32()
		v = float64(f)
	case c == msgpcode.Double:
		v, err = r.dec.DecodeFloat64()
	case msgpcode.IsString(c), msgpcode.IsBin(c):
		return r.content(msgpcode.IsString(c))
	case msgpcode.IsExt(c):
		return r.extension()
	case msgpcode.IsFixedArray(c), c == msgpcode.Array16, c == msgpcode.Array32,
		msgpcode.IsFixedMap(c), c == msgpcode.Map16, c == msgpcode.Map32:
		if err := r.b.enter(); err != nil {
			return nil, err
		}
		defer r.b.leave()
		if msgpcode.IsFixedMap(c) || c == msgpcode.Map16 || c == msgpcode.Map32 {
			return r.dict()
		}
		return r.list()
	default:
		return nil, r.malformed("unknown type")
	}
	if err != nil {
		return nil, r.malformed("truncated")
	}
	return v, nil
}

// content reads a string or bytes.
func (r *msgpackReader) content(text bool) (Value, error) {
	n, err := r.dec.DecodeBytesLen()
	if err != nil || n < 0 {
		return nil, r.malformed("truncated")
	}
	data, err := r.take(n)
	if err != nil {
		return nil, err
	}
	if !text {
		return data, nil
	}
	if !utf8.Valid(data) {
		return nil, r.malformed("text that is not UTF-8")
	}
	return string(data), nil
}

// take reads n bytes, if there are that many.
func (r *msgpackReader) take(n int) ([]byte, error) {
	if n > r.in.Len() {
		return nil, r.malformed("truncated")
	}
	if err := r.b.content(n); err != nil {
		return nil, err
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r.in, data); err != nil {
		return nil, r.malformed("truncated")
	}
	return data, nil
}

func (r *msgpackReader) extension() (Value, error) {
	id, n, err := r.dec.DecodeExtHeader()
	if err != nil || n < 0 {
		return nil, r.malformed("truncated")
	}
	data, err := r.take(n)
	if err != nil {
		return nil, err
	}
	switch {
	case id == extComplex && n == 16:
		part := func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
		return complex(part(data), part(data[8:])), nil
	case id == extLong:
		return integer(string(data))
	}
	return nil, r.malformed("extension type that is no value")
}

func (r *msgpackReader) list() (Value, error) {
	n, err := r.dec.DecodeArrayLen()
	if err != nil || n < 0 {
		return nil, r.malformed("truncated")
	}
	items := List{}
	for range n {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return items, nil
}

func (r *msgpackReader) dict() (Value, error) {
	n, err := r.dec.DecodeMapLen()
	if err != nil || n < 0 {
		return nil, r.malformed("truncated")
	}
	pairs := Dict{}
	for range n {
		key, err := r.value()
		if err != nil {
			return nil, err
		}
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, Pair{key, v})
	}
	return r.b.dict(pairs)
}
