//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pyro-dispatch/pyro-dispatch/blob"
)

// What the blob comparison speaks of both protocols; see message.go for why it has
// lines of its own for that. Everything is in serpent, the default of both libraries.

// protocol is 48 or 502, as the version field of a header says.
type protocol int

const (
	pyro4 protocol = 48
	pyro5 protocol = version502
)

func (p protocol) String() string {
	if p == pyro4 {
		return "Pyro4"
	}
	return "Pyro5"
}

const (
	headSize48      = 24
	checksumMagic48 = 0x34E9

	serializerSerpent = 1

	flagException = 1
	flagMeta48    = 16 // in version 48 only: the answer to CONNECT is to carry the metadata

	serpentHead = "# serpent utf-8 python3.2\n"
	serpentNone = serpentHead + "None"
)

// blobMethod is what clients call at the dispatcher, and the dispatcher at the listeners.
const blobMethod = "process_blob"

func (p protocol) headSize() int {
	if p == pyro4 {
		return headSize48
	}
	return headSize
}

func (p protocol) flagBlob() uint16 {
	if p == pyro4 {
		return 64
	}
	return 32
}

func (p protocol) flagMeta() uint16 {
	if p == pyro4 {
		return flagMeta48
	}
	return 0
}

// blobHead is what the ends of the blob comparison need of a header.
type blobHead struct {
	protocol   protocol
	kind       byte
	serializer byte
	flags      uint16
	seq        uint16
	data, anns int
}

func (h blobHead) whole() int { return h.protocol.headSize() + h.anns + h.data }

// put writes the header into the beginning of b.
func (h blobHead) put(b []byte) {
	size := h.protocol.headSize()
	clear(b[:size])
	copy(b, "PYRO")
	be := binary.BigEndian
	be.PutUint16(b[4:], uint16(h.protocol))
	be.PutUint16(b[8:], h.flags)
	be.PutUint16(b[10:], h.seq)
	be.PutUint32(b[12:], uint32(h.data))
	if h.protocol == pyro4 {
		be.PutUint16(b[6:], uint16(h.kind))
		be.PutUint16(b[16:], uint16(h.serializer))
		be.PutUint16(b[18:], uint16(h.anns))
		be.PutUint16(b[22:], h.sum48())
		return
	}
	b[6], b[7] = h.kind, h.serializer
	be.PutUint32(b[16:], uint32(h.anns))
	be.PutUint16(b[38:], magic502)
}

// sum48 is the check of a header of version 48, after Pyro4/message.py.
func (h blobHead) sum48() uint16 {
	return uint16(int(h.kind) + int(pyro4) + h.data + h.anns + int(h.serializer) + int(h.flags) + int(h.seq) + checksumMagic48)
}

// parseBlobHead reads a header; b holds at least headSize48 bytes, and if they are of
// version 502 at least headSize. Its only error is errNotPyro, wrapped.
func parseBlobHead(b []byte) (blobHead, error) {
	be := binary.BigEndian
	h := blobHead{protocol: protocol(be.Uint16(b[4:])), flags: be.Uint16(b[8:]), seq: be.Uint16(b[10:]), data: int(be.Uint32(b[12:]))}
	good := string(b[:4]) == "PYRO"
	switch h.protocol {
	case pyro4:
		h.kind, h.serializer, h.anns = b[7], b[17], int(be.Uint16(b[18:]))
		good = good && be.Uint16(b[22:]) == h.sum48()
	case pyro5:
		h.kind, h.serializer, h.anns = b[6], b[7], int(be.Uint32(b[16:]))
		good = good && be.Uint16(b[38:]) == magic502
	default:
		good = false
	}
	if !good || h.anns > maxBody || h.data > maxBody {
		return blobHead{}, fmt.Errorf("%w: header % x", errNotPyro, b[:headSize48])
	}
	return h, nil
}

// serpentMessage returns a whole message without annotations; only handshakes may allocate.
func serpentMessage(p protocol, kind byte, flags, seq uint16, data string) []byte {
	h := blobHead{protocol: p, kind: kind, serializer: serializerSerpent, flags: flags, seq: seq, data: len(serpentHead) + len(data)}
	b := make([]byte, h.whole())
	h.put(b)
	copy(b[p.headSize():], serpentHead+data)
	return b
}

