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

// ErrTooLate is the cause with which a search is to be cancelled whose call has no
// time left: what is wrong with the endpoint is still to be found out.
var ErrTooLate = errors.New("the call has no time left")

// made is what came of making a pooled connection.
type made struct {
	conn   *Conn // nil: it could not be dialed, and err is why
	head   wire.Head
	answer []byte // to the CONNECT
	err    error
}

// openPooled makes a pooled connection, and a lease of it. Neither a lease nor an
// error means that another endpoint should be tried.
func (c *Cluster) openPooled(ctx context.Context, a *Attempt, g grant, answerBy time.Time) (*Lease, error) {
	h, connect := a.Handshake, a.Connect
	if connect == nil {
		connect = h.connect
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	result, abandoned := make(chan made), make(chan struct{})
	go func() {
		defer cancel()
		m := c.makeConn(work, g.endpoint, h, connect, answerBy)
		select {
		case result <- m:
		case <-abandoned:
			c.belated(h, g, m)
		}
	}()
	var m made
	select {
	case m = <-result:
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), ErrTooLate) {
			c.lock()
			h.users++ // until belated is done with it
			c.unlock()
			close(abandoned)
			return nil, ctx.Err()
		}
		cancel()
		m = <-result
	}
	if err := ctx.Err(); err != nil {
		m.err = err // whatever came of it
	}
	return c.settleOpen(ctx, a, &g, m)
}

// makeConn dials e and makes the handshake.
func (c *Cluster) makeConn(ctx context.Context, e *Endpoint, h *Handshake, connect []byte, answerBy time.Time) (m made) {
	dialCtx, cancel := context.WithDeadline(ctx, answerBy)
	defer cancel()
	nc, err := c.cfg.Dialer.DialContext(dialCtx, e.Address.Network, e.Address.Addr)
	if err != nil {
		return made{err: err}
	}
	m.conn = newConn(c, e, nc, h)
	e.metrics.Connections.Inc()
	m.head, m.answer, m.err = c.exchange(ctx, m.conn, connect, answerBy)
	if m.err == nil && m.head.Dialect != h.Dialect {
		m.err = errOtherDialect
	}
	return m
}

// belated accounts for a connection whose search was given up for want of time: the
// endpoint is judged by it all the same, and others may use it.
func (c *Cluster) belated(h *Handshake, g grant, m made) {
	defer c.Leave(h)
	a := &Attempt{Dialect: h.Dialect, Handshake: h}
	if l, _ := c.settleOpen(context.Background(), a, &g, m); l != nil {
		l.Done(Served)
	}
}

// settleOpen makes a lease of m, or accounts for what went wrong.
func (c *Cluster) settleOpen(ctx context.Context, a *Attempt, g *grant, m made) (*Lease, error) {
	h, conn := a.Handshake, m.conn
	switch {
	case conn == nil && ctx.Err() != nil:
		g.evicted = nil // it is closed
		c.takeBack(*g)
		return nil, ctx.Err()
	case conn == nil:
		c.dialFailed(a, g, m.err)
		return nil, nil
	case m.err == nil && m.head.Type == wire.ConnectOK:
		return c.welcomed(a, g, conn, &m.head, m.answer), nil
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
	if m.head.Dialect != 0 {
		e.learn(m.head.Dialect)
	}
	switch {
	case m.err != nil:
		c.unanswered(a, g, m.err)
		return nil, nil
	case wire.Saturated(m.answer):
		c.filled(e, g.evicted != nil)
		c.endSlot(e, g.verdict, errExcluded)
		return nil, nil
	}
	c.endSlot(e, g.verdict, nil)
	h.uncache() // what was good before may not be any more
	return nil, &RefusedError{Endpoint: e, Answer: m.answer}
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
