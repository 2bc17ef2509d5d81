// Package relay moves the bytes. It accepts clients, tells each one's
// router.Session what happens on its connections, and carries out what the
// session asks. It takes no decision of its own about messages, routes or
// endpoints.
//
// # The goroutine driver
//
// A session has two goroutines: one reads the client, one finds an endpoint and
// reads it. What a goroutine reads it writes to the other side itself, so each
// connection has one writer at a time:
//
//	client ──read──► client goroutine ──write──► endpoint
//	client ◄─write── leg goroutine    ◄──read─── endpoint
//
// Events are delivered to the session under one lock. Bytes are forwarded under
// it as far as the other side takes them at once; whatever may wait, and every
// action, is carried out without it. On Linux a goroutine stays inside one
// RawConn.Read while its connection is quiet or its messages are small: the
// callback receives, shows the bytes to the session, and sends them on, all
// without blocking. Whatever could block (a full socket, a large body, an
// action) makes it leave the callback first. Other connections (TLS, other
// systems, in-memory ones in tests) are read with plain Read.
//
// In mode call the leg's goroutine lives only while an endpoint is being found.
// A pooled connection has a goroutine of its own, its reader, from the end of its
// handshake to its own end: it shows what comes to whichever session holds the
// connection, and deals by itself with what comes while none does. A session may
// have given the connection back when bytes for it come up: under the session's
// lock that can be seen, and the bytes are nobody's then.
//
// Idle sessions hold no buffer and, on Linux, no goroutine. Incomplete messages of
// clients are kept in memory charged to two accounts for the whole process, one
// for CONNECTs and one for requests.
package relay
