package router

// Mode is how a route's clients are joined to endpoints.
type Mode uint8

// The modes.
const (
	// ModeSession: a client's CONNECT finds an endpoint, and both are joined until
	// either goes. All that a daemon ties to a connection is as without us.
	ModeSession Mode = iota
	// ModeCall: every call finds an endpoint, and a pooled connection to it.
	ModeCall
)

// String is the mode's name in the configuration.
func (m Mode) String() string {
	if m == ModeCall {
		return "call"
	}
	return "session"
}
