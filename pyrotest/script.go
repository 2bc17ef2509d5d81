package pyrotest

import (
	"sync"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// NoFreeWorkers is what a daemon says whose thread pool is full.
const NoFreeWorkers = "no free workers, increase server threadpool size"

// What well-behaved daemons do.

// AcceptConnect answers a CONNECT with CONNECTOK: the handshake reply "hello"
// and the metadata of an object with methods echo and notify (oneway).
func AcceptConnect(c *DaemonConn, m Message) {
	flags := m.Head.Flags & m.Head.Dialect.Bit(wire.MetaOnConnect)
	var data any = "hello"
	if flags != 0 || m.Head.Dialect == wire.V502 {
		data = Dict{
			{"handshake", "hello"},
			{"meta", Dict{
				{"methods", []any{"echo", "notify"}},
				{"oneway", []any{"notify"}},
				{"attrs", []any{}},
			}},
		}
	}
	_ = c.Reply(m, wire.ConnectOK, flags, Encode(m.Head.Serializer(), data))
}

// RejectConnect answers with CONNECTFAIL and closes.
func RejectConnect(text string) Script {
	return func(c *DaemonConn, m Message) {
		_ = c.Reply(m, wire.ConnectFail, 0, Encode(m.Head.Serializer(), text))
		_ = c.Close()
	}
}

// Echo replies with the request's own payload.
func Echo(c *DaemonConn, m Message) {
	_ = c.Reply(m, wire.Result, m.Head.Flags&m.Head.Dialect.Bit(wire.Compressed), m.Data)
}

// Pong answers a PING.
func Pong(c *DaemonConn, m Message) { _ = c.Reply(m, wire.Ping, 0, []byte("pong")) }

// ReplyData replies with that payload.
func ReplyData(data []byte) Script {
	return func(c *DaemonConn, m Message) { _ = c.Reply(m, wire.Result, 0, data) }
}

// ReplySize replies with n bytes of filler, without holding them.
func ReplySize(n int64) Script {
	return func(c *DaemonConn, m Message) {
		if !isOneway(m) {
			_ = WriteSized(c, replyTo(m, wire.Result, 0), n)
		}
	}
}

// RaiseException replies with a ValueError.
func RaiseException(text string) Script {
	return func(c *DaemonConn, m Message) {
		_ = c.Reply(m, wire.Result, m.Head.Dialect.Bit(wire.Exception), ExceptionData(m.Head.Serializer(), text))
	}
}

// ReplyStream replies as to a call that returned an item stream: the stream's
// id in annotation STRM, and for data an exception that nobody looks at.
func ReplyStream(id string) Script {
	return func(c *DaemonConn, m Message) {
		d := m.Head.Dialect
		reply := replyTo(m, wire.Result, d.Bit(wire.ItemStream)|d.Bit(wire.Exception))
		reply.Chunks = append(reply.Chunks, wire.Chunk{ID: [4]byte{'S', 'T', 'R', 'M'}, Value: []byte(id)})
		reply.Data = ExceptionData(m.Head.Serializer(), "result of call is an iterator")
		_ = c.Send(reply)
	}
}

// What badly behaved or dying daemons do.

// Silence does nothing. The daemon reads on, and so notices when the client
// goes; to be deaf too, wait for DaemonConn.Closing.
func Silence(*DaemonConn, Message) {}

// Hangup closes the connection.
func Hangup(c *DaemonConn, _ Message) { _ = c.Close() }

// ResetConn closes it abruptly.
func ResetConn(c *DaemonConn, _ Message) { _ = c.Reset() }

// Garbage writes the bytes as they are.
func Garbage(b []byte) Script {
	return func(c *DaemonConn, _ Message) { _, _ = c.Write(b) }
}

// WrongType echoes in a message of that type.
func WrongType(t wire.Type) Script {
	return func(c *DaemonConn, m Message) { _ = c.Reply(m, t, 0, m.Data) }
}

// WrongSeq echoes with another sequence number.
func WrongSeq(c *DaemonConn, m Message) {
	m.Head.Seq++
	Echo(c, m)
}

// HalfReply writes the first half of an echo's bytes, at least its header.
func HalfReply(c *DaemonConn, m Message) {
	reply := replyTo(m, wire.Result, 0)
	reply.Data = m.Data
	b := reply.Bytes()
	_, _ = c.Write(b[:max(len(b)/2, reply.Head.Dialect.HeadLen())])
}

// HeadOnly writes the header of a reply that announces such lengths, and
// nothing more.
func HeadOnly(annotationsLen, dataLen uint32) Script {
	return func(c *DaemonConn, m Message) {
		h := replyTo(m, wire.Result, 0).Head
		h.AnnotationsLen, h.DataLen = annotationsLen, dataLen
		_, _ = c.Write(wire.AppendHead(nil, h))
	}
}

// OtherDialect runs the script as if the request had come in the other
// dialect, so that the reply does. (Flags of m are not translated.)
func OtherDialect(s Script) Script {
	return func(c *DaemonConn, m Message) {
		by := m.Head.Serializer()
		m.Head.Dialect = wire.V48 + wire.V502 - m.Head.Dialect
		m.Head.SerializerID = m.Head.Dialect.SerializerID(by)
		s(c, m)
	}
}

// How scripts are put together.

// Steps runs the scripts one after another: Steps(HalfReply, ResetConn), or
// Steps(Echo, Echo) for a reply that nobody asked for.
func Steps(scripts ...Script) Script {
	return func(c *DaemonConn, m Message) {
		for _, s := range scripts {
			s(c, m)
		}
	}
}

// InTurn runs the first script the first time, over all of a daemon's
// connections, the second the second time, and the last one from then on.
func InTurn(scripts ...Script) Script {
	var mu sync.Mutex
	next := 0
	return func(c *DaemonConn, m Message) {
		mu.Lock()
		s := scripts[next]
		next = min(next+1, len(scripts)-1)
		mu.Unlock()
		s(c, m)
	}
}

// After waits before it runs the script, which it does not where the daemon is
// closed meanwhile.
func After(wait time.Duration, s Script) Script {
	return func(c *DaemonConn, m Message) {
		if c.Pause(wait) {
			s(c, m)
		}
	}
}

// AfterSignal is After with a channel, which the test closes or sends to.
func AfterSignal(signal <-chan struct{}, s Script) Script {
	return func(c *DaemonConn, m Message) {
		select {
		case <-signal:
			s(c, m)
		case <-c.Closing():
		}
	}
}
