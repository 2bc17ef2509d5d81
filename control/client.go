package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// ClientConfig is whom a Client calls, and how.
type ClientConfig struct {
	Network, Address string       // as in net.Dial; Network "" is "tcp"
	Dialect          wire.Dialect // 0: what the daemon turns out to speak
	// Serializer is Serpent, JSON, Marshal or Msgpack; Serpent where it is 0.
	Serializer wire.Serializer
	Object     string // the id of the object that is called
	Handshake  string // what the daemon's validateHandshake is given; "" is "hello"
	HMACKey    []byte // signs messages of V48, which then is the only dialect spoken
	// Timeout bounds dialling with the handshake, and each call, beside the context;
	// 10 s where it is not positive.
	Timeout  time.Duration
	MaxReply int64 // bytes of a reply, also decompressed; 16 MiB where it is not positive
	// Dial makes connections; that of a net.Dialer where it is nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Errors that calls and Dial wrap, beside those of the connection.
var (
	// ErrRefused: the daemon answered CONNECT with CONNECTFAIL; see RefusedError.
	ErrRefused = errors.New("the daemon refused the connection")
	// ErrReply: what came is no answer to what was sent.
	ErrReply = errors.New("wrong reply")
	// ErrClosed: the client was closed, by Close or by an earlier error.
	ErrClosed = errors.New("the client is closed")
	// ErrRequest: the call could not be made of these arguments; nothing was sent.
	ErrRequest = errors.New("the call cannot be serialized")
)

// RefusedError is a CONNECTFAIL.
type RefusedError struct {
	Dialect wire.Dialect // the daemon's
	Text    string       // what it said, cut short; "" where that cannot be read
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%v: %s", ErrRefused, e.Text) }

// Unwrap gives ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// Client makes calls to one object over one connection, one at a time. It is safe for
// concurrent use.
type Client struct {
	config ClientConfig // with the dialect
	codec  values.Codec
	limits values.Limits

	turn chan struct{} // holds a token while nobody calls
	seq  uint16        // of the last call; the turn's

	mu   sync.Mutex
	conn net.Conn // nil: closed
}

// Dialect is what the daemon speaks.
func (c *Client) Dialect() wire.Dialect { return c.config.Dialect }

// Call calls a method of the object, and waits for calls that are under way. An
// exception that it raised is a *values.Exception, and does not harm the client. After
// any other error but ErrRequest the client is closed, and the call may have run; except
// where the context ended before the call's turn came.
func (c *Client) Call(ctx context.Context, method string, args []values.Value, kwargs values.Dict) (values.Value, error) {
	return c.CallObject(ctx, c.config.Object, method, args, kwargs)
}

// CallObject is Call of another object of the same daemon, such as "Pyro.Daemon".
func (c *Client) CallObject(ctx context.Context, object, method string, args []values.Value, kwargs values.Dict) (values.Value, error) {
	data, err := c.codec.AppendCall(nil, values.Call{Object: object, Method: method, Args: args, Kwargs: kwargs})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { c.turn <- struct{}{} }()
	if err := ctx.Err(); err != nil {
		return nil, err // the select above takes either
	}
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn == nil {
		return nil, ErrClosed
	}
	result, err := c.invoke(ctx, conn, data)
	var raised *values.Exception
	if err != nil && !errors.As(err, &raised) {
		c.Close()
		return nil, fmt.Errorf("calling %s of %s: %w", method, object, err)
	}
	return result, err
}

func (c *Client) invoke(ctx context.Context, conn net.Conn, data []byte) (values.Value, error) {
	c.seq++
	h := wire.Head{
		Dialect: c.config.Dialect, Type: wire.Invoke, Seq: c.seq,
		SerializerID: c.config.Dialect.SerializerID(c.config.Serializer),
	}
	m, err := c.exchange(ctx, conn, appendMessage(nil, h, [16]byte{}, data, c.config.HMACKey))
	if err != nil {
		return nil, err
	}
	// What proxies check (_pyroInvoke).
	switch got := m.head; {
	case got.Dialect != h.Dialect || got.Type != wire.Result:
		return nil, fmt.Errorf("%w: %s %s", ErrReply, got.Dialect, got.Type)
	case got.Seq != h.Seq:
		return nil, fmt.Errorf("%w: sequence number %d, not %d", ErrReply, got.Seq, h.Seq)
	case got.SerializerID != h.SerializerID:
		return nil, fmt.Errorf("%w: serializer %d, not %d", ErrReply, got.SerializerID, h.SerializerID)
	case got.Has(wire.ItemStream):
		return nil, fmt.Errorf("%w: an item stream", ErrReply)
	}
	if err := m.verify(c.config.HMACKey); err != nil {
		return nil, err
	}
	if data, err = c.payload(&m); err != nil {
		return nil, err
	}
	v, err := c.codec.Decode(data, c.limits)
	if err != nil {
		return nil, err
	}
	if !m.head.Has(wire.Exception) {
		return v, nil
	}
	if e, ok := v.(*values.Exception); ok {
		return nil, e
	}
	return nil, fmt.Errorf("%w: a %T for an exception", ErrReply, v)
}

// exchange sends a message and reads the next one.
func (c *Client) exchange(ctx context.Context, conn net.Conn, raw []byte) (m message, err error) {
	deadline, _ := ctx.Deadline() // there is one
	if err := conn.SetDeadline(deadline); err != nil {
		return m, err
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = conn.SetDeadline(longAgo)
	})
	defer func() {
		if stop() {
			return
		}
		<-cut // or it might cut the next exchange
		if err != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}()
	if _, err := conn.Write(raw); err != nil {
		return m, err
	}
	return readMessage(conn, func(h *wire.Head) error {
		if h.BodyLen() > c.config.MaxReply {
			return fmt.Errorf("%w: %w", ErrReply, &tooLargeError{h.Dialect, h.BodyLen(), c.config.MaxReply})
		}
		return nil
	})
}

func (c *Client) payload(m *message) ([]byte, error) {
	if m.head.Has(wire.Compressed) {
		return values.Inflate(m.data, int(c.config.MaxReply))
	}
	return m.data, nil
}

// Close ends the connection, and calls that wait on it. It may be called again.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}
