package backend

import (
	"crypto/sha256"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Handshake is what clients have in common whose CONNECTs are equal, apart from
// what changes each time: sequence number, correlation id, checksum, signature.
// Connections made with it serve any of them.
type Handshake struct {
	Dialect    wire.Dialect
	Serializer wire.Serializer
	// Signed: its messages bear an HMAC, whose key we lack. None of ours may go
	// on such a connection, and no answer can be made to fit another CONNECT.
	Signed bool

	id      [sha256.Size]byte
	connect []byte // what a connection is opened with that no client's own CONNECT opens

	// The cluster's lock is for all that follows.

	users    int // clients
	conns    int // connections
	answer   []byte
	answerID answerID
	learntAt time.Time
	fickle   bool // one daemon answers it differently each time
}

// answerID tells answers to a CONNECT apart. Endpoints with the same one offer
// the same methods, and so are one version of the object. Zero is none.
type answerID [16]byte

// Join gives the Handshake of a client whose CONNECT is message, with header h.
// Leave gives it back.
func (c *Cluster) Join(h *wire.Head, message []byte) *Handshake {
	connect, signed := wire.Canonical(h, message)
	id := sha256.Sum256(connect)
	c.lock()
	defer c.unlock()
	hs := c.handshakes[id]
	if hs == nil {
		hs = &Handshake{Dialect: h.Dialect, Serializer: h.Serializer(), Signed: signed, id: id, connect: connect}
		c.handshakes[id] = hs
	}
	hs.users++
	return hs
}

// Leave ends a client's use of h.
func (c *Cluster) Leave(h *Handshake) {
	c.lock()
	defer c.unlock()
	h.users--
	c.dropUnused(h)
}

func (c *Cluster) dropUnused(h *Handshake) {
	if h.conns == 0 {
		h.answer = nil // the daemons that gave it may be gone
		if h.users == 0 {
			delete(c.handshakes, h.id)
			for _, e := range c.members {
				delete(e.answers, h)
			}
		}
	}
}

// Greet gives the CONNECTOK that a daemon gave to an equal handshake, nil where
// none is known, or it is too old. The client of a then stays with endpoints
// that would say the same. The bytes are not to be changed.
func (c *Cluster) Greet(a *Attempt) []byte {
	h := a.Handshake
	c.lock()
	defer c.unlock()
	if h.Signed || h.fickle || h.answer == nil || time.Since(h.learntAt) > c.cfg.HandshakeTTL {
		return nil
	}
	a.group = h.answerID
	c.metrics.HandshakeHits.Inc()
	return h.answer
}

// greeted notes that e answered h. It returns what tells the answer from others.
func (c *Cluster) greeted(e *Endpoint, h *Handshake, head *wire.Head, answer []byte) answerID {
	canonical, _ := wire.Canonical(head, answer)
	sum := sha256.Sum256(canonical)
	id := answerID(sum[:len(answerID{})])
	if last, ok := e.answers[h]; ok && last != id && !h.fickle && e.serves(h, last) {
		h.fickle = true
		h.answer = nil
		c.note(func() {
			c.log.Warn("a daemon answers equal handshakes differently: they are neither cached nor told apart by version",
				zap.Stringer("endpoint", e.Address))
		})
	}
	e.answers[h] = id
	if !h.fickle {
		h.answer, h.answerID, h.learntAt = canonical, id, time.Now()
	}
	return id
}

// serves reports whether e has a live idle connection with that answer to h: if
// so, it is not a new daemon at the old address that answers differently now.
func (e *Endpoint) serves(h *Handshake, id answerID) bool {
	for _, conn := range e.idle {
		if conn.handshake == h && conn.answer == id && conn.alive() {
			return true
		}
	}
	return false
}

// groupOf is the group that a must stay in, zero where there is none.
func groupOf(a *Attempt) answerID {
	if a.Handshake == nil || a.Handshake.fickle {
		return answerID{}
	}
	return a.group
}
