package handshake

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"sync"
)

// inflater holds what decompressing takes, about 40 KiB, for use again: clients tend to connect in bursts.
type inflater struct {
	source bytes.Reader
	stream io.ReadCloser // nil until a first valid header was seen
	out    []byte
}

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// keptBuffer is the largest output buffer that goes back to the pool.
const keptBuffer = 64 << 10

// inflated gives read what a payload in zlib's format holds, limit bytes at most. That is free again once read returns.
func inflated[T any](payload []byte, limit int, read func(data []byte) (T, error)) (T, error) {
	in := inflaters.Get().(*inflater)
	defer in.release()
	if err := in.inflate(payload, limit); err != nil {
		var none T
		return none, err
	}
	return read(in.out)
}

// inflate decompresses payload into in.out. Like Python's zlib.decompress it checks the sum at the end, and
// ignores what follows it.
func (in *inflater) inflate(payload []byte, limit int) error {
	in.source.Reset(payload)
	var err error
	if in.stream == nil {
		in.stream, err = zlib.NewReader(&in.source)
	} else {
		err = in.stream.(zlib.Resetter).Reset(&in.source, nil)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	in.out = in.out[:0]
	for {
		if len(in.out) == cap(in.out) {
			in.out = append(in.out, 0)[:len(in.out)] // grow as append does
		}
		// One byte past the limit tells a payload that ends there from one that goes on.
		n, err := in.stream.Read(in.out[len(in.out):min(cap(in.out), limit+1)])
		in.out = in.out[:len(in.out)+n]
		switch {
		case len(in.out) > limit:
			return fmt.Errorf("%w: more than %d bytes decompressed", ErrLimit, limit)
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("%w: %v", ErrMalformed, err)
		}
	}
}

// release gives in back to the pool, without hold on the payload.
func (in *inflater) release() {
	in.source.Reset(nil)
	if cap(in.out) > keptBuffer {
		in.out = nil
	}
	inflaters.Put(in)
}
