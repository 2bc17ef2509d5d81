package control

import (
	"context"

	"github.com/google/uuid"
	"go.uber.org/zap"
)

type correlationKey struct{}

// CorrelationField is for what an Object logs: the correlation id of the call that ctx
// was given to, and nothing where it is of no call.
func CorrelationField(ctx context.Context) zap.Field {
	if id, ok := ctx.Value(correlationKey{}).([16]byte); ok {
		return correlated(id)
	}
	return zap.Skip()
}

func correlated(id [16]byte) zap.Field { return zap.Stringer("correlation_id", uuid.UUID(id)) }
