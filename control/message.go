package control

import (
	"bytes"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Errors of reading messages. Their texts are those of the libraries, as clients get
// to see them (Pyro4/message.py, Message.recv).
var (
	errAsymmetric = errors.New("hmac key config not symmetric")
	errMismatch   = errors.New("message hmac mismatch")
)

// tooLargeError is a message beyond a limit.
type tooLargeError struct {
	dialect wire.Dialect
	n, most int64
}

func (e *tooLargeError) Error() string {
	if e.dialect == wire.V48 {
		return fmt.Sprintf("max message size exceeded (%d where max=%d)", e.n, e.most)
	}
	return fmt.Sprintf("message too large (%d, max=%d)", e.n, e.most)
}

// typeError is a message that has no place where it came.
type typeError struct{ got wire.Type }

func (e *typeError) Error() string { return fmt.Sprintf("invalid msg type %d received", uint16(e.got)) }

// message is one that was read. Its parts share one buffer, which is its own.
type message struct {
	head   wire.Head
	marks  wire.Marks
	chunks []byte // all annotations
	data   []byte
}

// readMessage reads one message and not a byte more. admit sees its head first and may
// refuse it. The message is given with the error as far as it was read; its head is
// zero where that is what was wrong. Memory is taken as the bytes come, since a head may
// lie.
func readMessage(r io.Reader, admit func(*wire.Head) error) (m message, err error) {
	var buf [wire.MaxHeadLen]byte
	if _, err := io.ReadFull(r, buf[:wire.PrefixLen]); err != nil {
		return m, err
	}
	n := wire.PrefixLen
	if d := wire.PrefixDialect(buf[:]); d != 0 {
		n = d.HeadLen()
		if _, err := io.ReadFull(r, buf[wire.PrefixLen:n]); err != nil {
			return m, unexpected(err)
		}
	}
	if m.head, err = wire.ParseHead(buf[:n]); err != nil {
		return m, err
	}
	if err := admit(&m.head); err != nil {
		return m, err
	}
	body := bytes.NewBuffer(make([]byte, 0, min(m.head.BodyLen(), smallMessage)))
	if _, err := io.CopyN(body, r, m.head.BodyLen()); err != nil {
		return m, unexpected(err)
	}
	b := body.Bytes()
	m.chunks, m.data = b[:m.head.AnnotationsLen], b[m.head.AnnotationsLen:]
	m.marks, err = wire.ReadMarks(&m.head, m.chunks)
	return m, err
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// verify checks the signature as Message.recv does: there has to be one exactly where
// there is a key. Messages of V502 have none, whatever their annotations are called.
func (m *message) verify(key []byte) error {
	if m.head.Dialect != wire.V48 {
		return nil
	}
	if m.marks.Signed != (len(key) > 0) {
		return errAsymmetric
	}
	if !m.marks.Signed {
		return nil
	}
	var signature []byte
	for rest := m.chunks; len(rest) > 0; {
		c, next, err := wire.NextChunk(wire.V48, rest)
		if err != nil {
			return err
		}
		if c.ID == wire.ChunkHMAC {
			signature = c.Value
		}
		rest = next
	}
	if !hmac.Equal(signature, wire.Key(key).Sum(m.chunks, m.data)) {
		return errMismatch
	}
	return nil
}

// appendMessage appends a message with that data. Of the head only what the dialect
// has in common with itself is taken: lengths and the correlation id are set here. In
// V48 it is signed where there is a key.
func appendMessage(dst []byte, h wire.Head, correlation [16]byte, data, key []byte) []byte {
	var chunks []byte
	h.Correlation = correlation
	if h.Dialect == wire.V48 {
		if correlation != [16]byte{} {
			chunks = wire.AppendChunk(chunks, wire.V48, wire.Chunk{ID: wire.ChunkCorrelation, Value: correlation[:]})
		}
		if len(key) > 0 {
			chunks = wire.AppendChunk(chunks, wire.V48, wire.Chunk{ID: wire.ChunkHMAC, Value: wire.Key(key).Sum(chunks, data)})
		}
	} else if correlation != [16]byte{} {
		h.Flags |= wire.V502.Bit(wire.HasCorrelation)
	}
	h.AnnotationsLen = uint32(len(chunks))
	h.DataLen = uint32(len(data))
	dst = slices.Grow(dst, int(h.Len()))
	dst = wire.AppendHead(dst, h)
	dst = append(dst, chunks...)
	return append(dst, data...)
}

// resign gives a message that package wire made, whole and without annotations, the
// correlation id and the signature that ours have.
func resign(raw []byte, correlation [16]byte, key []byte) []byte {
	h, err := wire.ParseHead(raw)
	if err != nil {
		return raw
	}
	return appendMessage(nil, h, correlation, raw[h.Dialect.HeadLen():], key)
}
