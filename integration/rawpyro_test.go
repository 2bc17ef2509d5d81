package integration

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
)

// The wire protocols by hand, from the libraries' sources (Pyro5/protocol.py, Pyro4/message.py)
// and apart from package wire, so that a misreading there does not hide itself here.

const (
	msgConnect     = 1
	msgConnectOK   = 2
	msgConnectFail = 3
	msgInvoke      = 4
	msgResult      = 5
	msgPing        = 6
)

// Serializer ids.
const (
	json4, marshal4 = 2, 3
	json5, marshal5 = 3, 2
)

// head is what the headers of both versions have in common.
type head struct {
	Version, Type, Serializer, Flags, Seq int
	Data, Annotations                     uint32
}

// header5 returns the 40 bytes of a Pyro5 header.
func header5(kind, serializer byte, flags, seq uint16, data, annotations uint32) []byte {
	b := append([]byte("PYRO"), 502>>8, 502&0xff, kind, serializer)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, seq)
	b = binary.BigEndian.AppendUint32(b, data)
	b = binary.BigEndian.AppendUint32(b, annotations)
	b = append(b, make([]byte, 16+2)...) // correlation id, reserved
	return binary.BigEndian.AppendUint16(b, 0x4dc5)
}

// header4 returns the 24 bytes of a Pyro4 header.
func header4(kind, serializer, flags, seq uint16, data int32, annotations uint16) []byte {
	b := append([]byte("PYRO"), 0, 48)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, seq)
	b = binary.BigEndian.AppendUint32(b, uint32(data))
	b = binary.BigEndian.AppendUint16(b, serializer)
	b = binary.BigEndian.AppendUint16(b, annotations)
	b = append(b, 0, 0)
	sum := uint32(kind) + 48 + uint32(data) + uint32(annotations) + uint32(serializer) + uint32(flags) + uint32(seq) + 0x34e9
	return binary.BigEndian.AppendUint16(b, uint16(sum))
}

// connect5 returns a CONNECT to the object, in JSON.
func connect5(object string) []byte {
	data := fmt.Sprintf(`{"handshake": "hello", "object": %q}`, object)
	return append(header5(msgConnect, json5, 0, 0, uint32(len(data)), 0), data...)
}

// connect4 returns a CONNECT to the object, in JSON, that asks for the metadata.
func connect4(object string) []byte {
	data := fmt.Sprintf(`{"handshake": "hello", "object": %q}`, object)
	return append(header4(msgConnect, json4, 16, 0, int32(len(data)), 0), data...)
}

// parseHead reads a header of either version off the start of b.
func parseHead(b []byte) (head, error) {
	be := binary.BigEndian
	switch {
	case len(b) >= 24 && string(b[:6]) == "PYRO\x00\x30":
		return head{48, int(be.Uint16(b[6:])), int(be.Uint16(b[16:])), int(be.Uint16(b[8:])), int(be.Uint16(b[10:])),
			be.Uint32(b[12:]), uint32(be.Uint16(b[18:]))}, nil
	case len(b) >= 40 && string(b[:6]) == "PYRO\x01\xf6":
		return head{502, int(b[6]), int(b[7]), int(be.Uint16(b[8:])), int(be.Uint16(b[10:])), be.Uint32(b[12:]), be.Uint32(b[16:])}, nil
	}
	return head{}, fmt.Errorf("not a Pyro header: %q", b)
}

// readHead5 reads a Pyro5 header.
func readHead5(r io.Reader) (head, error) {
	b := make([]byte, 40)
	if _, err := io.ReadFull(r, b); err != nil {
		return head{}, err
	}
	return parseHead(b)
}

// readMessage5 reads a small Pyro5 message and drops its body.
func readMessage5(r io.Reader) (head, error) {
	h, err := readHead5(r)
	if err != nil {
		return h, err
	}
	_, err = io.CopyN(io.Discard, r, int64(h.Annotations)+int64(h.Data))
	return h, err
}

// handshake5 connects a raw Pyro5 client.
func handshake5(t *testing.T, location string) net.Conn {
	t.Helper()
	conn := dial(t, location)
	if _, err := conn.Write(connect5("lab.worker")); err != nil {
		t.Fatal(err)
	}
	if h, err := readMessage5(conn); err != nil || h.Type != msgConnectOK {
		t.Fatalf("CONNECT was answered with %+v, %v", h, err)
	}
	return conn
}
