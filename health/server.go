package health

import (
	"bytes"
	"fmt"
	"net"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Server is what kind of server a daemon is.
type Server uint8

// The kinds.
const (
	UnknownServer Server = iota
	// ThreadServer has a thread for each connection, as many as it has.
	ThreadServer
	// MultiplexServer does one call at a time, and nothing beside it.
	MultiplexServer
)

// String names the kind as Pyro's SERVERTYPE does, and "" where it is not known.
func (s Server) String() string {
	switch s {
	case ThreadServer:
		return "thread"
	case MultiplexServer:
		return "multiplex"
	}
	return ""
}

// infoSeq is the sequence number of our call of info.
const infoSeq = 0x5050

// askServer calls Pyro.Daemon's info, whose text ends with the name of the server's
// class (Pyro4/core.py and Pyro5/server.py, DaemonObject.info). The reply is not
// deserialised: the names stand in it as they are. The error says that no reply came;
// one that tells nothing is UnknownServer.
func (p Probe) askServer(conn net.Conn) (Server, error) {
	call := wire.Invocation{Dialect: p.Dialect, Serializer: p.Serializer, Seq: infoSeq, Object: daemonObject, Method: "info"}
	if _, err := conn.Write(p.Key.AppendSigned(nil, wire.AppendInvoke(nil, call))); err != nil {
		return UnknownServer, fmt.Errorf("calling info: %w", err)
	}
	m, err := readAnswer(conn)
	if err != nil {
		return UnknownServer, fmt.Errorf("calling info: %w", err)
	}
	if h := &m.head; h.Dialect != p.Dialect || h.Type != wire.Result || h.Seq != infoSeq {
		return UnknownServer, fmt.Errorf("%w to a call: %s %s %d", ErrAnswer, h.Dialect, h.Type, h.Seq)
	}
	switch {
	case m.head.Has(wire.Exception), m.head.Has(wire.Compressed):
	case bytes.Contains(m.data, []byte("SocketServer_Multiplex")):
		return MultiplexServer, nil
	case bytes.Contains(m.data, []byte("SocketServer_Threadpool")):
		return ThreadServer, nil
	}
	return UnknownServer, nil
}
