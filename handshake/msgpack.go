package handshake

import "encoding/binary"

// msgpackReader steps through MessagePack data (github.com/msgpack/msgpack, spec.md).
type msgpackReader struct {
	data    []byte
	pos     int
	strings *tally // counts them, if not nil
}

// msgpackObject reads one map that is all of data: like msgpack.unpackb it refuses anything after it.
func msgpackObject(data []byte, lim Limits) (string, error) {
	r := msgpackReader{data: data}
	var object binding
	if err := r.all(lim.Depth, &object); err != nil {
		return "", err
	}
	v, err := object.bound()
	if err != nil {
		return "", err
	}
	return id(v.raw)
}

// all steps over the one value that is all of the data.
func (r *msgpackReader) all(depth int, object *binding) error {
	if _, err := r.value(depth, object); err != nil {
		return err
	}
	if r.pos != len(r.data) {
		return malformed("data after the value", r.pos)
	}
	return nil
}

// value steps over one value. If that is a map and object is not nil, object learns the map's items; nothing
// inside the map gets to see it.
func (r *msgpackReader) value(depth int, object *binding) (token, error) {
	head, err := r.head()
	if err != nil {
		return token{}, err
	}
	switch head.class {
	case msgpackArray, msgpackMap:
		return token{}, r.items(head, depth, object)
	}
	raw, err := r.take(head.n)
	if err != nil || head.class == msgpackFixed {
		return token{}, err
	}
	if r.strings != nil {
		r.strings.string(raw)
	}
	if head.class == msgpackBin {
		return token{kind: octets, raw: raw}, nil
	}
	return token{kind: text, raw: raw}, nil
}

func (r *msgpackReader) items(head msgpackHead, depth int, object *binding) error {
	if depth <= 0 {
		return tooDeep(r.pos)
	}
	for range head.n {
		if head.class == msgpackArray {
			if _, err := r.value(depth-1, nil); err != nil {
				return err
			}
			continue
		}
		key, err := r.value(depth-1, nil)
		if err != nil {
			return err
		}
		value, err := r.value(depth-1, nil)
		if err != nil {
			return err
		}
		if object != nil && key.kind != other && string(key.raw) == objectKey {
			object.bind(key.kind, value)
		}
	}
	return nil
}

type msgpackClass uint8

const (
	msgpackFixed msgpackClass = iota // nil, a boolean, a number, an extension: n bytes that mean nothing here
	msgpackStr                       // n bytes
	msgpackBin                       // n bytes
	msgpackArray                     // n values
	msgpackMap                       // n pairs
)

type msgpackHead struct {
	class msgpackClass
	n     int
}

// head reads what comes before a value's content.
func (r *msgpackReader) head() (msgpackHead, error) {
	first, err := r.take(1)
	if err != nil {
		return msgpackHead{}, err
	}
	switch c := first[0]; {
	case c <= 0x7f, c >= 0xe0: // small integers
		return msgpackHead{}, nil
	case c <= 0x8f:
		return msgpackHead{msgpackMap, int(c & 0x0f)}, nil
	case c <= 0x9f:
		return msgpackHead{msgpackArray, int(c & 0x0f)}, nil
	case c <= 0xbf:
		return msgpackHead{msgpackStr, int(c & 0x1f)}, nil
	case c == 0xc1:
		return msgpackHead{}, malformed("the byte that is never used", r.pos)
	case c <= 0xc3: // nil, false, true
		return msgpackHead{}, nil
	case c <= 0xc6: // bin 8, 16, 32
		return r.sized(msgpackBin, 1<<(c-0xc4), 0)
	case c <= 0xc9: // ext 8, 16, 32; the size leaves out the type
		return r.sized(msgpackFixed, 1<<(c-0xc7), 1)
	case c <= 0xcb: // float 32, 64
		return msgpackHead{msgpackFixed, 4 << (c - 0xca)}, nil
	case c <= 0xcf: // uint 8 to 64
		return msgpackHead{msgpackFixed, 1 << (c - 0xcc)}, nil
	case c <= 0xd3: // int 8 to 64
		return msgpackHead{msgpackFixed, 1 << (c - 0xd0)}, nil
	case c <= 0xd8: // fixext 1 to 16, and the type
		return msgpackHead{msgpackFixed, 1<<(c-0xd4) + 1}, nil
	case c <= 0xdb: // str 8, 16, 32
		return r.sized(msgpackStr, 1<<(c-0xd9), 0)
	case c <= 0xdd: // array 16, 32
		return r.sized(msgpackArray, 2<<(c-0xdc), 0)
	default: // map 16, 32
		return r.sized(msgpackMap, 2<<(c-0xde), 0)
	}
}

// sized reads a size of width bytes, and checks it against the data, of which every unit takes a byte at least.
func (r *msgpackReader) sized(class msgpackClass, width, extra int) (msgpackHead, error) {
	b, err := r.take(width)
	if err != nil {
		return msgpackHead{}, err
	}
	var n int64
	switch width {
	case 1:
		n = int64(b[0])
	case 2:
		n = int64(binary.BigEndian.Uint16(b))
	default:
		n = int64(binary.BigEndian.Uint32(b))
	}
	n += int64(extra)
	if n > int64(len(r.data)-r.pos) {
		return msgpackHead{}, malformed("truncated", r.pos)
	}
	return msgpackHead{class, int(n)}, nil
}

// take returns the next n bytes, which alias the data.
func (r *msgpackReader) take(n int) ([]byte, error) {
	if n > len(r.data)-r.pos {
		return nil, malformed("truncated", r.pos)
	}
	b := r.data[r.pos : r.pos+n]
	r.pos += n
	return b, nil
}
