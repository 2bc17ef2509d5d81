package metrics

// The fixed values of labels. Their series exist from the start, so that a rate
// does not miss the first event, and an alert can tell "none" from "not known"
// (https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics).
// A test compares the lists with what the callers use: a value that is missing
// here would appear with its first use only, one of an endpoint or a source never.

// ConnectFailure is why an endpoint could not be used for a client.
type ConnectFailure string

// The reasons of connect_failures_total.
const (
	ConnectRefused      ConnectFailure = "refused"       // Nobody listens at the address.
	ConnectTimeout      ConnectFailure = "timeout"       // No connection within the cluster's connect_timeout.
	ConnectError        ConnectFailure = "error"         // Any other error of connecting, such as an unknown host.
	ConnectUnanswered   ConnectFailure = "unanswered"    // Connected, but the CONNECT was not answered within connect_timeout.
	ConnectClosed       ConnectFailure = "closed"        // The daemon closed the connection instead of answering.
	ConnectOtherDialect ConnectFailure = "other_dialect" // The daemon answered in the protocol of the other library.
	ConnectGarbled      ConnectFailure = "garbled"       // The answer was not one of Pyro.
)

var connectFailures = []ConnectFailure{
	ConnectRefused, ConnectTimeout, ConnectError,
	ConnectUnanswered, ConnectClosed, ConnectOtherDialect, ConnectGarbled,
}

// endReasons are the reasons of sessions_ended_total, besides rejectReasons.
// Package router decides which one it is.
var endReasons = []string{
	"client_closed",          // The client closed its connection.
	"client_reset",           // The client's connection broke.
	"backend_closed",         // The daemon closed its connection.
	"backend_reset",          // The daemon's connection broke.
	"backend_protocol_error", // The daemon sent what is not Pyro, not a reply or too large, or half an answer to the CONNECT.
	"refused_by_daemon",      // The daemon refused the handshake, and the client was told.
	"drained",                // The dispatcher was stopping, and no call was under way.
	"aborted",                // The dispatcher was stopping, and drain_timeout had passed.
	"no_endpoint",            // No endpoint of the route's cluster could be used.
	"endpoint_down",          // The endpoint was found down, and on_down is close.
	"call_timeout",           // A call took longer than it may, and the client was told that in a way that makes it go.
	"send_timeout",           // The client, or the daemon, took no bytes within send_timeout.
	"idle_timeout",           // The client made no call within idle_timeout.
	"circular",               // The client's endpoint waits for the call that it was going to make.
}

// circleCertainties are the values of the label certainty of circles_total.
var circleCertainties = []string{
	"possible", // Some calls that it may have been made for give no circle.
	"certain",  // Every one does.
}

// circleActions are those of the label action.
var circleActions = []string{
	"passed",   // The call was sent on.
	"rejected", // It was answered with an error that prints the circle.
}

// rejectReasons are the reasons of rejected_total: what a client sent or failed
// to send, or a limit. Sessions end for them too.
var rejectReasons = []string{
	"no_route",                  // No route matched the client.
	"not_pyro",                  // The first bytes are not those of a Pyro message.
	"unsupported_version",       // A protocol version other than 48 and 502, or not the one the session began with.
	"header_check",              // A header with a wrong checksum or magic number.
	"negative_length",           // A header with a negative length.
	"message_size",              // A message larger than max_message_size.
	"handshake_size",            // A CONNECT larger than max_handshake.
	"annotations_size",          // Annotations larger than max_request_annotations.
	"annotations",               // Annotations that overrun their length.
	"message_type",              // A message of a type that is out of turn.
	"truncated",                 // The connection ended within the handshake.
	"handshake_timeout",         // No complete CONNECT within handshake_timeout.
	"request_timeout",           // No complete request within request_timeout.
	"sessions_limit",            // As many sessions as the listener may have, or the listener is stopping.
	"sessions_per_source_limit", // As many sessions as one source address may have.
	"signature",                 // A message for our own answer bears no HMAC signature, or a wrong one.
}

// queueRefusal is why a place in the queue came to nothing.
type queueRefusal string

// The reasons of queue_refused_total.
const (
	queueFull    queueRefusal = "full"    // As many waited already as the cluster's queue holds.
	queueTimeout queueRefusal = "timeout" // There was no room within queue_timeout.
)

// breakerStates are the states of endpoint_breaker_state and
// endpoint_breaker_transitions_total, as gobreaker names them. A breaker begins
// with the first.
var breakerStates = []string{
	"closed",    // Calls go to the endpoint.
	"open",      // None does, unless there is no other endpoint.
	"half-open", // A few do, to find out.
}

// checkResults are the results of health_checks_total. Package health decides
// which one it is.
var checkResults = []string{
	"alive",         // The daemon accepted the CONNECT and answered a PING.
	"saturated",     // It has no free workers. That says nothing about its health.
	"refused",       // It refused the handshake, or the object.
	"other_dialect", // It answered in the protocol of the other library.
	"unanswered",    // No answer within the timeout, or no connection.
	"closed",        // Nobody listens, or the connection ended before the answer did.
	"garbled",       // The answer was not one of Pyro.
}
