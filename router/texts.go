package router

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/handshake"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// The texts of refusals. Where a Pyro daemon would refuse the same, the text is
// the daemon's (Pyro4/message.py, Pyro5/protocol.py).

// rejectHead refuses a client whose first bytes are not a header we know.
func (s *Session) rejectHead(now time.Duration, err error) {
	f := refusal{dialect: s.env.DefaultDialect}
	var he *wire.HeadError
	if errors.As(err, &he) && !errors.Is(err, wire.ErrNotPyro) {
		f.dialect = wire.V48
		if he.Version >= 500 {
			f.dialect = wire.V502
		}
	}
	switch {
	case f.dialect == wire.V48 && errors.Is(err, wire.ErrCheck):
		f.text = "header checksum mismatch"
	case f.dialect == wire.V48 && errors.Is(err, wire.ErrNegativeLength):
		f.text = "negative message size"
	case f.dialect == wire.V48:
		f.text = "invalid data or unsupported protocol version"
	case errors.Is(err, wire.ErrVersion):
		f.text = "invalid protocol version: " + strconv.Itoa(int(he.Version))
	case errors.Is(err, wire.ErrCheck):
		f.text = "invalid message or protocol version"
	default:
		f.text = "invalid data"
	}
	s.blame(err)
	s.reject(now, headReason(err), f)
}

func headReason(err error) Reason {
	switch {
	case errors.Is(err, wire.ErrNotPyro):
		return ReasonNotPyro
	case errors.Is(err, wire.ErrVersion):
		return ReasonVersion
	case errors.Is(err, wire.ErrNegativeLength):
		return ReasonNegativeLength
	}
	return ReasonCheck
}

func wrongTypeText(h *wire.Head) string {
	if h.Dialect == wire.V48 {
		return fmt.Sprintf("invalid msg type %d received", h.Type)
	}
	return fmt.Sprintf("invalid msg type %d received (expected: %d)", h.Type, wire.Connect)
}

func tooLargeText(h *wire.Head, limit int64) string {
	if h.Dialect == wire.V48 {
		return fmt.Sprintf("max message size exceeded (%d where max=%d)", h.BodyLen(), limit)
	}
	return fmt.Sprintf("message too large (%d, max=%d)", h.BodyLen(), limit)
}

func noRouteText(q *Request) string {
	object := "an object id that could not be read"
	if q.ObjectKnown {
		object = "object " + strconv.QuoteToASCII(clip(q.Object))
	}
	return fmt.Sprintf("pyro-dispatch: no route for %s on listener %s", object, q.Listener)
}

// clip keeps a client's own words short where we repeat them.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// connectObject reads the object id out of the CONNECT's payload. A CONNECT
// that cannot be read is for the daemon to judge, not for us.
func connectObject(h *wire.Head, payload []byte) (id string, ok bool) {
	id, err := handshake.Object(h.Serializer(), h.Has(wire.Compressed), payload, handshake.DefaultLimits())
	return id, err == nil
}
