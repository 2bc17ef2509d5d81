package pyrotest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Message is a whole message of either dialect.
type Message struct {
	Head   wire.Head // Bytes sets the lengths
	Chunks []wire.Chunk
	Data   []byte // nil where the reader was told to discard it
	// CRC is the CRC-32C of the data that was read, kept or not.
	CRC uint32
}

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// Bytes encodes the message; the lengths in its Head are ignored. (For a
// header that lies, use wire.AppendHead.)
func (m Message) Bytes() []byte {
	return append(m.start(int64(len(m.Data))), m.Data...)
}

// start encodes all but the data, of which there are n bytes.
func (m Message) start(n int64) []byte {
	var chunks []byte
	for _, c := range m.Chunks {
		chunks = wire.AppendChunk(chunks, m.Head.Dialect, c)
	}
	h := m.Head
	h.AnnotationsLen, h.DataLen = uint32(len(chunks)), uint32(n)
	return append(wire.AppendHead(nil, h), chunks...)
}

// WriteSized writes m with n bytes of filler in place of its data, without
// holding them.
func WriteSized(w io.Writer, m Message, n int64) error {
	if _, err := w.Write(m.start(n)); err != nil {
		return err
	}
	return WriteFiller(w, n)
}

// WriteFiller writes n bytes that do not repeat with a period that a buffer's
// size might divide, so that bytes lost or moved show.
func WriteFiller(w io.Writer, n int64) error {
	const period = 65521 // the greatest prime below 64 KiB
	piece := make([]byte, max(0, min(period, n)))
	for i := range piece {
		piece[i] = byte(i ^ i>>8)
	}
	for n > 0 {
		k, err := w.Write(piece[:min(int64(len(piece)), n)])
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

// ReadMessage reads one message. The error is io.EOF where r ends before it,
// io.ErrUnexpectedEOF where it ends within, a *wire.HeadError or
// wire.ErrAnnotations for a bad message.
func ReadMessage(r io.Reader) (Message, error) { return readMessage(r, false) }

func readMessage(r io.Reader, discard bool) (m Message, err error) {
	b := make([]byte, wire.MaxHeadLen)
	n, want := 0, wire.PrefixLen
	for {
		k, err := io.ReadFull(r, b[n:want])
		if n += k; err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return m, err
		}
		m.Head, err = wire.ParseHead(b[:n])
		if err == nil {
			break
		}
		if !errors.Is(err, wire.ErrShort) {
			return m, err
		}
		want = headLen(b)
	}

	annotations, err := readBody(r, m.Head.AnnotationsLen)
	if err != nil {
		return m, err
	}
	for len(annotations) > 0 {
		var c wire.Chunk
		if c, annotations, err = wire.NextChunk(m.Head.Dialect, annotations); err != nil {
			return m, err
		}
		m.Chunks = append(m.Chunks, c)
	}
	if discard {
		sum := crc32.New(crcTable)
		_, err := io.CopyN(sum, r, int64(m.Head.DataLen))
		m.CRC = sum.Sum32()
		return m, unexpected(err)
	}
	m.Data, err = readBody(r, m.Head.DataLen)
	m.CRC = crc32.Checksum(m.Data, crcTable)
	return m, err
}

// headLen is the header's length by its version, the sixth byte's at least.
func headLen(b []byte) int {
	if wire.Dialect(b[5]) == wire.V48 && b[4] == 0 {
		return wire.V48.HeadLen()
	}
	return wire.V502.HeadLen()
}

// readBody allocates as the bytes come: a header may lie.
func readBody(r io.Reader, n uint32) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, min(n, 1<<20)))
	_, err := io.CopyN(b, r, int64(n))
	return b.Bytes(), unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// CallData is a payload of size bytes (more if the id needs them) that names
// the call for the Ledger: the id, which must have no newline, a newline, and
// filler.
func CallData(id string, size int) []byte {
	if strings.Contains(id, "\n") {
		panic(fmt.Sprintf("pyrotest: newline in the call id %q", id))
	}
	var b strings.Builder
	b.WriteString(id + "\n")
	_ = WriteFiller(&b, int64(size-b.Len())) // a Builder does not fail
	return []byte(b.String())
}

// CallID is what a Ledger calls m: the start of its payload up to a newline
// within the first 100 bytes, or else its correlation id in hex, or else "".
func CallID(m Message) string {
	if id, _, ok := strings.Cut(string(m.Data[:min(len(m.Data), 100)]), "\n"); ok {
		return id
	}
	if id, ok := m.Correlation(); ok {
		return hex.EncodeToString(id[:])
	}
	return ""
}

// Correlation is the message's correlation id, if it has one.
func (m Message) Correlation() (id [16]byte, ok bool) {
	if m.Head.Dialect != wire.V48 {
		return m.Head.Correlation, m.Head.Has(wire.HasCorrelation)
	}
	for _, c := range m.Chunks {
		if c.ID == wire.ChunkCorrelation && len(c.Value) == len(id) {
			id, ok = [16]byte(c.Value), true
		}
	}
	return id, ok
}

// Signed is the message with the key's signature in the place of any that it has, if it is
// one of V48 and there is a key.
func (m Message) Signed(key wire.Key) Message {
	if len(key) == 0 || m.Head.Dialect != wire.V48 {
		return m
	}
	m.Chunks = slices.DeleteFunc(slices.Clone(m.Chunks), func(c wire.Chunk) bool { return c.ID == wire.ChunkHMAC })
	var annotations []byte
	for _, c := range m.Chunks {
		annotations = wire.AppendChunk(annotations, wire.V48, c)
	}
	m.Chunks = append(m.Chunks, wire.Chunk{ID: wire.ChunkHMAC, Value: key.Sum(annotations, m.Data)})
	return m
}

// SignedWith reports whether the message bears the key's signature.
func (m Message) SignedWith(key wire.Key) bool {
	raw := m.Bytes()
	h, err := wire.ParseHead(raw)
	return err == nil && key.Signed(&h, raw)
}

// WithCorrelation is the message with that correlation id, in its dialect's
// place for it.
func (m Message) WithCorrelation(id [16]byte) Message {
	if m.Head.Dialect == wire.V48 {
		m.Chunks = append(m.Chunks[:len(m.Chunks):len(m.Chunks)], wire.Chunk{ID: wire.ChunkCorrelation, Value: id[:]})
		return m
	}
	m.Head.Flags |= m.Head.Dialect.Bit(wire.HasCorrelation)
	m.Head.Correlation = id
	return m
}
