package wire

import (
	"encoding/binary"
	"errors"
)

// ErrAnnotations: the chunks do not fill the annotations' length exactly.
var ErrAnnotations = errors.New("annotation chunks overrun the annotations")

// Chunk is one annotation: its four-byte id and its value, which is a part of
// the buffer it was read from.
type Chunk struct {
	ID    [4]byte
	Value []byte
}

// The chunks that Pyro itself uses.
var (
	ChunkCorrelation = [4]byte{'C', 'O', 'R', 'R'} // V48 only, 16 bytes
	ChunkHMAC        = [4]byte{'H', 'M', 'A', 'C'} // V48 only
	ChunkBlob        = [4]byte{'B', 'L', 'B', 'I'} // of a SerializedBlob: see package blob
)

// NextChunk splits the first chunk off b, a message's annotations, and returns
// the rest. It returns ErrAnnotations where b is too short for a chunk or the
// chunk's length is beyond b. (Pyro4 would cut such a chunk short; no client
// of either library can send one.)
func NextChunk(d Dialect, b []byte) (c Chunk, rest []byte, err error) {
	head := 8
	if d == V48 {
		head = 6
	}
	if len(b) < head {
		return Chunk{}, nil, ErrAnnotations
	}
	n := uint64(0)
	if d == V48 {
		n = uint64(binary.BigEndian.Uint16(b[4:]))
	} else {
		n = uint64(binary.BigEndian.Uint32(b[4:]))
	}
	if n > uint64(len(b)-head) {
		return Chunk{}, nil, ErrAnnotations
	}
	end := head + int(n)
	return Chunk{ID: [4]byte(b), Value: b[head:end]}, b[end:], nil
}

// AppendChunk appends one annotation to dst. In V48 a value may have at most
// 65,535 bytes, and so may all chunks together.
func AppendChunk(dst []byte, d Dialect, c Chunk) []byte {
	dst = append(dst, c.ID[:]...)
	if d == V48 {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(c.Value)))
	} else {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(c.Value)))
	}
	return append(dst, c.Value...)
}

// Correlation finds a message's correlation id: in the header of V502, in the
// CORR chunk of V48. annotations are all of the message's annotations, and are
// checked to be whole chunks on the way. ok is false where the message carries
// no id, or one that is not 16 bytes long.
func Correlation(h *Head, annotations []byte) (id [16]byte, ok bool, err error) {
	m, err := ReadMarks(h, annotations)
	return m.Correlation, m.HasCorrelation, err
}
