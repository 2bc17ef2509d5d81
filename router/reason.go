package router

// Reason is why a session ended. It is a label value and a log field.
type Reason string

// The reasons.
const (
	ReasonClientClosed  Reason = "client_closed"
	ReasonClientReset   Reason = "client_reset"
	ReasonBackendClosed Reason = "backend_closed"
	ReasonBackendReset  Reason = "backend_reset"
	ReasonGarbled       Reason = "backend_protocol_error"
	ReasonRefused       Reason = "refused_by_daemon"
	ReasonDrained       Reason = "drained"
	ReasonAborted       Reason = "aborted"
	ReasonUnreachable   Reason = "no_endpoint"
	ReasonNoRoute       Reason = "no_route"
	ReasonEndpointDown  Reason = "endpoint_down"
	ReasonCallTimeout   Reason = "call_timeout"
	ReasonSendTimeout   Reason = "send_timeout"
	ReasonIdleTimeout   Reason = "idle_timeout"
	ReasonCircular      Reason = "circular"

	// Rejected input and limits.
	ReasonNotPyro          Reason = "not_pyro"
	ReasonVersion          Reason = "unsupported_version"
	ReasonCheck            Reason = "header_check"
	ReasonNegativeLength   Reason = "negative_length"
	ReasonMessageSize      Reason = "message_size"
	ReasonHandshakeSize    Reason = "handshake_size"
	ReasonAnnotationsSize  Reason = "annotations_size"
	ReasonAnnotations      Reason = "annotations"
	ReasonOutOfTurn        Reason = "message_type"
	ReasonTruncated        Reason = "truncated"
	ReasonHandshakeTimeout Reason = "handshake_timeout"
	ReasonRequestTimeout   Reason = "request_timeout"
	ReasonSessions         Reason = "sessions_limit"
	ReasonSourceSessions   Reason = "sessions_per_source_limit"
	ReasonSignature        Reason = "signature"
)

// Rejected reports whether the client was turned away for what it sent, failed
// to send, or for a limit.
func (r Reason) Rejected() bool {
	switch r {
	case ReasonNotPyro, ReasonVersion, ReasonCheck, ReasonNegativeLength, ReasonMessageSize,
		ReasonHandshakeSize, ReasonAnnotationsSize, ReasonAnnotations, ReasonOutOfTurn, ReasonTruncated,
		ReasonHandshakeTimeout, ReasonRequestTimeout, ReasonSessions, ReasonSourceSessions, ReasonNoRoute, ReasonSignature:
		return true
	}
	return false
}
