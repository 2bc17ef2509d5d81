package control

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/handshake"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// The texts of CONNECTFAIL are the libraries' where these have one: Daemon._handshake
// and what it calls in Pyro4/core.py and Pyro5/server.py, and svr_threads.
const (
	textUnknownObject = "unknown object"
	textFull          = "no free workers, increase server threadpool size"
	textNoObject      = "the handshake names no object"
	textUnreadable    = "the handshake cannot be read"
)

// hello is what a daemon's validateHandshake returns unless it was told otherwise.
const hello = "hello"

// greet reads the CONNECT within HandshakeTimeout and answers it. It is true where calls
// may follow.
func (c *conn) greet(full bool) bool {
	d := c.daemon
	if !c.wait(d.HandshakeTimeout) {
		return false
	}
	m, err := readMessage(c.in, func(h *wire.Head) error {
		if n := h.BodyLen(); n > d.Limits.Handshake || int64(h.AnnotationsLen) > d.Limits.Annotations {
			return &tooLargeError{h.Dialect, n, d.Limits.Handshake}
		}
		if h.Type != wire.Connect {
			return &typeError{h.Type}
		}
		return nil
	})
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	if err == nil {
		err = m.verify(d.HMACKey)
	}
	if err != nil {
		return c.misread(&m, err)
	}
	c.dialect = m.head.Dialect
	refuse := func(s wire.Serializer, text string) bool { return c.refuse(&m, s, m.head.Seq, text) }
	if m.head.Dialect == wire.V502 && len(d.HMACKey) > 0 && !d.Unsigned502 {
		return refuse(wire.Marshal, errAsymmetric.Error())
	}
	if full {
		return refuse(wire.Marshal, textFull)
	}
	serializer := m.head.Serializer()
	codec, ok := values.For(m.head.Dialect, serializer)
	if !ok {
		// The pickle family, among others. Pyro5 closes without a word where it does not
		// know the number; this is what its older sibling says.
		return refuse(wire.Marshal, notAccepted(&m.head))
	}
	id, err := handshake.Object(serializer, m.head.Has(wire.Compressed), m.data, handshake.Limits{})
	// Pyro4 with METADATA off names no object, and is told nothing of any.
	meta := m.head.Dialect == wire.V502 || m.head.Has(wire.MetaOnConnect)
	var answer values.Value = hello
	switch {
	case errors.Is(err, handshake.ErrNoObject) && !meta:
	case errors.Is(err, handshake.ErrNoObject):
		return refuse(serializer, textNoObject)
	case err != nil:
		c.log("cannot read a handshake", err, correlated(m.marks.Correlation))
		return refuse(serializer, textUnreadable)
	case meta:
		object, ok := d.object(id)
		if !ok {
			return refuse(serializer, textUnknownObject)
		}
		// Pyro4 asks its daemon for the metadata "as_lists" here.
		answer = values.Dict{
			{Key: "handshake", Value: hello},
			{Key: "meta", Value: metadata(membersOf(object, m.head.Dialect), m.head.Dialect == wire.V48)},
		}
	}
	data, err := codec.Append(nil, answer)
	if err != nil {
		c.log("cannot write a handshake", err, correlated(m.marks.Correlation))
		return refuse(serializer, "internal error")
	}
	return c.send(appendMessage(nil, wire.Head{
		Dialect: m.head.Dialect, Type: wire.ConnectOK, SerializerID: m.head.SerializerID, Seq: m.head.Seq,
		Flags: m.head.Flags & m.head.Dialect.Bit(wire.MetaOnConnect),
	}, correlation(&m), data, d.HMACKey))
}

// misread answers what is no CONNECT, as far as the libraries answer that. The
// sequence number is 0 and the serializer marshal, since a daemon has not come to
// know those of the request (Daemon._handshake).
func (c *conn) misread(m *message, err error) bool {
	var head *wire.HeadError
	var size *tooLargeError
	var kind *typeError
	text := err.Error()
	switch {
	case errors.As(err, &head):
		m.head.Dialect = c.daemon.DefaultDialect
		if d := wire.Dialect(head.Version); head.Version != 0 && (d == wire.V48 || d == wire.V502) {
			m.head.Dialect = d
		}
		text = headText(m.head.Dialect, head)
	case errors.As(err, &kind) && m.head.Dialect == wire.V502:
		text += " (expected: 1)"
	case errors.As(err, &size), errors.As(err, &kind), errors.Is(err, wire.ErrAnnotations),
		errors.Is(err, errAsymmetric), errors.Is(err, errMismatch):
	default: // the connection's end
		c.log("no handshake", err)
		return false
	}
	return c.refuse(m, wire.Marshal, 0, text)
}

// headText is how the libraries call a bad header (Pyro4/message.py, from_header;
// Pyro5/protocol.py, ReceivingMessage).
func headText(d wire.Dialect, err *wire.HeadError) string {
	switch {
	case errors.Is(err, wire.ErrNegativeLength):
		return "negative data length"
	case errors.Is(err, wire.ErrCheck) && d == wire.V48:
		return "header checksum mismatch"
	case d == wire.V48:
		return "invalid data or unsupported protocol version"
	case errors.Is(err, wire.ErrNotPyro):
		return "invalid data"
	case errors.Is(err, wire.ErrVersion):
		return fmt.Sprintf("invalid protocol version: %d", err.Version)
	}
	return "invalid message or protocol version"
}

func notAccepted(h *wire.Head) string {
	return fmt.Sprintf("message used serializer that is not accepted: %d", h.SerializerID)
}

// refuse sends a CONNECTFAIL and ends the connection. It is always false.
func (c *conn) refuse(m *message, s wire.Serializer, seq uint16, text string) bool {
	c.daemon.Log.Info("refused a connection", zap.String("listener", c.listener), zap.Stringer("peer", c.RemoteAddr()),
		zap.Stringer("dialect", m.head.Dialect), zap.String("reason", text), correlated(m.marks.Correlation))
	raw := wire.AppendConnectFail(nil, wire.Refusal{Dialect: m.head.Dialect, Serializer: s, Seq: seq, Text: text})
	if c.send(resign(raw, m.marks.Correlation, c.daemon.HMACKey)) {
		c.linger()
	}
	return false
}

// correlation is the message's id, or a new one: daemons make one where there is none.
func correlation(m *message) [16]byte {
	if m.marks.HasCorrelation {
		return m.marks.Correlation
	}
	return uuid.New()
}

// metadata is what get_metadata answers: sets, or lists where those are asked for.
func metadata(m Members, lists bool) values.Dict {
	names := func(names []string) values.Value {
		all := make([]values.Value, len(names))
		for i, n := range names {
			all[i] = n
		}
		if lists {
			return values.List(all)
		}
		return values.Set(all)
	}
	return values.Dict{
		{Key: "methods", Value: names(m.Methods)},
		{Key: "oneway", Value: names(m.Oneway)},
		{Key: "attrs", Value: names(m.Attrs)},
	}
}
