package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// greet makes the handshake on a new connection that is to be pooled, and a lease
// of it. Neither a lease nor an error means that another endpoint should be
// tried.
func (c *Cluster) greet(ctx context.Context, a *Attempt, g *grant, conn *Conn, answerBy time.Time) (*Lease, error) {
	h := a.Handshake
	connect := a.Connect
	if connect == nil {
		connect = h.connect
	}
	head, answer, err := c.exchange(ctx, conn, connect, answerBy)
	if err == nil && head.Dialect != h.Dialect {
		err = errOtherDialect
	}
	if err == nil && head.Type == wire.ConnectOK {
		return c.welcomed(a, g, conn, &head, answer), nil
	}

	c.lock()
	defer c.unlock()
	e := g.endpoint
	c.note(func() { conn.Close() })
	e.metrics.Connections.Dec()
	e.conns--
	g.opened()
	defer func() {
		c.forgetGone(e)
		c.freed(e)
	}()
	if ctx.Err() != nil {
		c.endSlot(e, g.verdict, errExcluded)
		return nil, ctx.Err()
	}
	if head.Dialect != 0 {
		e.learn(head.Dialect)
	}
	switch {
	case err != nil:
		c.unanswered(a, g, err)
		return nil, nil
	case wire.Saturated(answer):
		c.filled(e, g.evicted != nil)
		c.endSlot(e, g.verdict, errExcluded)
		return nil, nil
	}
	c.endSlot(e, g.verdict, nil)
	h.uncache() // what was good before may not be any more
	return nil, &RefusedError{Endpoint: e, Answer: answer}
}

// unanswered accounts for an endpoint that did not answer as Pyro does.
func (c *Cluster) unanswered(a *Attempt, g *grant, err error) {
	e := g.endpoint
	a.try(e)
	a.fail(e, err)
	failure := err
	switch {
	case errors.Is(err, errOtherDialect):
		e.metrics.ConnectFailed(metrics.ConnectOtherDialect)
		failure = errExcluded
	case errors.Is(err, errUnanswered):
		e.metrics.ConnectFailed(metrics.ConnectUnanswered)
	case errors.Is(err, errGarbled):
		e.metrics.ConnectFailed(metrics.ConnectGarbled)
	default:
		e.forget()
		e.metrics.ConnectFailed(metrics.ConnectClosed)
	}
	c.endSlot(e, g.verdict, failure)
}

// welcomed makes a lease of a connection whose handshake is done. It returns nil
// where the endpoint turns out to be of another version than a's client knows:
// the connection is then for others.
func (c *Cluster) welcomed(a *Attempt, g *grant, conn *Conn, head *wire.Head, answer []byte) *Lease {
	if c.cfg.Adopt != nil {
		c.cfg.Adopt(conn)
	}
	c.lock()
	defer c.unlock()
	e, h := g.endpoint, a.Handshake
	e.learn(h.Dialect)
	c.wonder(e)
	g.opened()
	c.hadRoom(e, g)
	h.conns++
	conn.answer = c.greeted(e, h, head, answer)
	conn.since = time.Now()
	if age := c.cfg.MaxAge; age > 0 {
		// Connections that were opened together should not all be replaced together.
		conn.retire = conn.since.Add(age - time.Duration(rand.Int64N(int64(age)/10+1)))
	}
	g.conn = conn
	if a.Connect != nil {
		a.group = conn.answer
	} else if group := groupOf(a); group != (answerID{}) && group != conn.answer {
		c.endSlot(e, g.verdict, nil)
		c.rest(conn)
		return nil
	}
	l := c.newLease(*g, a)
	if a.Connect != nil {
		l.Answer = answer
	}
	return l
}

// exchange sends a CONNECT and reads the answer to it, exactly.
func (c *Cluster) exchange(ctx context.Context, conn *Conn, connect []byte, by time.Time) (head wire.Head, answer []byte, err error) {
	conn.SetDeadline(by)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() { // the deadline will pass, or has: the connection is of no more use
			err = ctx.Err()
			return
		}
		conn.SetDeadline(time.Time{})
	}()
	if _, err := conn.Write(connect); err != nil {
		return head, nil, exchangeError(err)
	}
	head, answer, err = readMessage(conn, c.cfg.MaxAnswer)
	if err != nil {
		return head, nil, exchangeError(err)
	}
	if head.Type != wire.ConnectOK && head.Type != wire.ConnectFail {
		return head, nil, fmt.Errorf("%w: %s", errGarbled, head.Type)
	}
	return head, answer, nil
}

// readMessage reads one message and not a byte more. The head is given, if it
// was read, even with an error. most bounds the message, 0 does not.
func readMessage(r io.Reader, most int64) (wire.Head, []byte, error) {
	b := make([]byte, wire.PrefixLen, wire.MaxHeadLen)
	if _, err := io.ReadFull(r, b); err != nil {
		return wire.Head{}, nil, err
	}
	if d := wire.PrefixDialect(b); d != 0 {
		b = b[:d.HeadLen()]
		if _, err := io.ReadFull(r, b[wire.PrefixLen:]); err != nil {
			return wire.Head{}, nil, err
		}
	}
	head, err := wire.ParseHead(b)
	switch {
	case err != nil:
		return wire.Head{}, nil, fmt.Errorf("%w: %w", errGarbled, err)
	case most > 0 && head.Len() > most:
		return head, nil, fmt.Errorf("%w: %d bytes", errGarbled, head.Len())
	}
	// Memory is taken as bytes come: a header may lie.
	message := bytes.NewBuffer(make([]byte, 0, min(head.Len(), 4<<10)))
	message.Write(b)
	_, err = io.CopyN(message, r, head.BodyLen())
	return head, message.Bytes(), err
}

// exchangeError tells apart why there was no answer.
func exchangeError(err error) error {
	switch {
	case errors.Is(err, errGarbled):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errUnanswered
	}
	return errBroken
}

// dialReason tells apart why a dial failed. A Unix socket whose file is missing
// is as closed as a TCP port where nobody listens.
func dialReason(err error) metrics.ConnectFailure {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return metrics.ConnectRefused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return metrics.ConnectTimeout
	case errors.Is(err, syscall.ECONNRESET): // accepted, and closed before we could look
		return metrics.ConnectClosed
	}
	return metrics.ConnectError
}
