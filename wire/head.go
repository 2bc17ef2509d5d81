package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Dialect is a protocol version that we speak.
type Dialect uint16

// The two dialects. The zero Dialect means "not known".
const (
	V48  Dialect = 48  // Pyro4
	V502 Dialect = 502 // Pyro5
)

// String names the dialect for people: the library and its protocol version.
func (d Dialect) String() string {
	switch d {
	case V48:
		return "pyro4"
	case V502:
		return "pyro5"
	case 0:
		return "unknown"
	}
	return fmt.Sprintf("protocol %d", uint16(d))
}

// Lengths of the parts of a head, in bytes.
const (
	PrefixLen  = 6 // tag and version: enough to tell the dialects apart
	headLen48  = 24
	headLen502 = 40
	MaxHeadLen = headLen502
)

// HeadLen is the length of the dialect's header in bytes.
func (d Dialect) HeadLen() int {
	if d == V48 {
		return headLen48
	}
	return headLen502
}

// Type is what a message is for. The numbers are the same in both dialects.
type Type uint16

// The message types.
const (
	Connect     Type = 1
	ConnectOK   Type = 2
	ConnectFail Type = 3
	Invoke      Type = 4
	Result      Type = 5
	Ping        Type = 6
)

// String is the name used in Pyro's sources.
func (t Type) String() string {
	switch t {
	case Connect:
		return "CONNECT"
	case ConnectOK:
		return "CONNECTOK"
	case ConnectFail:
		return "CONNECTFAIL"
	case Invoke:
		return "INVOKE"
	case Result:
		return "RESULT"
	case Ping:
		return "PING"
	}
	return fmt.Sprintf("type %d", uint16(t))
}

// Head is the header of a message of either dialect. Flags and SerializerID are
// kept as they stand on the wire, so that AppendHead gives back the bytes that
// ParseHead read; Has and Serializer translate them.
type Head struct {
	Dialect        Dialect
	Type           Type
	SerializerID   uint16
	Flags          uint16
	Seq            uint16
	Reserved       uint16
	AnnotationsLen uint32 // all chunks together, in bytes
	DataLen        uint32 // the payload, in bytes
	// Correlation is the header field of V502, meaningful only with the
	// correlation flag. V48 carries its correlation id in an annotation.
	Correlation [16]byte
}

// Len is the length of the whole message in bytes: header, annotations, data.
func (h *Head) Len() int64 {
	return int64(h.Dialect.HeadLen()) + h.BodyLen()
}

// BodyLen is the length of annotations and data, which is what Pyro's
// MAX_MESSAGE_SIZE limits.
func (h *Head) BodyLen() int64 {
	return int64(h.AnnotationsLen) + int64(h.DataLen)
}

// Flag is a message flag, independent of the dialect's bit for it.
type Flag uint8

// The flags. MetaOnConnect exists only in V48 (V502 always behaves so),
// HasCorrelation only in V502.
const (
	Exception Flag = iota
	Compressed
	Oneway
	Batch
	ItemStream
	KeepSerialized
	MetaOnConnect
	HasCorrelation
	numFlags
)

var (
	flagBits48 = [numFlags]uint16{
		Exception: 1, Compressed: 2, Oneway: 4, Batch: 8, MetaOnConnect: 16, ItemStream: 32, KeepSerialized: 64,
	}
	flagBits502 = [numFlags]uint16{
		Exception: 1, Compressed: 2, Oneway: 4, Batch: 8, ItemStream: 16, KeepSerialized: 32, HasCorrelation: 64,
	}
)

// Bit is the wire bit of f in dialect d, 0 where the dialect has no such flag.
func (d Dialect) Bit(f Flag) uint16 {
	if d == V48 {
		return flagBits48[f]
	}
	return flagBits502[f]
}

// Has reports whether flag f is set.
func (h *Head) Has(f Flag) bool {
	return h.Flags&h.Dialect.Bit(f) != 0
}

// What can be wrong with a header. ParseHead wraps them in a *HeadError.
var (
	// ErrShort: more bytes are needed; what is here may still become a header.
	ErrShort = errors.New("incomplete header")
	// ErrNotPyro: the first four bytes are not "PYRO".
	ErrNotPyro = errors.New("not the Pyro protocol")
	// ErrVersion: a protocol version that is neither 48 nor 502.
	ErrVersion = errors.New("unsupported protocol version")
	// ErrCheck: wrong checksum (48) or magic number (502).
	ErrCheck = errors.New("header check failed")
	// ErrNegativeLength: a data length below zero (48 only, where it is signed).
	ErrNegativeLength = errors.New("negative data length")
)

// HeadError says what is wrong with a header and which version it claimed.
// Version means nothing with ErrNotPyro.
type HeadError struct {
	Err     error
	Version uint16
}

