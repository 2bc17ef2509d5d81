package health

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Finding is what a probe found out.
type Finding uint8

// The findings.
const (
	// Alive: the daemon accepted the CONNECT and answered a PING.
	Alive Finding = iota + 1
	// Saturated: the daemon has no thread left for us. It is well, and busy.
	Saturated
	// Refused: any other CONNECTFAIL. The daemon is there, but would not have
	// the handshake, or has no such object.
	Refused
	// OtherDialect: it answered in the protocol that it was not asked in.
	OtherDialect
	// Unanswered: no whole answer until the connection's deadline.
	Unanswered
	// Closed: the connection ended or broke before a whole answer was here.
	Closed
	// Garbled: the answer is none that a Pyro daemon gives.
	Garbled
)

// String is the finding in lower case, for logs.
func (f Finding) String() string {
	switch f {
	case Alive:
		return "alive"
	case Saturated:
		return "saturated"
	case Refused:
		return "refused"
	case OtherDialect:
		return "other dialect"
	case Unanswered:
		return "unanswered"
	case Closed:
		return "closed"
	case Garbled:
		return "garbled"
	}
	return fmt.Sprintf("finding %d", uint8(f))
}

// Verdict is what the finding says about the endpoint. busy tells that it may
// have been too busy to answer: a multiplexing daemon answers nobody while it
// runs a call. asked tells that the probe named an object, or a handshake, that
// the operator chose: refusing that is being down, while a daemon that refuses
// what it was asked by default is well enough to do so.
//
// Neutral says nothing either way. So does an answer in the other dialect: the
// endpoint should be asked again in that.
func (f Finding) Verdict(busy, asked bool) Verdict {
	switch {
	case f == Alive, f == Refused && !asked:
		return Up
	case f == Saturated, f == OtherDialect, f == Unanswered && busy:
		return Neutral
	}
	return Down
}

// Errors for which there is nothing more to say. Result.Err wraps them.
var (
	// ErrConnectFail: the daemon answered CONNECT with CONNECTFAIL.
	ErrConnectFail = errors.New("CONNECT was refused")
	// ErrSaturated is the ErrConnectFail of a daemon without free threads.
	ErrSaturated = fmt.Errorf("%w: no free workers", ErrConnectFail)
	// ErrAnswer: a message that is no answer to what was sent.
	ErrAnswer = errors.New("not an answer")
	// ErrTooLong: an answer that is longer than any to a probe should be.
	ErrTooLong = errors.New("the answer is too long")
)

// DialectError is an answer in another dialect than the probe's.
type DialectError struct{ Asked, Answered wire.Dialect }

func (e *DialectError) Error() string {
	return fmt.Sprintf("asked in %s, answered in %s", e.Asked, e.Answered)
}

// Result is the outcome of a probe.
type Result struct {
	Finding Finding
	// Dialect is that of the answer to CONNECT, 0 where there was none.
	Dialect wire.Dialect
	// Err says why the daemon was not found alive, nil where it was.
	Err error
}

// Probe is the question whether a daemon is well. It is safe for concurrent use.
type Probe struct {
	Dialect wire.Dialect // to ask in; must not be 0
	// Serializer of the CONNECT. Serpent, which every daemon accepts unless told
	// not to, where it is unknown or the dialect does not have it.
	Serializer wire.Serializer
	Object     string // "" is Pyro.Daemon, which every daemon has
	Handshake  string // what the daemon's validateHandshake is given
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
	by, object := p.Serializer, p.Object
	if p.Dialect.SerializerID(by) == 0 {
		by = wire.Serpent
	}
	if object == "" {
		object = daemonObject
	}
	connect := wire.AppendConnect(nil, wire.Greeting{
		Dialect: p.Dialect, Serializer: by, Object: object, Handshake: p.Handshake,
	})
	if _, err := conn.Write(connect); err != nil {
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
	if err := p.ping(conn, by); err != nil {
		r = failed("after CONNECTOK", err)
		r.Dialect = p.Dialect
	}
	return r
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
	default:
		r.Finding, r.Err = Refused, ErrConnectFail
	}
	return r
}

// ping sends a PING and wants it answered.
func (p Probe) ping(conn net.Conn, by wire.Serializer) error {
	if _, err := conn.Write(wire.AppendPing(nil, p.Dialect, by, pingSeq)); err != nil {
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

// failed is the result where no answer could be read.
func failed(when string, err error) Result {
	r := Result{Finding: Closed, Err: fmt.Errorf("%s: %w", when, err)}
	var head *wire.HeadError
	var timeout net.Error
	switch {
	case errors.As(err, &head), errors.Is(err, ErrTooLong), errors.Is(err, ErrAnswer):
		r.Finding = Garbled
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		r.Finding = Unanswered
	}
	return r
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
