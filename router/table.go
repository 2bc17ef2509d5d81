package router

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Route sends the clients that match it to a cluster. Every empty condition is
// met by every client; a condition with several values by any of them.
type Route struct {
	Name        string
	Listeners   []string
	Objects     []Glob
	Dialects    []wire.Dialect
	Serializers []wire.Serializer
	Sources     []netip.Prefix

	Cluster *backend.Cluster // nil with Answer
	// Only, where it is not zero, is the one endpoint of the cluster that clients get.
	Only  backend.Address
	Calls *metrics.Calls

	Mode Mode
	// HashBy is what the cluster's hash balancing goes by.
	HashBy HashBy

	Timeouts Timeouts // beside the listener's; the zero value is no time at all
	Policy   Policy

	// Call, where it is not nil, makes this a route of calls, not of clients: it is
	// looked for with each call, after its other conditions. Deliver says what becomes
	// of such a call.
	Call    *CallMatch
	Deliver Deliver

	// Answer, where it is not nil, is what a client's CONNECT is answered with, in the
	// place of a daemon's answer. Its calls must take routes of their own.
	Answer *Members

	// Pick, where it is not nil, chooses the route of clients that this one matches, a
	// prepared one; nil: the routes behind this one.
	Pick func(q *Request) *Route

	welcomes *welcomes // made by Prepare

	// The rest is for mode call.

	// Idempotent: any call may be sent again after its bytes had reached an
	// endpoint, whatever its method.
	Idempotent bool
	// ShareHandshake: a CONNECT is answered with what a daemon said to an equal
	// one. Otherwise a daemon sees every client's.
	ShareHandshake bool
	// StreamIdleTime bounds how long a client with a stream may hold a connection
	// without a call under way.
	StreamIdleTime time.Duration
}

// Members are what an object that is not at any endpoint says of itself.
type Members struct {
	Methods, Oneway []string // Oneway are among Methods
}

// Request is what is known of a client when its CONNECT has been read.
type Request struct {
	Listener string
	// Object is the id the client asks for. ObjectKnown is false where the
	// CONNECT names none (Pyro4 with METADATA off) or could not be read.
	Object      string
	ObjectKnown bool
	Dialect     wire.Dialect
	Serializer  wire.Serializer
	// Source is the client's address, the zero Addr on a Unix socket.
	Source netip.Addr
}

// ClusterName is the name of the route's cluster, "" where it has none.
func (r *Route) ClusterName() string {
	if r.Cluster == nil {
		return ""
	}
	return r.Cluster.Name()
}

func (r *Route) matches(q *Request) bool {
	return (len(r.Listeners) == 0 || slices.Contains(r.Listeners, q.Listener)) &&
		(len(r.Dialects) == 0 || slices.Contains(r.Dialects, q.Dialect)) &&
		(len(r.Serializers) == 0 || slices.Contains(r.Serializers, q.Serializer)) &&
		(len(r.Sources) == 0 || r.matchesSource(q.Source)) &&
		(len(r.Objects) == 0 || q.ObjectKnown && r.matchesObject(q.Object))
}

func (r *Route) matchesSource(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(r.Sources, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (r *Route) matchesObject(id string) bool {
	return slices.ContainsFunc(r.Objects, func(g Glob) bool { return g.Match(id) })
}

// Table is the list of routes in order of preference. It never changes; a new
// configuration is a new Table.
type Table struct {
	routes []*Route // of clients
	calls  []*Route // of calls
}

// TakesAll reports whether the route matches every client.
func (r *Route) TakesAll() bool {
	anyone := len(r.Objects) == 0 || slices.ContainsFunc(r.Objects, func(g Glob) bool { return g.String() == "*" })
	return anyone && len(r.Listeners)+len(r.Dialects)+len(r.Serializers)+len(r.Sources) == 0
}

// Prepare makes a route ready for use, before its first. NewTable does so with its own.
func (r *Route) Prepare() {
	if r.welcomes == nil {
		r.welcomes = new(welcomes)
	}
}

// NewTable makes a table of routes, which the caller no longer changes.
func NewTable(routes []*Route) *Table {
	for _, r := range routes {
		r.Prepare()
	}
	t := new(Table)
	for _, r := range routes {
		if r.Call != nil {
			t.calls = append(t.calls, r)
		} else {
			t.routes = append(t.routes, r)
		}
	}
	return t
}

// Find returns the first route of clients that matches, nil where none does.
func (t *Table) Find(q *Request) *Route {
	for _, r := range t.routes {
		switch {
		case !r.matches(q):
		case r.Pick == nil:
			return r
		default:
			if picked := r.Pick(q); picked != nil {
				return picked
			}
		}
	}
	return nil
}
