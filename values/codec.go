package values

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Codec reads and writes one serializer as one dialect's library does. The zero Codec
// is of no use: make one with For.
type Codec struct {
	dialect    wire.Dialect
	serializer wire.Serializer
}

// For returns the codec of a serializer in a dialect. ok is false for the pickle
// family and for serializers that nobody knows.
func For(d wire.Dialect, s wire.Serializer) (c Codec, ok bool) {
	switch s {
	case wire.Serpent, wire.JSON, wire.Marshal, wire.Msgpack:
		return Codec{dialect: d, serializer: s}, true
	}
	return Codec{}, false
}

// maxDepth bounds what is written, so that a List that holds itself is an error. It is
// serpent's own bound with Python's default recursion limit.
const maxDepth = 200

// Append appends v to dst as the dialect's library writes it (dumps); on an error dst
// is returned as it was. The kinds that a serializer has no form for become:
//
//   - JSON: Tuple and Set a list, and the keys of a Dict strings, as Python's json
//     writes them. It has no []byte and no complex128.
//   - Msgpack: Tuple and Set a list. The library cannot read keys but strings and bytes.
//   - Serpent: []byte a dict with base64 inside, which Decode takes for a []byte again,
//     and in keys and sets a bytes literal; an empty Set an empty Tuple. Python 2 reads
//     no other Set: what may go there had better be a List, as in the libraries' metadata.
//
// An int is taken for an int64 and a []Value for a List. Strings may hold single
// surrogates in UTF-8's manner, as Python's may; msgpack has none. What has no form, is
// no text, is no key in Python or is no Value at all gives ErrUnsupported, as do
// integers of more than 4300 digits, which Python does not read.
func (c Codec) Append(dst []byte, v Value) ([]byte, error) {
	w := writer{codec: c, dst: dst}
	if c.serializer == wire.Serpent {
		w.dst = append(w.dst, serpentHeader...)
	}
	if err := w.value(v); err != nil {
		return dst, err
	}
	return w.dst, nil
}

// Decode reads what the dialect's library wrote (dumps). All strings and bytes in the
// result are copies. A Dict has each of its keys once, with the value that comes last,
// as in Python. Errors wrap ErrMalformed or ErrLimit.
//
// Classes of both dialects are understood, and made at any depth; the libraries leave
// the dicts inside those of other classes as they are.
func (c Codec) Decode(data []byte, lim Limits) (Value, error) {
	if len(data) > lim.Bytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrLimit, len(data))
	}
	b := budget{serpent: c.serializer == wire.Serpent, frozen: c.serializer == wire.Marshal, depth: lim.Depth, items: lim.Items, bytes: lim.Bytes}
	switch c.serializer {
	case wire.Serpent:
		return readSerpent(data, &b)
	case wire.JSON:
		return readJSON(data, &b)
	case wire.Marshal:
		return readMarshal(data, lim, &b)
	case wire.Msgpack:
		return readMsgpack(data, &b)
	}
	return nil, fmt.Errorf("%w: no serializer", ErrMalformed)
}

// Inflate gives the contents of a payload with the flag Compressed, of max bytes at
// most. Errors wrap ErrMalformed or ErrLimit.
func Inflate(data []byte, max int) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, int64(max)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	case len(out) > max:
		return nil, fmt.Errorf("%w: more than %d bytes when inflated", ErrLimit, max)
	}
	return out, nil
}
