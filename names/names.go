// Package names is the dispatcher's name server: a directory of names, and the
// object "Pyro.NameServer" that answers for it as the name servers of Pyro4 and
// Pyro5 do, each client in the form of its own library.
//
// The names are its own (Directory, in a store that dispatchers may share) or those
// of an existing name server (Upstream). It does not make routes: an Exposer says
// under which address of ours a name can be called. It does not listen either,
// but for the answers to broadcasts (Responder), on a socket that it is given.
package names

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// OwnName is the name server's own name, and the id of its object.
const OwnName = "Pyro.NameServer"

// Origin is where a registration comes from.
type Origin int

// The origins.
const (
	Registered Origin = iota // by a client, with register
	Discovered               // published by a source of the dispatcher's
	Own                      // the name server itself
	Foreign                  // from the upstream name server
)

func (o Origin) String() string {
	return [...]string{"registered", "discovered", "own", "upstream"}[o]
}

// Registration is a name and what is known of it. Metadata is sorted, without
// doubles, and must not be changed.
type Registration struct {
	Name     string
	URI      values.URI
	Metadata []string
	// Group is the balancing group that the registration declares: NAME of its
	// metadata "group:NAME", otherwise what the configuration says.
	Group  string
	Origin Origin
	Source string    // of a discovered one: the name given to SetPublished
	By     string    // of a registered one: the address of who registered it
	At     time.Time // of a registered one: when

	text string // the URI as it was registered, which list shows
}

// groupPrefix is that of the metadata that declares a balancing group.
const groupPrefix = "group:"

// declaredGroup gives the group that metadata declares, the first in order if there
// are several; "" without.
func declaredGroup(metadata []string) string {
	for _, m := range metadata {
		if g, ok := strings.CutPrefix(m, groupPrefix); ok && g != "" {
			return g
		}
	}
	return ""
}

// Text is the URI as it was registered.
func (r Registration) Text() string {
	if r.text != "" {
		return r.text
	}
	return r.URI.String()
}

// Exposer says under which URI whoever asks can call a registered object. It may
// make a route for it. It is called concurrently.
type Exposer interface {
	Expose(ctx context.Context, r Registration, from control.Caller) (values.URI, error)
}

// Names are those that a Server answers for: a Directory or an Upstream. Errors that
// are a *values.Exception are meant for the client.
type Names interface {
	// lookup gives a registration, or an errUnknown.
	lookup(ctx context.Context, name string) (Registration, error)
	// list gives what q asks for, sorted; own is the name server's own registration,
	// which is among the names unless they have another in its place.
	list(ctx context.Context, q query, own Registration) ([]Registration, error)
	register(ctx context.Context, r Registration, safe bool) error
	setMetadata(ctx context.Context, name string, metadata []string) error
	// remove says whether the name was there.
	remove(ctx context.Context, name string) (bool, error)
	// removeMatching removes what q asks for, but not what keep says, and counts.
	removeMatching(ctx context.Context, q query, keep func(string) bool) (int, error)
	// count includes the name server's own.
	count(ctx context.Context) (int, error)
	ping(ctx context.Context) error
}

// exception makes one for the client, of a class with a neutral name.
func exception(class, text string) *values.Exception {
	return &values.Exception{Class: class, Args: []values.Value{text}}
}

func namingError(text string) *values.Exception { return exception("errors.NamingError", text) }
func typeError(text string) *values.Exception   { return exception("builtins.TypeError", text) }
func valueError(text string) *values.Exception  { return exception("builtins.ValueError", text) }

func unknownName(name string) *values.Exception { return namingError("unknown name: " + name) }
func alreadyRegistered(name string) *values.Exception {
	return namingError("name already registered: " + name)
}

// tags sorts metadata and removes doubles: a set in Python.
func tags(metadata []string) []string {
	sorted := slices.Clone(metadata)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

func sortByName(rs []Registration) {
	slices.SortFunc(rs, func(a, b Registration) int { return strings.Compare(a.Name, b.Name) })
}
