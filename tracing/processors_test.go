package tracing

import (
	"context"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// immediately is a processor that exports each span as it ends.
type immediately struct{ to *tracetest.InMemoryExporter }

func (immediately) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (p immediately) OnEnd(s sdktrace.ReadOnlySpan) {
	_ = p.to.ExportSpans(context.Background(), []sdktrace.ReadOnlySpan{s})
}
func (p immediately) Shutdown(ctx context.Context) error { return p.to.Shutdown(ctx) }
func (immediately) ForceFlush(context.Context) error     { return nil }

// discard is a processor that exports nothing.
type discard struct{}

func (discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discard) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discard) Shutdown(context.Context) error                  { return nil }
func (discard) ForceFlush(context.Context) error                { return nil }
