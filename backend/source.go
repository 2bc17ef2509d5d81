package backend

import (
	"context"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Member is one endpoint of a cluster as a source knows it.
type Member struct {
	Address Address
	Dialect wire.Dialect // 0: learnt from its first answer
	Weight  int          // its share relative to that of the others; 0 counts as 1
	// Object is one there that calls without a target of their own are for; "": such
	// calls keep the object that they name. An address with several objects is several
	// members.
	Object string
}

// Source tells a cluster its members, all of them at each change.
type Source interface {
	// Run calls set with the whole membership each time that it may have
	// changed, the first time as soon as it is known, until ctx ends. While the
	// source cannot tell, it does not call set: the last membership stays in
	// force.
	Run(ctx context.Context, set func([]Member))
}
