package pyrotest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// What a Client's calls report, wrapped.
var (
	// ErrConnectFail: the answer to CONNECT was CONNECTFAIL.
	ErrConnectFail = errors.New("CONNECTFAIL")
	// ErrReply: an answer that a real proxy would not take: another dialect,
	// type, serializer or sequence number than that of the request.
	ErrReply = errors.New("wrong reply")
)

// Client is a Pyro client for tests, for one goroutine at a time. Make one
// with NewClient or DialClient.
type Client struct {
	*RecordedConn // Send, Write, WriteCut, CloseWrite, Reset, Received, Sent

	Dialect    wire.Dialect    // V502 where 0
	Serializer wire.Serializer // Serpent where 0
	Handshake  any             // the CONNECT's; "hello" where nil
	Seq        uint16          // of the last INVOKE
	Timeout    time.Duration   // for each message that is read; none where 0
	Source     string          // IP address that DialClient connects from; DefaultSource where ""
	Record     bool            // remember the bytes that pass
	Discard    bool            // keep no reply's payload: Message.Data is nil
}

// NewClient returns a client on conn with the fields of c.
func NewClient(conn net.Conn, c Client) *Client {
	c.RecordedConn = &RecordedConn{Conn: conn, record: c.Record}
	if c.Dialect == 0 {
		c.Dialect = wire.V502
	}
	if c.Serializer == 0 {
		c.Serializer = wire.Serpent
	}
	if c.Handshake == nil {
		c.Handshake = "hello"
	}
	return &c
}

// DialClient is NewClient on a new connection, which the test closes at its end.
func DialClient(tb testing.TB, n *Network, address string, c Client) *Client {
	tb.Helper()
	if c.Source == "" {
		c.Source = DefaultSource
	}
	conn, err := n.DialFrom(context.Background(), c.Source, address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return NewClient(conn, c)
}

// ConnectMessage is the CONNECT that Connect sends.
func (c *Client) ConnectMessage(object string) Message {
	return ConnectMessage(c.Dialect, c.Serializer, object, c.Handshake)
}

// InvokeMessage is the INVOKE that Call would send next; it takes up a
// sequence number.
func (c *Client) InvokeMessage(data []byte) Message {
	c.Seq++
	return Message{
		Head: wire.Head{
			Dialect: c.Dialect, Type: wire.Invoke, SerializerID: c.Dialect.SerializerID(c.Serializer), Seq: c.Seq,
		},
		Data: data,
	}
}

// Connect shakes hands. It gives the answer also with ErrConnectFail.
func (c *Client) Connect(object string) (Message, error) {
	m := c.ConnectMessage(object)
	if err := c.Send(m); err != nil {
		return Message{}, err
	}
	reply, err := c.Next()
	if err != nil {
		return reply, err
	}
	if reply.Head.Type == wire.ConnectFail {
		return reply, fmt.Errorf("%w: %q", ErrConnectFail, reply.Data)
	}
	return reply, checkReply(m, reply, wire.ConnectOK)
}

// Call sends an INVOKE with that payload, and returns the reply: an exception
// is no error.
func (c *Client) Call(data []byte) (Message, error) { return c.Do(c.InvokeMessage(data)) }

// Do sends a message, such as an InvokeMessage with flags and chunks added, and
// returns the reply, none to a oneway call.
func (c *Client) Do(m Message) (Message, error) {
	if err := c.Send(m); err != nil {
		return Message{}, err
	}
	if isOneway(m) {
		return Message{}, nil
	}
	return c.Await(m)
}

// Await reads the reply to m, an INVOKE or PING that was written already.
func (c *Client) Await(m Message) (Message, error) {
	reply, err := c.Next()
	if err != nil {
		return reply, err
	}
	want := wire.Result
	if m.Head.Type == wire.Ping {
		want = wire.Ping
	}
	return reply, checkReply(m, reply, want)
}

// Oneway sends a call that gets no reply.
func (c *Client) Oneway(data []byte) error {
	m := c.InvokeMessage(data)
	m.Head.Flags |= c.Dialect.Bit(wire.Oneway)
	return c.Send(m)
}

// Ping sends a PING, as both libraries do with serializer 42, and reads the
// answer.
func (c *Client) Ping() error {
	_, err := c.Do(Message{
		Head: wire.Head{Dialect: c.Dialect, Type: wire.Ping, SerializerID: 42},
		Data: []byte("ping"),
	})
	return err
}

// Next reads a message, whatever it is; errors are those of ReadMessage.
func (c *Client) Next() (Message, error) {
	if c.Timeout > 0 {
		if err := c.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
			return Message{}, err
		}
	}
	return readMessage(c, c.Discard)
}

// checkReply is what real proxies check. (They do not compare serializers in
// answers to CONNECT, and neither does a PING's matter.)
func checkReply(m, reply Message, want wire.Type) error {
	got, sent := reply.Head, m.Head
	switch {
	case got.Dialect != sent.Dialect:
		return fmt.Errorf("%w: %v, not %v", ErrReply, got.Dialect, sent.Dialect)
	case got.Type != want:
		return fmt.Errorf("%w: %v, not %v", ErrReply, got.Type, want)
	case want == wire.Result && got.Seq != sent.Seq:
		return fmt.Errorf("%w: seq %d, not %d", ErrReply, got.Seq, sent.Seq)
	case want == wire.Result && got.SerializerID != sent.SerializerID:
		return fmt.Errorf("%w: serializer %d, not %d", ErrReply, got.SerializerID, sent.SerializerID)
	}
	return nil
}
