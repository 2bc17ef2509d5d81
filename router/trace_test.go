package router_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/tracing"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestSpans: each call is a span of the trace with its correlation id, and what is
// nested in it is its child.
func TestSpans(t *testing.T) {
	inBothModes(t, func(t *testing.T, d wire.Dialect, pooled bool) {
		spans := tracetest.NewInMemoryExporter()
		f := nested(t, d, pooled, router.Policy{})
		f.finish()
		w := f.parent.w.again()
		w.env.Tracer = tracing.New(sdktrace.NewSimpleSpanProcessor(spans))
		w.env.Graph = f.parent.w.env.Graph
		w.route.Timeouts.Call = callTime
		w.route.Policy.Preserve = false
		f.parent = opens(t, w, f.m)
		f.parent.says(f.m.invoke())
		if f.parent.session.State() == router.Acquiring {
			f.parent.waits(time.Second)
			f.parent.connects()
		}
		f.id, _ = lastRequest(t, f.parent).Correlation()
		f.child = opens(t, w, f.m)
		f.child.now = f.parent.now
		f.calls()
		f.child.answers(f.m.raised())
		f.parent.waits(time.Second)
		f.parent.answers(f.m.result())
		f.child.says(f.m.oneway())
		f.finish()

		type span struct {
			name, outcome string
			traced        bool // under the parent's id
			child         bool
			took          time.Duration
		}
		var got []span
		var parent trace.SpanID
		for _, s := range spans.GetSpans() {
			if s.Name == "pyro.call route" && !s.Parent.IsValid() && s.SpanContext.TraceID() == trace.TraceID(f.id) {
				parent = s.SpanContext.SpanID()
			}
		}
		for _, s := range spans.GetSpans() {
			one := span{name: s.Name, traced: s.SpanContext.TraceID() == trace.TraceID(f.id), child: s.Parent.SpanID() == parent, took: s.EndTime.Sub(s.StartTime)}
			for _, a := range s.Attributes {
				if a.Key == "pyro.outcome" {
					one.outcome = a.Value.AsString()
				}
			}
			got = append(got, one)
		}
		want := []span{
			{"pyro.call route", "exception", true, true, 0},
			{"pyro.call route", "ok", true, false, time.Second},
			{"pyro.call route", "oneway", false, false, 0},
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(span{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
