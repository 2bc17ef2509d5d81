package wire

// Greeting is a CONNECT of our own: that of a health check, for example.
type Greeting struct {
	Dialect Dialect
	// Serializer must be one that the dialect has.
	Serializer Serializer
	Object     string // the id of the object asked for
	Handshake  string // what the daemon's validateHandshake is given
}

// AppendConnect appends the CONNECT message to dst, with sequence number 0 and
// without a correlation id. Its payload is the dict that both libraries' proxies
// send; as in AppendString, characters outside printable ASCII become "?".
func AppendConnect(dst []byte, g Greeting) []byte {
	data := appendDict(nil, g.Serializer, [][2]string{{"handshake", g.Handshake}, {"object", g.Object}})
	dst = AppendHead(dst, Head{
		Dialect:      g.Dialect,
		Type:         Connect,
		SerializerID: g.Dialect.SerializerID(g.Serializer),
		Flags:        g.Dialect.Bit(MetaOnConnect), // Pyro4's proxies ask for it; V502 has no such flag
		DataLen:      uint32(len(data)),
	})
	return append(dst, data...)
}

// AppendPing appends a PING to dst. A daemon answers it with a PING of the same
// sequence number, once it has dealt with what came before on the connection.
func AppendPing(dst []byte, d Dialect, s Serializer, seq uint16) []byte {
	const data = "ping" // what Pyro's proxies send; daemons do not look at it
	dst = AppendHead(dst, Head{
		Dialect: d, Type: Ping, SerializerID: d.SerializerID(s), Seq: seq, DataLen: uint32(len(data)),
	})
	return append(dst, data...)
}
