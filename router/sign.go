package router

import (
	"errors"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Signatures: clients of Pyro4 and their daemons may share a key that they sign every
// message with. What passes through stays as it came, whoever has the key. Where we have
// it too, we can make and change messages for such a client, as long as its own bear a
// signature that is right: nothing that is not gets one of ours.

var (
	// ErrSignature: a message bears no signature, or a wrong one, and has to be changed or
	// answered.
	ErrSignature = errors.New("message hmac mismatch")
	// ErrUnsigned: the call is not signed, and is for daemons whose calls must be.
	ErrUnsigned = errors.New("only signed calls go there")
)

// prove looks for the key that the client has signed its CONNECT with, which has header h.
func (s *Session) prove(h *wire.Head, key wire.Key) {
	if s.signing == nil && key.Signed(h, s.greeting.message) {
		s.signing = &key
	}
}

// key is what the client signs with, and messages of ours for it are signed with; nil:
// it does not, or the key is not known.
func (s *Session) key() wire.Key {
	if s.signing == nil {
		return nil
	}
	return *s.signing
}

// signed gives a message of ours for the client its signature, where it needs one.
func (s *Session) signed(message []byte) []byte {
	if s.signing == nil {
		return message
	}
	return s.key().AppendSigned(nil, message)
}

// verify finds out whether c, with header h, is what it seems to be: b begins with it, but
// it need not be whole. signed: it bears a signature.
func (s *Session) verify(h *wire.Head, b []byte, signed bool, c *call) {
	switch key := s.key(); {
	case key == nil:
		c.sealed = signed
	case signed && int64(len(b)) < h.Len():
		c.sealed, c.unproven = true, true
	default:
		c.proven = key.Signed(h, b)
		c.sealed = !c.proven
	}
}

// verifyWhole does so when all of the client's next request is there, in a file where k is
// not nil.
func (s *Session) verifyWhole(h *wire.Head, message []byte, k *spill) error {
	c := &s.next
	if !c.unproven {
		return nil
	}
	c.unproven = false
	if k != nil {
		annotations, _ := split(h, message)
		c.proven = k.proof != nil && k.proof.Signs(annotations)
	} else {
		c.proven = s.key().Signed(h, message)
	}
	if !c.proven {
		return ErrSignature
	}
	c.sealed = false
	return nil
}

// digest is what a message with that data is signed by, nil where there is no key.
func digest(key wire.Key, data []byte) *wire.Digest {
	if len(key) == 0 {
		return nil
	}
	d := key.Digest()
	d.Write(data)
	return d
}

// sealOf is what signs the messages of d's legs, nil where nothing does. The call is message,
// or in a file where k is not nil.
func sealOf(d *Delivery, message []byte, k *spill) *wire.Digest {
	switch {
	case !d.call.proven:
		return nil
	case k != nil:
		return k.seal
	}
	_, data := split(&d.head, message)
	return digest(d.keyed(), data)
}

// demands reports whether the client's messages must be signed for us to answer or
// dispatch them: it came through a listener with a key. (Pyro5 has no signatures.)
func (s *Session) demands() bool { return len(s.env.Key) > 0 && s.dialect == wire.V48 }

// keyed is the key of the daemons that the call goes to, nil where there is none to look
// for.
func (d *Delivery) keyed() wire.Key {
	if d.head.Dialect != wire.V48 {
		return nil
	}
	return d.route.Cluster.Key()
}

// Genuine reports whether a whole reply with header h is the daemon's, as far as that can
// be told. Without a key it cannot.
func (d *Delivery) Genuine(h *wire.Head, reply []byte) bool {
	key := d.keyed()
	return len(key) == 0 || key.Signed(h, reply)
}
