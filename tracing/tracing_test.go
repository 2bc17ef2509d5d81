package tracing

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest/otlp"
)

var environmentOfProcess environment = os.LookupEnv

// fromProcess gives the tracer that the process' variables ask for, which
// t.Setenv sets, and what is logged. It is shut down when the test is over.
func fromProcess(t *testing.T) (*Tracer, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	tracer, err := FromEnv(t.Context(), os.LookupEnv, "1.2.3", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	tracer.Epoch(epoch)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := tracer.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return tracer, logs
}

func TestWhetherThereIsATracer(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{}, false},
		{map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none"}, false},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "True"}, false},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "false"}, true},
	} {
		lookup := func(name string) (string, bool) { value, ok := test.env[name]; return value, ok }
		tracer, err := FromEnv(t.Context(), lookup, "", zap.NewNop())
		if err != nil || (tracer != nil) != test.want {
			t.Errorf("%v: %v, %v", test.env, tracer != nil, err)
		}
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Errorf("%v: %v", test.env, err)
		}
	}
}

func TestExportersThatThereAreNot(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER":               "carrier-pigeon",
		"OTEL_EXPORTER_OTLP_PROTOCOL":        "smoke",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "smoke",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(name, value)
			tracer, err := FromEnv(t.Context(), os.LookupEnv, "", zap.NewNop())
			if tracer != nil || err == nil {
				t.Error(tracer, err)
			}
		})
	}
}

// TestCollector is that four spans come to a collector by both protocols, as
// the variables say.
func TestCollector(t *testing.T) {
	for _, test := range []struct {
		name, protocol string
		env            map[string]string
		endpoint       func(*otlp.Collector) (string, string)
	}{
		{"by default", "http/protobuf", nil,
			func(c *otlp.Collector) (string, string) { return "OTEL_EXPORTER_OTLP_ENDPOINT", c.HTTP() }},
		{"HTTP, compressed", "http/protobuf", map[string]string{
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
			func(c *otlp.Collector) (string, string) {
				return "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.HTTP() + "/v1/traces"
			}},
		{"gRPC", "grpc", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
			func(c *otlp.Collector) (string, string) { return "OTEL_EXPORTER_OTLP_ENDPOINT", c.GRPC() }},
		{"gRPC, compressed", "grpc", map[string]string{
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
			"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
			func(c *otlp.Collector) (string, string) { return "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.GRPC() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			collector := otlp.Start(t)
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1") // milliseconds
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			name, url := test.endpoint(collector)
			t.Setenv(name, url)
			tracer, logs := fromProcess(t)

			a := tracer.Call(idA, Span{}, time.Second, Call{Route: "a", Object: "lab.scope"})
			b := tracer.Call(idA, a, 2*time.Second, Call{Route: "b"})
			b.Queue(2*time.Second, 3*time.Second)
			c := tracer.Call(idA, b, 4*time.Second, Call{Route: "c"})
			c.End(5*time.Second, "timeout", "no reply")
			b.End(6*time.Second, "exception", "")
			a.End(7*time.Second, "ok", "")

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			spans, err := collector.Wait(ctx, func(s []otlp.Span) bool { return len(s) >= 4 })
			if err != nil {
				t.Fatal(err, logs.All())
			}
			checkFour(t, spans, test.protocol)
			if logs.Len() > 0 {
				t.Error(logs.All())
			}
		})
	}
}

// checkFour checks what TestCollector sends.
func checkFour(t *testing.T, spans []otlp.Span, protocol string) {
	t.Helper()
	type line struct {
		Name, Parent, Kind, Status string
		From, To                   time.Duration
	}
	names := map[string]string{}
	for _, s := range spans {
		names[s.SpanID] = s.Name
	}
	var got []line
	for _, s := range spans {
		got = append(got, line{s.Name, names[s.Parent], s.Kind, s.Status + s.Message, s.Start.Sub(epoch), s.End.Sub(epoch)})
		if s.TraceID != hexA || s.Protocol != protocol {
			t.Errorf("%q has the trace id %s and came by %s", s.Name, s.TraceID, s.Protocol)
		}
		if r := s.Resource; r["service.name"] != "pyro-dispatch" || r["service.version"] != "1.2.3" || r["telemetry.sdk.language"] != "go" {
			t.Errorf("%q is a span of %v", s.Name, r)
		}
	}
	want := []line{
		{"queue", "pyro.call b", "INTERNAL", "UNSET", 2 * time.Second, 3 * time.Second},
		{"pyro.call c", "pyro.call b", "SERVER", "ERRORno reply", 4 * time.Second, 5 * time.Second},
		{"pyro.call b", "pyro.call a", "SERVER", "UNSET", 2 * time.Second, 6 * time.Second},
		{"pyro.call a", "", "SERVER", "UNSET", 1 * time.Second, 7 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if object := spans[3].Attributes["pyro.object"]; object != "lab.scope" {
		t.Errorf("the object is %v", object)
	}
}

// TestShutdownSends is that spans are not lost which wait for their batch, and
// that the variables name the service.
func TestShutdownSends(t *testing.T) {
	collector := otlp.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.HTTP())
	t.Setenv("OTEL_SERVICE_NAME", "front-door")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab")
	tracer, _ := fromProcess(t)
	tracer.Call(idA, Span{}, 1, Call{}).End(2, "ok", "")
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := collector.Spans()
	if len(spans) != 1 || spans[0].Resource["service.name"] != "front-door" || spans[0].Resource["deployment.environment.name"] != "lab" {
		t.Errorf("%+v", spans)
	}
}

// TestRefusedSpans is that a collector which does not want them is told of in
// the log.
func TestRefusedSpans(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no such tenant", http.StatusForbidden)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tracer, logs := fromProcess(t)
	tracer.Call(idA, Span{}, 1, Call{}).End(2, "ok", "")
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries := logs.All()
	if len(entries) != 1 || entries[0].Level != zap.WarnLevel || !strings.Contains(entries[0].ContextMap()["error"].(string), "403") {
		t.Errorf("%v", entries)
	}
}

func TestProblemsAreNotAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		p := newProblems(zap.New(core))
		p.listen()
		counts := func() (lines int, suppressed int64) {
			for _, e := range logs.TakeAll() {
				lines++
				if n, ok := e.ContextMap()["suppressed"]; ok {
					suppressed += n.(int64)
				}
			}
			return lines, suppressed
		}
		fail := func(times int) {
			for range times {
				otel.Handle(errors.New("no collector"))
			}
		}
		for i, step := range []struct {
			do         func()
			lines      int
			suppressed int64
		}{
			{func() { fail(1) }, 1, 0},
			{func() { fail(1000) }, problemsLogged - 1, 0},
			{func() { time.Sleep(problemsInterval - 1); fail(1) }, 0, 0},
			{func() { time.Sleep(time.Nanosecond); fail(1) }, 1, 1000 - (problemsLogged - 1) + 1},
			{func() { fail(100) }, problemsLogged - 1, 0},
			{p.flush, 1, 100 - (problemsLogged - 1)},
			{p.flush, 0, 0},
		} {
			step.do()
			if lines, suppressed := counts(); lines != step.lines || suppressed != step.suppressed {
				t.Errorf("step %d: %d lines, %d suppressed", i, lines, suppressed)
			}
		}
	})
}
