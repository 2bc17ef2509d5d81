package handshake

import (
	"bytes"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Python2 reports whether the payload of a CONNECT was written by Python 2, as far
// as can be told: it lacks some exceptions that Python 3 has. It writes the keys as
// byte strings. JSON does not show it.
func Python2(f wire.Serializer, compressed bool, payload []byte, lim Limits) bool {
	if !compressed {
		return python2(f, payload)
	}
	is, err := inflated(payload, lim.orDefaults().Inflated, func(data []byte) (bool, error) { return python2(f, data), nil })
	return err == nil && is
}

func python2(f wire.Serializer, b []byte) bool {
	switch f {
	case wire.Serpent: // its first line names the oldest Python that can read it
		return bytes.HasPrefix(b, []byte("# serpent utf-8 python2"))
	case wire.Pickle, wire.Dill, wire.Cloudpickle: // the key as a byte string: SHORT_BINSTRING
		return bytes.HasPrefix(b, []byte("\x80\x02")) && bytes.Contains(b, []byte("U\x06object"))
	case wire.Marshal: // of a dict the first key, which is a byte string
		return len(b) > 1 && b[0]&0x7f == '{' && (b[1] == 't' || b[1] == 's')
	case wire.Msgpack: // likewise: fixmap, bin 8
		return len(b) > 1 && b[0]&0xf0 == 0x80 && b[1] == 0xc4
	}
	return false
}
