package tracing

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

var (
	epoch = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	idA   = [16]byte{0x3f, 0x2b, 0x61, 0x0e, 0x9d, 0x54, 0x4c, 0x7a, 0x8e, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07}
	idB   = [16]byte{0xb0, 15: 1}
)

const (
	hexA  = "3f2b610e9d544c7a8e01020304050607"
	uuidA = "3f2b610e-9d54-4c7a-8e01-020304050607"
)

// recording gives a tracer whose spans are in the exporter as soon as they end.
func recording(t testing.TB, options ...sdktrace.TracerProviderOption) (*Tracer, *tracetest.InMemoryExporter) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	// Not sdktrace.NewSimpleSpanProcessor, which warns that it is for tests.
	tracer := New(immediately{exporter}, options...)
	tracer.Epoch(epoch)
	t.Cleanup(func() {
		if err := tracer.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tracer, exporter
}

// brief is what the tests compare of a span.
type brief struct {
	Name, Kind, Parent string
	From, To           time.Duration
	Status             string
	Attributes         map[string]any
}

// briefly gives the spans in the order of their ends, parents by name.
func briefly(exporter *tracetest.InMemoryExporter) []brief {
	names := map[trace.SpanID]string{}
	stubs := exporter.GetSpans()
	for _, s := range stubs {
		names[s.SpanContext.SpanID()] = s.Name
	}
	var spans []brief
	for _, s := range stubs {
		b := brief{
			Name: s.Name, Kind: s.SpanKind.String(), Parent: names[s.Parent.SpanID()],
			From: s.StartTime.Sub(epoch), To: s.EndTime.Sub(epoch),
			Status: s.Status.Code.String(), Attributes: map[string]any{},
		}
		if s.Status.Description != "" {
			b.Status += ": " + s.Status.Description
		}
		for _, a := range s.Attributes {
			b.Attributes[string(a.Key)] = a.Value.AsInterface()
		}
		spans = append(spans, b)
	}
	return spans
}

func TestSpansOfOneCall(t *testing.T) {
	plain := Call{Route: "lab"}
	// with gives the attributes of the plain call and others.
	with := func(pairs ...any) map[string]any {
		m := map[string]any{
			"rpc.system.name": "pyro", "rpc.system": "pyro", "pyro.correlation_id": uuidA,
			"pyro.route": "lab", "pyro.oneway": false, "pyro.request.size": int64(0),
		}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	for _, test := range []struct {
		name string
		call Call
		do   func(Span)
		want []brief
	}{
		{"with all that is known of it",
			Call{Listener: "front", Route: "lab", Cluster: "instruments", Object: "lab.scope", Dialect: "v502",
				Serializer: "serpent", Oneway: true, RequestBytes: 321},
			func(s Span) { s.Endpoint("192.0.2.10:9999"); s.End(3, "oneway", "") },
			[]brief{{"pyro.call lab", "server", "", 1, 3, "Unset", with(
				"pyro.listener", "front", "pyro.cluster", "instruments", "pyro.object", "lab.scope",
				"pyro.dialect", "v502", "pyro.serializer", "serpent", "pyro.oneway", true, "pyro.request.size", int64(321),
				"network.transport", "tcp", "server.address", "192.0.2.10", "server.port", int64(9999),
				"pyro.outcome", "oneway")}}},
		{"whose answer is an exception", plain,
			func(s Span) { s.End(3, "exception", "ValueError") },
			[]brief{{"pyro.call lab", "server", "", 1, 3, "Unset", with("pyro.outcome", "exception")}}},
		{"whose time was up", plain,
			func(s Span) { s.End(3, "timeout", "no reply within 1s") },
			[]brief{{"pyro.call lab", "server", "", 1, 3, "Error: no reply within 1s",
				with("pyro.outcome", "timeout", "error.type", "timeout")}}},
		{"that waited in the queue", plain,
			func(s Span) { s.Queue(2, 5); s.End(9, "ok", "") },
			[]brief{
				{"queue", "internal", "pyro.call lab", 2, 5, "Unset", map[string]any{}},
				{"pyro.call lab", "server", "", 1, 9, "Unset", with("pyro.outcome", "ok")}}},
		{"that succeeded at the third attempt", plain,
			func(s Span) {
				s.Endpoint("[2001:db8::1]:1")
				s.Retry(2, "192.0.2.2:2", "reset")
				s.Retry(4, "", "refused")
				s.Endpoint("unix:/run/daemon")
				s.End(8, "ok", "")
			},
			[]brief{
				{"retry", "client", "pyro.call lab", 2, 4, "Error: refused", map[string]any{
					"pyro.retry.reason": "reset", "pyro.retry.failed_endpoint": "[2001:db8::1]:1", "error.type": "refused",
					"network.transport": "tcp", "server.address": "192.0.2.2", "server.port": int64(2),
					"network.peer.address": "192.0.2.2", "network.peer.port": int64(2)}},
				{"retry", "client", "pyro.call lab", 4, 8, "Unset", map[string]any{
					"pyro.retry.reason": "refused", "pyro.retry.failed_endpoint": "192.0.2.2:2",
					"network.transport": "unix", "server.address": "/run/daemon", "network.peer.address": "/run/daemon"}},
				{"pyro.call lab", "server", "", 1, 8, "Unset", with("pyro.outcome", "ok",
					"network.transport", "unix", "server.address", "/run/daemon")}}},
		{"that failed at the second attempt", plain,
			func(s Span) { s.Retry(2, "daemon.example:7", "reset"); s.End(4, "backend_closed", "EOF") },
			[]brief{
				{"retry", "client", "pyro.call lab", 2, 4, "Error: EOF", map[string]any{
					"pyro.retry.reason": "reset", "error.type": "backend_closed",
					"network.transport": "tcp", "server.address": "daemon.example", "server.port": int64(7)}},
				{"pyro.call lab", "server", "", 1, 4, "Error: EOF", with("pyro.outcome", "backend_closed",
					"error.type", "backend_closed",
					"network.transport", "tcp", "server.address", "daemon.example", "server.port", int64(7))}}},
		{"after whose end more is said", plain,
			func(s Span) {
				s.End(3, "ok", "")
				s.End(4, "timeout", "late")
				s.Queue(4, 5)
				s.Retry(5, "", "")
				s.Endpoint("192.0.2.2:2")
			},
			[]brief{{"pyro.call lab", "server", "", 1, 3, "Unset", with("pyro.outcome", "ok")}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tracer, exporter := recording(t)
			s := tracer.Call(idA, Span{}, 1, test.call)
			if s.IsZero() || !s.Sampled() {
				t.Fatalf("IsZero %v, Sampled %v", s.IsZero(), s.Sampled())
			}
			test.do(s)
			if diff := cmp.Diff(test.want, briefly(exporter)); diff != "" {
				t.Error(diff)
			}
			for _, s := range exporter.GetSpans() {
				if id := s.SpanContext.TraceID().String(); id != hexA {
					t.Errorf("the trace id of %q is %s", s.Name, id)
				}
			}
		})
	}
}

func TestNestedCallsAreChildren(t *testing.T) {
	tracer, exporter := recording(t)
	root := tracer.Call(idA, Span{}, 1, Call{Route: "a"})
	b := tracer.Call(idA, root, 2, Call{Route: "b"})
	b.Queue(2, 3)
	c := tracer.Call(idA, b, 4, Call{Route: "c"})
	b.End(5, "timeout", "")
	late := tracer.Call(idA, b, 6, Call{Route: "late"}) // by a ghost
	other := tracer.Call(idB, root, 7, Call{Route: "other"})
	for i, s := range []Span{c, late, root, other} {
		s.End(time.Duration(10+i), "ok", "")
	}

	parents := map[string]string{}
	for _, s := range briefly(exporter) {
		parents[s.Name] = s.Parent
	}
	want := map[string]string{"pyro.call a": "", "pyro.call b": "pyro.call a", "queue": "pyro.call b",
		"pyro.call c": "pyro.call b", "pyro.call late": "pyro.call b", "pyro.call other": ""}
	if diff := cmp.Diff(want, parents); diff != "" {
		t.Error(diff)
	}
	for _, s := range exporter.GetSpans() {
		id, links := trace.TraceID(idA), []string(nil)
		if s.Name == "pyro.call other" {
			id, links = idB, []string{hexA}
		}
		var linked []string
		for _, l := range s.Links {
			linked = append(linked, l.SpanContext.TraceID().String())
		}
		if s.SpanContext.TraceID() != id || !cmp.Equal(links, linked) {
			t.Errorf("%q has the id %s and is linked to %q", s.Name, s.SpanContext.TraceID(), linked)
		}
	}
}

func TestNoIDNoSpan(t *testing.T) {
	tracer, exporter := recording(t)
	s := tracer.Call([16]byte{}, tracer.Call(idA, Span{}, 1, Call{}), 2, Call{})
	s.End(3, "ok", "")
	if n := len(exporter.GetSpans()); !s.IsZero() || n != 0 {
		t.Errorf("%d spans", n)
	}
}

func TestManyGoroutinesMayEndACall(t *testing.T) {
	tracer, exporter := recording(t)
	s := tracer.Call(idA, Span{}, 1, Call{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			s.Retry(time.Duration(i), "192.0.2.1:1", "reset")
			s.Endpoint(fmt.Sprint("192.0.2.1:", i))
			s.End(time.Duration(i), "ok", "")
			tracer.Call(idA, s, 9, Call{Route: "child"}).End(10, "ok", "")
		})
	}
	all.Wait()
	count := map[string]int{}
	for _, s := range exporter.GetSpans() {
		count[s.Name]++
	}
	retries := count["retry"]
	if diff := cmp.Diff(map[string]int{"pyro.call": 1, "pyro.call child": 8, "retry": retries}, count); diff != "" || retries < 1 || retries > 8 {
		t.Error(count)
	}
}

// TestOff is that nothing is done for calls where there is no tracer.
func TestOff(t *testing.T) {
	var tracer *Tracer
	tracer.Epoch(epoch)
	call := Call{Route: "lab", Object: "lab.scope"}
	if n := testing.AllocsPerRun(100, func() { use(tracer, call) }); n != 0 {
		t.Errorf("%v allocations per call", n)
	}
	if s := tracer.Call(idA, Span{}, 1, call); !s.IsZero() || s.Sampled() || s != (Span{}) {
		t.Error("a nil tracer gave a span")
	}
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// use is what a caller does for a call that goes well.
func use(tracer *Tracer, call Call) {
	s := tracer.Call(idA, Span{}, 1, call)
	s.Endpoint("192.0.2.10:9999")
	if s.Sampled() {
		s.Queue(1, 2)
	}
	s.End(3, "ok", "")
}

func BenchmarkCall(b *testing.B) {
	call := Call{Listener: "front", Route: "lab", Cluster: "lab", Object: "lab.scope", Dialect: "v502", Serializer: "serpent"}
	run := func(name string, tracer *Tracer) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				use(tracer, call)
			}
		})
	}
	run("off", nil)
	run("unsampled", New(discard{}, sdktrace.WithSampler(sdktrace.ParentBased(ratioSampler{}))))
	run("on", New(discard{}))
}