// A blob's data says which it is: which client's, and the how manieth of that client's turn.
const (
	blobMark    = "blob:"
	blobIDSize  = 12 // hexadecimal: 4 digits of the client, 8 of the number
	blobIDForm  = "%04x%08x"
	blobIDRange = 512 // it ends within so many bytes from the start of the data
)

// blobCall returns the whole message of a blob call about topic, with so many bytes of data
// in all, and where in it the id is.
func blobCall(p protocol, object, topic string, size int) (message []byte, idAt int, err error) {
	annotation := blob.AppendNew(nil, blob.TextScalar(topic), object, blobMethod)
	start := fmt.Sprintf("%s('%s','%s','%s", serpentHead, object, blobMethod, blobMark)
	const end = "',{})"
	filler := size - len(start) - blobIDSize - len(end)
	if filler < 0 || len(start)+blobIDSize > blobIDRange {
		return nil, 0, fmt.Errorf("a blob of %d bytes cannot hold its call to %s", size, object)
	}
	chunk := append([]byte("BLBI"), binary.BigEndian.AppendUint32(nil, uint32(len(annotation)))...)
	if p == pyro4 {
		chunk = append([]byte("BLBI"), binary.BigEndian.AppendUint16(nil, uint16(len(annotation)))...)
	}
	chunk = append(chunk, annotation...)
	h := blobHead{protocol: p, kind: msgInvoke, serializer: serializerSerpent, flags: p.flagBlob(), data: size, anns: len(chunk)}
	message = make([]byte, p.headSize(), h.whole())
	h.put(message)
	message = append(append(message, chunk...), start...)
	idAt = len(message)
	message = append(message, bytes.Repeat([]byte("x"), blobIDSize+filler)...)
	return append(message, end...), idAt, nil
}

// incoming reads messages from a connection: first looking at their beginning, then forgetting
// them, with flat memory whatever their size.
type incoming struct {
	conn net.Conn
	buf  []byte
	have int // bytes of buf that are filled
}

func newIncoming(conn net.Conn) *incoming {
	return &incoming{conn: conn, buf: make([]byte, len(zeros))}
}

// need reads until n bytes are in buf. The end of the stream is io.EOF before the first of them.
func (in *incoming) need(n int) error {
	if n > len(in.buf) {
		return fmt.Errorf("%w: %d bytes before the data", errNotPyro, n)
	}
	for in.have < n {
		k, err := in.conn.Read(in.buf[in.have:])
		in.have += k
		if err == io.EOF && in.have > 0 && in.have < n {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && in.have < n {
			return err
		}
	}
	return nil
}

// head waits for a message and returns its header, and the part of the message that is in
// buf: all annotations, and of the data as much as peek at least, if there is so much.
func (in *incoming) head(peek int) (h blobHead, annotations, data []byte, err error) {
	if err := in.need(headSize48); err != nil {
		return h, nil, nil, err
	}
	if binary.BigEndian.Uint16(in.buf[4:]) == version502 {
		if err := in.need(headSize); err != nil {
			return h, nil, nil, err
		}
	}
	if h, err = parseBlobHead(in.buf); err != nil {
		return h, nil, nil, err
	}
	start := h.protocol.headSize()
	if err := in.need(start + h.anns + min(peek, h.data)); err != nil {
		return h, nil, nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return h, in.buf[start : start+h.anns], in.buf[start+h.anns : min(in.have, h.whole())], nil
}

// drop reads the rest of the message that head gave, and forgets it.
func (in *incoming) drop(h blobHead) error {
	rest := h.whole()
	if rest <= in.have {
		in.have = copy(in.buf, in.buf[rest:in.have])
		return nil
	}
	rest -= in.have
	in.have = 0
	for rest > 0 {
		k, err := in.conn.Read(in.buf[:min(rest, len(in.buf))])
		rest -= k
		if err != nil && rest > 0 {
			return errors.Join(io.ErrUnexpectedEOF, err)
		}
	}
	return nil
}
