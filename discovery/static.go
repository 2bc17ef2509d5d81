package discovery

import (
	"context"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
)

// Static is a source of members that never change.
type Static []backend.Member

// Run is backend.Source's.
func (s Static) Run(ctx context.Context, set func([]backend.Member)) {
	set(unique(s))
	<-ctx.Done()
}
