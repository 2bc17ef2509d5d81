package main

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestStartTracing: the environment turns it on, the log says once where spans
// go, and passwords are not in it.
func TestStartTracing(t *testing.T) {
	type says = map[string]any
	for _, c := range []struct {
		name string
		env  map[string]string
		want says // nil: it is off
	}{
		{"nothing", nil, nil},
		{"off", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, nil},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
			says{"endpoint": "http://c:4318", "protocol": "http/protobuf"}},
		{"of traces", map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://me:secret@d:1/v1/traces",
		}, says{"endpoint": "http://me:xxxxx@d:1/v1/traces", "protocol": "http/protobuf"}},
		{"the default over gRPC", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
			says{"endpoint": "http://localhost:4317", "protocol": "grpc"}},
		{"the default", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"},
			says{"endpoint": "http://localhost:4318", "protocol": "http/protobuf"}},
		{"a protocol of traces", map[string]string{
			"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
		}, says{"endpoint": "http://localhost:4317", "protocol": "grpc"}},
		{"the console", map[string]string{"OTEL_TRACES_EXPORTER": "console"}, says{"exporter": "console"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.env { // which the SDK reads by itself
				t.Setenv(name, value)
			}
			lookup := func(name string) (string, bool) { value, ok := c.env[name]; return value, ok }
			core, logged := observer.New(zapcore.InfoLevel)
			tracer, err := startTracing(t.Context(), lookup, zap.New(core), "1")
			if err != nil {
				t.Fatal(err)
			}
			stopTracing(tracer, zap.New(core))
			if c.want == nil {
				if tracer != nil || logged.Len() != 0 {
					t.Errorf("it is on, and says %v", logged.All())
				}
				return
			}
			if tracer == nil || logged.Len() != 1 || logged.All()[0].Message != "tracing on" {
				t.Fatalf("made %v, and says %v", tracer, logged.All())
			}
			if diff := cmp.Diff(c.want, logged.All()[0].ContextMap()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("an exporter that there is not", func(t *testing.T) {
		t.Setenv("OTEL_TRACES_EXPORTER", "pigeon")
		lookup := func(name string) (string, bool) { return "pigeon", name == "OTEL_TRACES_EXPORTER" }
		_, err := startTracing(t.Context(), lookup, zap.NewNop(), "1")
		if usage := (*usageError)(nil); !errors.As(err, &usage) {
			t.Errorf("got %v", err)
		}
	})
}
