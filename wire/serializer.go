package wire

import "fmt"

// Serializer is a payload format, independent of the dialect's number for it.
type Serializer uint8

// The serializers. V502 has only Serpent, JSON, Marshal and Msgpack.
const (
	UnknownSerializer Serializer = iota
	Serpent
	JSON
	Marshal
	Pickle
	Dill
	Msgpack
	Cloudpickle
	numSerializers
)

var serializerNames = [numSerializers]string{
	"unknown", "serpent", "json", "marshal", "pickle", "dill", "msgpack", "cloudpickle",
}

// String is the name that Pyro's SERIALIZER setting uses.
func (s Serializer) String() string {
	if s < numSerializers {
		return serializerNames[s]
	}
	return fmt.Sprintf("serializer %d", uint8(s))
}

// SerializerByName is the inverse of String; UnknownSerializer for other names.
func SerializerByName(name string) Serializer {
	for s := Serpent; s < numSerializers; s++ {
		if serializerNames[s] == name {
			return s
		}
	}
	return UnknownSerializer
}

// The numbers on the wire: Pyro4/util.py and Pyro5/serializers.py.
var (
	serializerIDs48  = [numSerializers]uint16{Serpent: 1, JSON: 2, Marshal: 3, Pickle: 4, Dill: 5, Msgpack: 6, Cloudpickle: 7}
	serializerIDs502 = [numSerializers]uint16{Serpent: 1, Marshal: 2, JSON: 3, Msgpack: 4}
)

// SerializerID is the dialect's number for s, 0 where the dialect lacks it.
func (d Dialect) SerializerID(s Serializer) uint16 {
	if d == V48 {
		return serializerIDs48[s]
	}
	return serializerIDs502[s]
}

// Serializer is the format of the message's payload, UnknownSerializer for a
// number that the dialect does not define (older clients' PINGs carry 42).
func (h *Head) Serializer() Serializer {
	ids := &serializerIDs502
	if h.Dialect == V48 {
		ids = &serializerIDs48
	}
	for s := Serpent; s < numSerializers; s++ {
		if ids[s] == h.SerializerID && ids[s] != 0 {
			return s
		}
	}
	return UnknownSerializer
}
