package health

import (
	"fmt"
	"io"
	"net"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Probe is the question whether a daemon is well. It is safe for concurrent use.
type Probe struct {
	// Dialect to ask in; 0 is V502. A daemon of the other one says so.
	Dialect wire.Dialect
	// Serializer of the CONNECT. Where it is 0, or the dialect does not have it,
	// serpent is used, which daemons of both accept unless told not to.
	Serializer wire.Serializer
	Object     string // "" is Pyro.Daemon, which every daemon has
	Handshake  string // what the daemon's validateHandshake is given
	// AskServer: a daemon that is alive is asked what kind of server it is. That
	// changes nothing about its being alive.
	AskServer bool
	// Key signs the probe's messages, in V48; nil: nothing does. Whether answers are
	// signed is not looked at: a daemon that cannot sign is one that answers.
	Key wire.Key
}

// daemonObject is the object that every daemon registers itself as.
const daemonObject = "Pyro.Daemon"

// pingSeq is the sequence number of our PING: one that is not likely to come
// back by mistake.
const pingSeq = 0x5049

// Run asks the daemon at the other end of conn. It writes the CONNECT at once:
// a connection without one can freeze a daemon, so conn should have been dialled
// just now. The caller sets conn's deadline, which alone bounds the time that Run
// takes, and closes conn. Where the caller ends a probe early, by closing or by a
// deadline in the past, the result says nothing about the daemon.
func (p Probe) Run(conn net.Conn) Result {
	if p.Dialect == 0 {
		p.Dialect = wire.V502
	}
	if p.Dialect.SerializerID(p.Serializer) == 0 {
		p.Serializer = wire.Serpent
	}
	if p.Object == "" {
		p.Object = daemonObject
	}
	if _, err := conn.Write(p.Key.AppendSigned(nil, wire.AppendConnect(nil, wire.Greeting{
		Dialect: p.Dialect, Serializer: p.Serializer, Object: p.Object, Handshake: p.Handshake,
	}))); err != nil {
		return failed("writing CONNECT", err)
	}
	m, err := readAnswer(conn)
	if err != nil {
		return failed("after CONNECT", err)
	}
	r := p.judge(m)
	if r.Finding != Alive {
		return r
	}
	if err := p.ping(conn); err != nil {
		r = failed("after CONNECTOK", err)
		r.Dialect = p.Dialect
		return r
	}
	if p.AskServer && safe(p.Serializer) {
		var err error
		r.Server, err = p.askServer(conn)
		r.Answered = err == nil
	}
	return r
}

// safe reports whether calls of ours may be made in the serializer.
func safe(s wire.Serializer) bool {
	return s == wire.Serpent || s == wire.JSON || s == wire.Marshal || s == wire.Msgpack
}

// judge is what the answer to CONNECT says.
func (p Probe) judge(m answer) Result {
	r := Result{Dialect: m.head.Dialect}
	switch {
	case m.head.Type != wire.ConnectOK && m.head.Type != wire.ConnectFail:
		r.Finding, r.Err = Garbled, fmt.Errorf("after CONNECT: %w: %s", ErrAnswer, m.head.Type)
	case m.head.Dialect != p.Dialect:
		r.Finding, r.Err = OtherDialect, &DialectError{Asked: p.Dialect, Answered: m.head.Dialect}
	case m.head.Type == wire.ConnectOK:
		r.Finding = Alive
	case wire.Saturated(m.data):
		r.Finding, r.Err = Saturated, ErrSaturated
	case wire.UnknownObject(m.data):
		r.Finding, r.Err = Refused, ErrUnknownObject
	default:
		r.Finding, r.Err = Refused, ErrConnectFail
	}
	return r
}

// ping sends a PING and wants it answered.
func (p Probe) ping(conn net.Conn) error {
	if _, err := conn.Write(p.Key.AppendSigned(nil, wire.AppendPing(nil, p.Dialect, p.Serializer, pingSeq))); err != nil {
		return fmt.Errorf("writing PING: %w", err)
	}
	m, err := readAnswer(conn)
	if err != nil {
		return err
	}
	if h := m.head; h.Dialect != p.Dialect || h.Type != wire.Ping || h.Seq != pingSeq {
		return fmt.Errorf("%w to PING %d: %s %s %d", ErrAnswer, pingSeq, h.Dialect, h.Type, h.Seq)
	}
	return nil
}

const (
	// maxBody bounds an answer's annotations and data together, in bytes. A
	// CONNECTOK lists the object's methods, which seldom takes some kilobytes.
	maxBody = 1 << 20
	// kept is how much of an answer's data is kept: enough for the text of a
	// CONNECTFAIL, which is all that is looked at.
	kept = 4 << 10
)

// answer is a message without its annotations.
type answer struct {
	head wire.Head
	data []byte // at most the first kept bytes
}

// readAnswer reads one message, and not a byte more. Its errors are those of
// from, io.ErrUnexpectedEOF or io.EOF where that ends early, a *wire.HeadError
// as soon as it is no message of ours, and ErrTooLong.
func readAnswer(from io.Reader) (answer, error) {
	var buf [wire.MaxHeadLen]byte
	head := buf[:wire.PrefixLen]
	if _, err := io.ReadFull(from, head); err != nil {
		return answer{}, err
	}
	if d := wire.PrefixDialect(head); d != 0 {
		head = buf[:d.HeadLen()]
		if _, err := io.ReadFull(from, head[wire.PrefixLen:]); err != nil {
			return answer{}, err
		}
	}
	h, err := wire.ParseHead(head)
	if err != nil {
		return answer{}, err
	}
	if n := h.BodyLen(); n > maxBody {
		return answer{}, fmt.Errorf("%w: %s of %d bytes", ErrTooLong, h.Type, n)
	}
	m := answer{head: h, data: make([]byte, min(h.DataLen, kept))}
	if err := skip(from, int64(h.AnnotationsLen)); err != nil {
		return answer{}, err
	}
	if _, err := io.ReadFull(from, m.data); err != nil {
		return answer{}, err
	}
	return m, skip(from, int64(h.DataLen)-int64(len(m.data)))
}

// skip reads n bytes.
func skip(from io.Reader, n int64) error {
	_, err := io.CopyN(io.Discard, from, n)
	return err
}
