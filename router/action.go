package router

import "github.com/pyro-dispatch/pyro-dispatch/backend"

// Port names one of the connections of a session. Numbers are not used again
// within a session, so an event of a leg that was given up is known as such and
// does no harm.
type Port uint32

// Client is the port of the client; every other port is a leg to an endpoint.
const Client Port = 0

// Taken is the answer to Data: what becomes of the bytes shown. The driver
// keeps what is not consumed and shows it again, with what follows it.
type Taken struct {
	// Forward: the first Forward bytes go to To, as they are after Data, which may have
	// put a correlation id into a header that has room for one. Where To is the
	// client, Sent or WriteFailed says what became of them.
	Forward int
	To      Port
	// Head, where it is not nil, goes to To in the place of the first Cut bytes of
	// Forward: header and annotations of a request. It is the session's, and stays
	// until the next Data for the client.
	Head []byte
	Cut  int
	// Spill, where it is not 0, is the length of the request that the bytes begin with, which
	// the driver is to read into a file, all but the first Cut bytes; see Spill. Where Need is
	// set too, it does so only if there is no memory for Need bytes.
	Spill int64
	// Consumed: the first Consumed bytes, Forward or more, are done with.
	Consumed int
	// Need, where it is not 0, is how many bytes there must be, from Consumed
	// on, before it is worth showing them again.
	Need int
	// Paused: nothing more is taken until a Resume, or the Close that makes
	// it pointless. Neither more bytes nor their end are of interest before.
	Paused bool
	// Body is set where everything was consumed in the middle of a message:
	// so many bytes may follow to To without being shown. What is moved that
	// way is reported to Moved.
	Body int64
	// Again: what is left is to be shown again at once.
	Again bool
	// Delivery, where it is not nil, is to be started with the first Forward bytes, a
	// whole request, which go to its legs and not to To.
	Delivery *Delivery
	// ReplyDue: a reply is still to come from the endpoint. It will be written to
	// the client, so that a connection of the client's that has broken will be
	// noticed then, if not before; one of the endpoint's will not.
	ReplyDue bool
}

// Op is what an Action asks for.
type Op uint8

// The operations.
const (
	// Acquire: find an endpoint of the route's cluster for Attempt, then call
	// Granted or Unreachable for Port.
	Acquire Op = iota
	// Cancel: the Acquire for Port is no longer wanted; where Outcome is TimedOut,
	// because the call has no time left. A lease that comes all the same is given to
	// Granted as ever, which releases it.
	Cancel
	// Send: write Bytes to Port. The session does not change them any more; it
	// may ask for the same Bytes, a CONNECT, to be sent to another port. Where there is
	// a Lease, they go to its connection, which the session has done with: it may be
	// using another by then, and is not told what becomes of them.
	Send
	// Resume: show the client's bytes that were paused again.
	Resume
	// Settle: read from the client once more without waiting; then, if nothing
	// was there, Quiet.
	Settle
	// CloseWrite: shut down writing to Port.
	CloseWrite
	// Release: end Lease, the one of Port, with Outcome.
	Release
	// Expire: end the legs of Delivery whose replies have not come in time.
	Expire
	// Detach: nobody waits for Delivery any more, where Outcome is Cancelled because the
	// client has gone. Legs end by themselves, or when their time has passed; those that
	// have found no endpoint yet end at once where the client has gone.
	Detach
	// Close: close the client's connection. No event is of use after it.
	Close
)

// Action is something for the driver to do.
type Action struct {
	Op      Op
	Port    Port
	Bytes   []byte
	Attempt *backend.Attempt
	Lease   *backend.Lease
	Outcome backend.Outcome
	// Delivery is that of Expire and Detach.
	Delivery *Delivery
}

func (s *Session) do(a Action) { s.actions = append(s.actions, a) }
