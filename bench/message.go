//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// What the harness speaks of protocol 502. The header is that of Pyro5's
// protocol.py (`!4sHBBHHII16sHH`); flags, correlation id and annotations stay
// empty.
const (
	headSize   = 40
	version502 = 502
	magic502   = 0x4DC5

	msgConnect     = 1
	msgConnectOK   = 2
	msgConnectFail = 3
	msgInvoke      = 4
	msgResult      = 5
	msgPing        = 6

	serializerJSON = 3
)

// The bodies of the handshake are what Pyro5 with the json serializer sends:
// a dispatcher reads the object id out of the first.
const (
	connectBody   = `{"handshake":"hello","object":"bench"}`
	connectOKBody = `{"handshake":"hello","meta":{"methods":["call"],"oneway":[],"attrs":[]}}`
	pongBody      = "pong"
)

// A request's data begins with the number of bytes of data wanted in the reply,
// big endian, so one daemon serves every scenario. The rest of all data is zeros.
const replySizeLen = 4

// maxBody bounds what either end believes of a header. It is above the largest
// scenario and far below a length that garbage would give.
const maxBody = 1 << 30

var errNotPyro = errors.New("not a message of protocol 502")

// head is what the two ends need of a message's header.
type head struct {
	kind byte
	seq  uint16
	data int // bytes of data, after the annotations
	anns int // bytes of annotations
}

// body is the number of bytes that follow the header.
func (h head) body() int { return h.anns + h.data }

// parseHead reads the first headSize bytes of b. Its only error is errNotPyro, wrapped.
func parseHead(b []byte) (head, error) {
	_ = b[headSize-1]
	if string(b[:4]) != "PYRO" || binary.BigEndian.Uint16(b[4:]) != version502 || binary.BigEndian.Uint16(b[38:]) != magic502 {
		return head{}, fmt.Errorf("%w: header % x", errNotPyro, b[:headSize])
	}
	h := head{
		kind: b[6],
		seq:  binary.BigEndian.Uint16(b[10:]),
		data: int(binary.BigEndian.Uint32(b[12:])),
		anns: int(binary.BigEndian.Uint32(b[16:])),
	}
	if h.body() > maxBody {
		return head{}, fmt.Errorf("%w: a body of %d bytes", errNotPyro, h.body())
	}
	return h, nil
}

// putHead writes a header without annotations into the first headSize bytes of b.
func putHead(b []byte, kind byte, seq uint16, data int) {
	clear(b[:headSize])
	copy(b, "PYRO")
	binary.BigEndian.PutUint16(b[4:], version502)
	b[6] = kind
	b[7] = serializerJSON
	putSeq(b, seq)
	binary.BigEndian.PutUint32(b[12:], uint32(data))
	binary.BigEndian.PutUint16(b[38:], magic502)
}

func putSeq(b []byte, seq uint16) { binary.BigEndian.PutUint16(b[10:], seq) }

// message returns a whole message in a new slice; only handshakes may allocate.
func message(kind byte, seq uint16, data string) []byte {
	b := make([]byte, headSize+len(data))
	putHead(b, kind, seq, len(data))
	copy(b[headSize:], data)
	return b
}

// putInvoke writes the header and the wanted reply size of a request whose data
// has the given length into the first headSize+replySizeLen bytes of b.
func putInvoke(b []byte, seq uint16, data, reply int) {
	putHead(b, msgInvoke, seq, data)
	binary.BigEndian.PutUint32(b[headSize:], uint32(reply))
}

// handshake does a client's part of the handshake on a fresh connection. A
// CONNECTFAIL becomes an error with the daemon's or the proxy's own words.
func handshake(conn net.Conn) error {
	if _, err := conn.Write(message(msgConnect, 0, connectBody)); err != nil {
		return fmt.Errorf("sending CONNECT: %w", err)
	}
	var b [headSize]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return fmt.Errorf("waiting for CONNECTOK: %w", err)
	}
	h, err := parseHead(b[:])
	if err != nil {
		return fmt.Errorf("waiting for CONNECTOK: %w", err)
	}
	const longest = 64 << 10
	if h.body() > longest {
		return fmt.Errorf("waiting for CONNECTOK: message type %d with %d bytes", h.kind, h.body())
	}
	body := make([]byte, h.body())
	if _, err := io.ReadFull(conn, body); err != nil {
		return fmt.Errorf("reading the answer to CONNECT: %w", err)
	}
	if h.kind != msgConnectOK {
		return fmt.Errorf("CONNECT was answered by message type %d: %q", h.kind, body)
	}
	return nil
}
