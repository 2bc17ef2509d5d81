package wire

import "encoding/binary"

// Invocation is a call of our own, without arguments.
type Invocation struct {
	Dialect Dialect
	// Serializer is one of the safe ones: Serpent, JSON, Marshal or Msgpack.
	Serializer     Serializer
	Seq            uint16
	Object, Method string
}

// AppendInvoke appends the INVOKE message to dst, as the libraries' proxies write it
// (dumpsCall): the object, the method, no arguments and no keywords.
func AppendInvoke(dst []byte, i Invocation) []byte {
	data := appendCall(nil, i)
	dst = AppendHead(dst, Head{
		Dialect:      i.Dialect,
		Type:         Invoke,
		SerializerID: i.Dialect.SerializerID(i.Serializer),
		Seq:          i.Seq,
		DataLen:      uint32(len(data)),
	})
	return append(dst, data...)
}

func appendCall(dst []byte, i Invocation) []byte {
	s := i.Serializer
	text := func(t string) { dst = appendText(dst, s, t) }
	dst = append(dst, prologue(s)...)
	switch s {
	case JSON:
		for _, part := range [][2]string{{"{", "object"}, {":", i.Object}, {",", "method"}, {":", i.Method}} {
			dst = append(dst, part[0]...)
			text(part[1])
		}
		return append(dst, `,"params":[],"kwargs":{}}`...)
	case Msgpack:
		dst = append(dst, 0x94) // fixarray of 4
		text(i.Object)
		text(i.Method)
		return append(dst, 0x90, 0x80) // fixarray and fixmap of 0
	case Marshal:
		dst = append(dst, '(')
		dst = binary.LittleEndian.AppendUint32(dst, 4)
		text(i.Object)
		text(i.Method)
		dst = append(dst, '(')
		dst = binary.LittleEndian.AppendUint32(dst, 0)
		return append(dst, "{0"...)
	}
	dst = append(dst, '(')
	text(i.Object)
	dst = append(dst, ',')
	text(i.Method)
	return append(dst, ",(),{})"...)
}
