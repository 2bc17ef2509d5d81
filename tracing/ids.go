package tracing

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

// correlated makes ids: a trace's is the correlation id that the context has, a
// span's is random. It is how a call that is nested in none gets its trace id
// and is a root all the same, which the samplers treat as one; with a made-up
// remote parent it would be shown as a piece of a trace whose root is missing.
type correlated struct{}

// NewIDs gives the ids of a root. ctx is a *rootContext: only Call makes roots.
func (c correlated) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, _ := ctx.Value(correlationKey{}).(*trace.TraceID)
	if id == nil {
		id = new(trace.TraceID) // not valid, so no span comes of it
	}
	return *id, c.NewSpanID(ctx, *id)
}

// NewSpanID gives a random id, which is never zero.
func (correlated) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	var id trace.SpanID
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// rootContext is the context of a call that is nested in none.
type rootContext struct {
	context.Context
	id trace.TraceID
}

type correlationKey struct{}

// Value gives the correlation id without a copy of it on the heap.
func (c *rootContext) Value(key any) any {
	if _, ours := key.(correlationKey); ours {
		return &c.id
	}
	return c.Context.Value(key)
}
