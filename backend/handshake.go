package backend

import (
	"crypto/sha256"
	"math/rand/v2"
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
	// Key is what its messages are signed with, where we have it; nil: they are not, or
	// we have not.
	Key wire.Key

	id      [sha256.Size]byte
	connect []byte // what a connection is opened with that no client's own CONNECT opens

	// The cluster's lock is for all that follows.

	users  int // clients
	conns  int // connections
	said   map[*Endpoint]said
	fickle bool // one daemon answers it differently each time
}

// said is what an endpoint answered last. Where it may have become another daemon
// since, that means nothing.
type said struct {
	version *version
	life    int
}

// version is what endpoints have in common that give the same answer.
type version struct {
	id       answerID
	answer   []byte // nil: not to be given to clients
	learntAt time.Time
}

// Join gives the Handshake of a client whose CONNECT is message, with header h.
// Leave gives it back.
func (c *Cluster) Join(h *wire.Head, message []byte) *Handshake {
	connect, signed := wire.Canonical(h, message, c.cfg.Key)
	var key wire.Key
	if c.cfg.Key.Signed(h, message) {
		key = c.cfg.Key
		connect = key.AppendSigned(nil, connect) // so it is not that of a client without the key
	}
	id := sha256.Sum256(connect)
	c.lock()
	defer c.unlock()
	hs := c.handshakes[id]
	if hs == nil {
		hs = &Handshake{
			Dialect: h.Dialect, Serializer: h.Serializer(), Signed: signed, Key: key,
			id: id, connect: connect, said: make(map[*Endpoint]said),
		}
		c.handshakes[id] = hs
	}
	hs.users++
	return hs
}

// Ping is a PING of ours, with sequence number seq, for connections made with h.
func (h *Handshake) Ping(seq uint16) []byte {
	ping := wire.AppendPing(nil, h.Dialect, h.Serializer, seq)
	if h.Key != nil {
		ping = h.Key.AppendSigned(nil, ping)
	}
	return ping
}

// Leave ends a client's use of h.
func (c *Cluster) Leave(h *Handshake) {
	c.lock()
	defer c.unlock()
	h.users--
	c.dropUnused(h)
}

func (c *Cluster) dropUnused(h *Handshake) {
	if h.conns > 0 {
		return
	}
	h.uncache() // the daemons that answered may be gone
	if h.users == 0 && c.handshakes[h.id] == h {
		delete(c.handshakes, h.id)
	}
}

// Greet gives the CONNECTOK that a daemon gave to an equal handshake, nil where
// none is known, or it is too old. The client of a then stays with endpoints
// that would say the same. The bytes are not to be changed.
func (c *Cluster) Greet(a *Attempt) []byte {
	h := a.Handshake
	c.lock()
	defer c.unlock()
	if h.Signed || h.fickle {
		return nil
	}
	// Any endpoint's will do, but not always the same one's: clients are to
	// spread over the versions that there are.
	now := time.Now()
	var found *version
	well, candidates := false, 0
	for e := range h.said {
		v := h.versionOf(e)
		if v == nil || v.answer == nil || e.gone || e.drained || c.cfg.HandshakeTTL > 0 && now.Sub(v.learntAt) > c.cfg.HandshakeTTL {
			continue
		}
		switch {
		case e.well(now) && !well:
			well, candidates = true, 0
		case well && !e.well(now):
			continue
		}
		if candidates++; rand.IntN(candidates) == 0 {
			found = v
		}
	}
	if found == nil {
		return nil
	}
	a.group = found.id
	c.metrics.HandshakeHits.Inc()
	return found.answer
}

// greeted notes that e answered h. It returns what tells the answer from others.
func (c *Cluster) greeted(e *Endpoint, h *Handshake, head *wire.Head, answer []byte) answerID {
	id := identify(head, answer)
	if last := h.versionOf(e); last != nil && last.id != id && !h.fickle && e.serves(h, last.id) {
		h.fickle = true
		h.uncache()
		c.note(func() {
			c.log.Warn("a daemon answers equal handshakes differently: they are neither cached nor told apart by version",
				zap.Stringer("endpoint", e.Address))
		})
	}
	v := h.version(id)
	h.said[e] = said{v, e.lives}
	switch {
	case h.fickle:
	case h.Key != nil && !h.Key.Signed(head, answer):
		v.answer = nil // what is given to others is signed by us, so it has to be the daemon's word
	default:
		v.answer, _ = wire.Canonical(head, answer, h.Key)
		v.learntAt = time.Now()
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

// version gives the version with that answer, a new one where there is none.
func (h *Handshake) version(id answerID) *version {
	for _, s := range h.said {
		if s.version.id == id {
			return s.version
		}
	}
	return &version{id: id}
}

// versionOf gives e's version, nil where it is not known.
func (h *Handshake) versionOf(e *Endpoint) *version {
	if s, ok := h.said[e]; ok && s.life == e.lives {
		return s.version
	}
	return nil
}

// uncache keeps clients from being given the answers that are known.
func (h *Handshake) uncache() {
	for _, s := range h.said {
		s.version.answer = nil
	}
}

// groupOf is the group that a must stay in, zero where there is none.
func groupOf(a *Attempt) answerID {
	if a.Handshake == nil || a.Handshake.fickle {
		return answerID{}
	}
	return a.group
}
