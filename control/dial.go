package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Dial connects, and shakes hands. With a Dialect of 0 it learns which one the daemon
// speaks, which may take two connections.
func Dial(ctx context.Context, cfg ClientConfig) (*Client, error) {
	if cfg.Network == "" {
		cfg.Network = "tcp"
	}
	if cfg.Serializer == wire.UnknownSerializer {
		cfg.Serializer = wire.Serpent
	}
	if cfg.Handshake == "" {
		cfg.Handshake = hello
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.MaxReply <= 0 {
		cfg.MaxReply = 16 << 20
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.Dialect == 0 && len(cfg.HMACKey) > 0 {
		cfg.Dialect = wire.V48
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	if cfg.Dialect != 0 {
		return dial(ctx, cfg)
	}
	cfg.Dialect = wire.V502
	c, err := dial(ctx, cfg)
	if err == nil || !otherDialect(err) {
		return c, err
	}
	cfg.Dialect = wire.V48
	c, err48 := dial(ctx, cfg)
	if err48 != nil && !errors.Is(err, ErrRefused) {
		// Nothing has said that it is V48: either may be what is wrong.
		return nil, fmt.Errorf("in neither dialect: %w; before that, %w", err48, err)
	}
	return c, err48
}

// otherDialect reports whether what came of a CONNECT of V502 may be because the daemon
// speaks V48: it then says so with a CONNECTFAIL of its own, which may be lost, since it
// closes with bytes unread.
func otherDialect(err error) bool {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Dialect == wire.V48
	}
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &op) && op.Op != "dial" && !op.Timeout()
}

// dial makes a client in a known dialect.
func dial(ctx context.Context, cfg ClientConfig) (*Client, error) {
	codec, ok := values.For(cfg.Dialect, cfg.Serializer)
	if !ok {
		return nil, fmt.Errorf("no calls are made in %s of %s", cfg.Serializer, cfg.Dialect)
	}
	limits := values.DefaultLimits()
	limits.Bytes = int(cfg.MaxReply)
	// A name server's list of everything is one reply: what bounds it is its size.
	limits.Items = max(limits.Items, int(min(cfg.MaxReply/8, 1<<22)))
	conn, err := cfg.Dial(ctx, cfg.Network, cfg.Address)
	if err != nil {
		return nil, err
	}
	c := &Client{config: cfg, codec: codec, limits: limits, turn: make(chan struct{}, 1), conn: conn}
	c.turn <- struct{}{}
	if err := c.greet(ctx, conn); err != nil {
		c.Close()
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Address, err)
	}
	return c, nil
}

func (c *Client) greet(ctx context.Context, conn net.Conn) error {
	raw := wire.AppendConnect(nil, wire.Greeting{
		Dialect: c.config.Dialect, Serializer: c.config.Serializer, Object: c.config.Object, Handshake: c.config.Handshake,
	})
	m, err := c.exchange(ctx, conn, resign(raw, [16]byte{}, c.config.HMACKey))
	if err != nil {
		return err
	}
	switch {
	case m.head.Type == wire.ConnectFail:
		refused := &RefusedError{Dialect: m.head.Dialect}
		// In marshal where the daemon could not read ours.
		if codec, ok := values.For(m.head.Dialect, m.head.Serializer()); ok {
			if data, err := c.payload(&m); err == nil {
				if v, err := codec.Decode(data, c.limits); err == nil {
					refused.Text = clip(fmt.Sprint(v))
				}
			}
		}
		return refused
	case m.head.Dialect != c.config.Dialect:
		return fmt.Errorf("%w: in %s", ErrReply, m.head.Dialect)
	case m.head.Type != wire.ConnectOK:
		return fmt.Errorf("%w: %s to CONNECT", ErrReply, m.head.Type)
	}
	return m.verify(c.config.HMACKey)
}