func (e *HeadError) Error() string {
	if errors.Is(e.Err, ErrNotPyro) {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v (protocol version %d)", e.Err, e.Version)
}

// Unwrap gives one of ErrNotPyro, ErrVersion, ErrCheck and ErrNegativeLength.
func (e *HeadError) Unwrap() error { return e.Err }

const (
	tag          = 0x5059524f // "PYRO"
	checksumBase = 0x34e9     // Pyro4 message.checksum_magic
	magic502     = 0x4dc5     // Pyro5 protocol._magic_number
)

// ParseHead reads the header at the start of b, which may hold more. It
// returns ErrShort when b is too short to tell, and a *HeadError as soon as b
// cannot become a header: the first six bytes decide about tag and version.
// It keeps nothing of b and allocates only on error.
func ParseHead(b []byte) (Head, error) {
	if len(b) < PrefixLen {
		return Head{}, ErrShort
	}
	if binary.BigEndian.Uint32(b) != tag {
		return Head{}, &HeadError{Err: ErrNotPyro}
	}
	switch d := Dialect(binary.BigEndian.Uint16(b[4:])); d {
	case V48:
		if len(b) < headLen48 {
			return Head{}, ErrShort
		}
		return parse48(b)
	case V502:
		if len(b) < headLen502 {
			return Head{}, ErrShort
		}
		return parse502(b)
	default:
		return Head{}, &HeadError{Err: ErrVersion, Version: uint16(d)}
	}
}

// PrefixDialect is the dialect of the header that b, PrefixLen bytes or more,
// begins, 0 where it begins none that we speak. It is of use while ParseHead
// still finds b too short.
func PrefixDialect(b []byte) Dialect {
	d := Dialect(binary.BigEndian.Uint16(b[4:]))
	if binary.BigEndian.Uint32(b) == tag && (d == V48 || d == V502) {
		return d
	}
	return 0
}

func parse48(b []byte) (Head, error) {
	h := Head{
		Dialect:        V48,
		Type:           Type(binary.BigEndian.Uint16(b[6:])),
		Flags:          binary.BigEndian.Uint16(b[8:]),
		Seq:            binary.BigEndian.Uint16(b[10:]),
		DataLen:        binary.BigEndian.Uint32(b[12:]),
		SerializerID:   binary.BigEndian.Uint16(b[16:]),
		AnnotationsLen: uint32(binary.BigEndian.Uint16(b[18:])),
		Reserved:       binary.BigEndian.Uint16(b[20:]),
	}
	if binary.BigEndian.Uint16(b[22:]) != h.checksum() {
		return Head{}, &HeadError{Err: ErrCheck, Version: uint16(V48)}
	}
	if int32(h.DataLen) < 0 {
		return Head{}, &HeadError{Err: ErrNegativeLength, Version: uint16(V48)}
	}
	return h, nil
}

func parse502(b []byte) (Head, error) {
	if binary.BigEndian.Uint16(b[38:]) != magic502 {
		return Head{}, &HeadError{Err: ErrCheck, Version: uint16(V502)}
	}
	return Head{
		Dialect:        V502,
		Type:           Type(b[6]),
		SerializerID:   uint16(b[7]),
		Flags:          binary.BigEndian.Uint16(b[8:]),
		Seq:            binary.BigEndian.Uint16(b[10:]),
		DataLen:        binary.BigEndian.Uint32(b[12:]),
		AnnotationsLen: binary.BigEndian.Uint32(b[16:]),
		Correlation:    [16]byte(b[20:36]),
		Reserved:       binary.BigEndian.Uint16(b[36:]),
	}, nil
}

// checksum is version 48's sum over the fields, which leaves out the reserved
// one. A negative length adds the same low 16 bits signed or unsigned.
func (h *Head) checksum() uint16 {
	return uint16(h.Type) + uint16(V48) + uint16(h.DataLen) + uint16(h.AnnotationsLen) +
		h.SerializerID + h.Flags + h.Seq + checksumBase
}

// AppendHead appends the header's wire form to dst, with a right checksum. The
// caller sees to it that the fields fit the dialect: in V48 annotations of at
// most 65,535 and data of at most 2^31-1 bytes, in V502 a type and a
// serializer below 256.
func AppendHead(dst []byte, h Head) []byte {
	dst = slices.Grow(dst, h.Dialect.HeadLen())
	dst = binary.BigEndian.AppendUint32(dst, tag)
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.Dialect))
	if h.Dialect == V48 {
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.Type))
		dst = binary.BigEndian.AppendUint16(dst, h.Flags)
		dst = binary.BigEndian.AppendUint16(dst, h.Seq)
		dst = binary.BigEndian.AppendUint32(dst, h.DataLen)
		dst = binary.BigEndian.AppendUint16(dst, h.SerializerID)
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.AnnotationsLen))
		dst = binary.BigEndian.AppendUint16(dst, h.Reserved)
		return binary.BigEndian.AppendUint16(dst, h.checksum())
	}
	dst = append(dst, byte(h.Type), byte(h.SerializerID))
	dst = binary.BigEndian.AppendUint16(dst, h.Flags)
	dst = binary.BigEndian.AppendUint16(dst, h.Seq)
	dst = binary.BigEndian.AppendUint32(dst, h.DataLen)
	dst = binary.BigEndian.AppendUint32(dst, h.AnnotationsLen)
	dst = append(dst, h.Correlation[:]...)
	dst = binary.BigEndian.AppendUint16(dst, h.Reserved)
	return binary.BigEndian.AppendUint16(dst, magic502)
}
