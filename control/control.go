// Package control runs the dispatcher's own Pyro objects: a small Pyro daemon that
// serves both dialects to whoever connects, and a client for the calls that the
// dispatcher makes of its own.
//
// It decodes calls addressed to the objects that it is given, and no others.
package control

import (
	"context"
	"net/netip"

	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Caller is where a call comes from, as far as an object may care.
type Caller struct {
	Listener      string         // the name of the listener that was asked
	Local, Remote netip.AddrPort // of the connection; invalid where it has none
	Dialect       wire.Dialect
	Serializer    wire.Serializer
	Correlation   [16]byte
}

// Members is what an object tells proxies of itself (get_metadata).
type Members struct {
	Methods, Oneway, Attrs []string // Oneway are among Methods
	// Class is what the object's class is called in the texts of errors; "" is "object".
	Class string
	// Hidden are attributes that the libraries' own objects have and do not expose: their
	// errors say so.
	Hidden []string
}

// MembersOf is for objects that are not the same in both libraries: it takes the place of
// Members.
type MembersOf interface {
	MembersOf(d wire.Dialect) Members
}

func membersOf(o Object, d wire.Dialect) Members {
	if m, ok := o.(MembersOf); ok {
		return m.MembersOf(d)
	}
	return o.Members()
}

// Object is one of the dispatcher's own. Its methods may be called concurrently.
type Object interface {
	Members() Members
	// Call runs a method that is among Members. A values.Exception as the error is
	// raised in the client as it is; of any other only that something went wrong is
	// told, and the log has the rest. The arguments are the object's to keep.
	//
	// For the attributes in Members it is called with the method "__getattr__" and the
	// name, or "__setattr__", the name and the value. It must return soon after ctx has
	// ended: connections and the daemon wait for it.
	Call(ctx context.Context, from Caller, method string, args []values.Value, kwargs values.Dict) (values.Value, error)
}
