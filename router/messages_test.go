package router_test

import (
	"bytes"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

var dialects = []wire.Dialect{wire.V48, wire.V502}

func other(d wire.Dialect) wire.Dialect { return wire.V48 + wire.V502 - d }

// messages builds what is said in one dialect.
type messages struct{ d wire.Dialect }

func (m messages) connect() []byte { return m.handshake().WithCorrelation(testID).Bytes() }

func (m messages) handshake() pyrotest.Message {
	return pyrotest.ConnectMessage(m.d, wire.Serpent, "lab.camera", "hello")
}

// signed adds an HMAC, which only V48 has.
func (m messages) signed(msg pyrotest.Message) pyrotest.Message {
	msg.Chunks = append(msg.Chunks, wire.Chunk{ID: wire.ChunkHMAC, Value: make([]byte, 20)})
	return msg
}

var testID = [16]byte{0: 1, 15: 2}

func (m messages) message(t wire.Type, data int, flags ...wire.Flag) pyrotest.Message {
	msg := pyrotest.Message{Head: wire.Head{Dialect: m.d, Type: t, SerializerID: m.d.SerializerID(wire.Serpent), Seq: 7}}
	for _, f := range flags {
		msg.Head.Flags |= m.d.Bit(f)
	}
	msg.Data = bytes.Repeat([]byte{byte(t)}, data)
	return msg
}

func (m messages) ok() []byte     { return m.message(wire.ConnectOK, 30).Bytes() }
func (m messages) fail() []byte   { return m.message(wire.ConnectFail, 40).Bytes() }
func (m messages) invoke() []byte { return m.message(wire.Invoke, 25).Bytes() }
func (m messages) oneway() []byte { return m.message(wire.Invoke, 10, wire.Oneway).Bytes() }
func (m messages) ping() []byte   { return m.message(wire.Ping, 4).Bytes() }
func (m messages) result() []byte { return m.message(wire.Result, 50).Bytes() }
func (m messages) raised() []byte { return m.message(wire.Result, 60, wire.Exception).Bytes() }

// otherSeq is the message with a sequence number that no other has.
func (m messages) otherSeq(msg pyrotest.Message) []byte {
	msg.Head.Seq++
	return msg.Bytes()
}

func (m messages) stream() []byte {
	return m.message(wire.Result, 20, wire.Exception, wire.ItemStream).Bytes()
}

// ownSeq is the sequence number of the session's own PINGs.
const ownSeq = 0x5049

// ownPong answers a PING of the session's own.
func (m messages) ownPong() []byte {
	pong := m.message(wire.Ping, 4)
	pong.Head.Seq = ownSeq
	return pong.Bytes()
}

func (m messages) garbage() []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }

// big is a request that is sent on before it is complete: 1000 bytes of data.
func (m messages) big() []byte { return m.message(wire.Invoke, 1000).Bytes() }

// overrun has an annotation chunk that says it is longer than it is.
func (m messages) overrun(t wire.Type) []byte {
	msg := m.message(t, 10)
	msg.Chunks = []wire.Chunk{{ID: [4]byte{'T', 'E', 'S', 'T'}, Value: []byte("value")}}
	b := msg.Bytes()
	length := m.d.HeadLen() + 4
	if m.d == wire.V48 {
		b[length+1]++
	} else {
		b[length+3]++
	}
	return b
}

// head is a header that promises lengths, with nothing behind it.
func (m messages) head(t wire.Type, annotations, data uint32) []byte {
	return wire.AppendHead(nil, wire.Head{Dialect: m.d, Type: t, AnnotationsLen: annotations, DataLen: data})
}
